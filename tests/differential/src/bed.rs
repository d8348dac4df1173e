//! The bed: sides that run, and scenarios that run on them.
//!
//! - `prepare`: from a scenario to what a side runs.
//! - `handle`: a side as a child process.
//! - `certificates`: those of scenarios.

mod certificates;
pub mod handle;
pub mod prepare;

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::Context;

use crate::compare::{self, Finding};
use crate::expectation;
use crate::scenario::Scenario;
use crate::side::protocol::{Command, Engine, Prepared, Ran};
use crate::strip::Mesh;
use crate::validation::Served;
use certificates::Certificates;
use handle::Side;

/// Kind of the object that marks a mesh's generation: nobody acts on it, and the control plane's
/// diagnostics name it.
pub const MARKER: &str = "Generation";

/// Sides that run.
pub struct Bed {
    sides: Vec<Side>,
    certificates: Certificates,
    generation: u64,
    home: BTreeMap<String, IpAddr>,
}

/// What came of a scenario.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was seen, side by side.
    pub ran: Vec<(Engine, Ran)>,
    /// Expectations that failed, and differences between the sides.
    pub findings: Vec<Finding>,
    /// The mesh, as the control plane of Envoy's side has it, with its files.
    pub served: Served,
}

impl Bed {
    /// Starts a side for each of the engines.
    ///
    /// # Errors
    /// When namespaces cannot be made, or something does not become ready.
    pub fn start(engines: &[Engine]) -> anyhow::Result<Self> {
        let mut certificates = Certificates::new()?;
        let first = base(&mut certificates, 1)?;
        let home = prepare::home(&first.places);
        let mut sides = Vec::new();
        for engine in engines {
            let mut side = Side::spawn(*engine)?;
            side.tell_start(&first)?;
            sides.push(side);
        }
        for side in &mut sides {
            side.started().with_context(|| format!("the side {}", side.engine().name()))?;
        }
        Ok(Self { sides, certificates, generation: 1, home })
    }

    /// Runs a scenario on every side, and says what was not as expected and what differs.
    ///
    /// # Errors
    /// When the scenario cannot be run at all.
    pub fn run(&mut self, scenario: &Scenario) -> anyhow::Result<Outcome> {
        let prepared = self.prepare(scenario, None)?;
        for index in 0..self.sides.len() {
            self.revive(index)?;
            self.sides[index].tell(&Command::Run(Box::new(prepared.clone())))?;
        }
        let mesh = prepared.mesh_of(Engine::Envoy);
        let served = Served { mesh, files: prepared.files };
        let outcome = self.outcome(scenario);
        let have_run = outcome.ran.len() == self.sides.len();
        if !have_run || !outcome.findings.iter().any(Finding::is_about_the_log) {
            return Ok(Outcome { served, ..outcome });
        }
        // A line may have been late.
        for side in &mut self.sides {
            side.tell(&Command::Late)?;
        }
        Ok(Outcome { served, ..self.outcome(scenario) })
    }

    /// What the sides answer, compared.
    fn outcome(&mut self, scenario: &Scenario) -> Outcome {
        let mut outcome = Outcome::default();
        for side in &mut self.sides {
            let engine = side.engine();
            match side.ran() {
                Ok(ran) => {
                    outcome.findings.extend(expectation::check(scenario, engine, &ran));
                    outcome.ran.push((engine, ran));
                }
                Err(error) => outcome.findings.push(Finding::of_side(engine, &error)),
            }
        }
        if let [(_, left), (_, right)] = outcome.ran.as_slice() {
            outcome.findings.extend(compare::sides(scenario, left, right));
        }
        outcome
    }

    /// Runs a scenario on the first side, with another mesh than its own; what was not as expected.
    ///
    /// # Errors
    /// When the scenario cannot be run at all.
    pub fn run_stripped(
        &mut self,
        scenario: &Scenario,
        mesh: &Mesh,
    ) -> anyhow::Result<Vec<Finding>> {
        let prepared = self.prepare(scenario, Some(mesh))?;
        self.revive(0)?;
        let side = self.sides.first_mut().context("the bed has no side")?;
        side.tell(&Command::Run(Box::new(prepared)))?;
        let engine = side.engine();
        Ok(match side.ran() {
            Ok(ran) => expectation::check(scenario, engine, &ran),
            Err(error) => vec![Finding::of_side(engine, &error)],
        })
    }

    /// What control planes refused and proxies warned about since the last time.
    ///
    /// # Errors
    /// When something ended.
    pub fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for side in &mut self.sides {
            let engine = side.engine().name();
            let said = side.complaints()?;
            all.extend(said.into_iter().map(|line| format!("{engine}: {line}")));
        }
        Ok(all)
    }

    fn prepare(&mut self, scenario: &Scenario, mesh: Option<&Mesh>) -> anyhow::Result<Prepared> {
        self.generation += 1;
        let files = self.certificates.files(&scenario.certificates)?;
        let prepared = prepare::prepare(scenario, mesh, files, self.generation)?;
        prepare::check_home(&prepared.places, &self.home)?;
        Ok(prepared)
    }

    /// Starts a side again that has ended.
    fn revive(&mut self, index: usize) -> anyhow::Result<()> {
        if self.sides[index].is_alive() {
            return Ok(());
        }
        let first = base(&mut self.certificates, self.generation)?;
        self.generation += 1;
        let mut side = Side::spawn(self.sides[index].engine())?;
        side.tell_start(&first)?;
        side.started()?;
        self.sides[index] = side;
        Ok(())
    }
}

/// The mesh on which everything starts: the workloads under test, and nothing else.
fn base(certificates: &mut Certificates, generation: u64) -> anyhow::Result<Prepared> {
    let nothing = Scenario::default();
    prepare::prepare(&nothing, None, certificates.files(&[])?, generation)
}
