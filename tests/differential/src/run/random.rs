//! Random meshes and requests.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Outcome};
use crate::compare::Finding;
use crate::generate;
use crate::observe::Exchanged;
use crate::scenario::Scenario;
use crate::side::protocol::Engine;
use crate::validation::Validation;

/// A run of random scenarios: those of a number and the following ones.
#[derive(Debug, Clone, Copy)]
pub struct Random<'a> {
    /// The first number.
    pub seed: u64,
    /// How long new scenarios are begun; 0: the first one is written, and not run.
    pub minutes: f64,
    /// How often a difference is tried to be made smaller.
    pub shrinks: usize,
    /// Where differences are written.
    pub found: &'a Path,
}

/// What a run came to.
#[derive(Debug, Default)]
struct Count {
    scenarios: usize,
    exchanges: usize,
    unusable: usize,
    bad: usize,
    switching: u64,
    exchanging: u64,
}

impl Random<'_> {
    /// Runs until the time is over; whether nothing differed, and nothing was refused or warned about.
    ///
    /// # Errors
    /// When the bed cannot be started, or something ended.
    pub fn run(&self, engines: &[Engine]) -> anyhow::Result<bool> {
        if self.minutes == 0.0 {
            let scenario = generate::scenario(self.seed);
            scenario.write(&self.found.join(&scenario.name))?;
            return Ok(true);
        }
        let mut bed = Bed::start(engines)?;
        let validation = Validation::start(false)?;
        let limit = Duration::from_secs_f64(self.minutes * 60.0);
        let started = Instant::now();
        let mut count = Count::default();
        let mut seen = BTreeSet::new();
        println!("seed {}", self.seed);
        let mut number = self.seed;
        while started.elapsed() < limit {
            let scenario = generate::scenario(number);
            number += 1;
            let mut outcome = match bed.run(&scenario) {
                Ok(outcome) => outcome,
                // Names that would move the proxies under test.
                Err(error) => {
                    count.unusable += 1;
                    println!("seed {}: {error:#}", number - 1);
                    continue;
                }
            };
            count.scenarios += 1;
            count.exchanges += scenario.exchanges.len();
            count.switching += outcome.ran.iter().map(|(_, ran)| ran.switch).max().unwrap_or(0);
            count.exchanging +=
                outcome.ran.iter().map(|(_, ran)| ran.exchanging).max().unwrap_or(0);
            let mut findings = std::mem::take(&mut outcome.findings);
            findings.extend(bed.complaints()?.into_iter().map(Finding::complaint));
            if let Some(validation) = &validation {
                validation.add(&scenario.name, std::mem::take(&mut outcome.served))?;
                findings.extend(validation.complaints().into_iter().map(Finding::complaint));
            }
            let Some(first) = findings.first() else { continue };
            count.bad += 1;
            let whole = Scenario { name: format!("{}-whole", scenario.name), ..scenario.clone() };
            whole.write(&self.found.join(&whole.name))?;
            println!(
                "seed {}: {} findings; {}",
                number - 1,
                findings.len(),
                times(&outcome, first)
            );
            for finding in &findings {
                println!("   - {finding}");
            }
            // One of each kind is made small; that takes as long as many scenarios.
            if self.shrinks > 0 && seen.insert(kind(first)) {
                self.report(&mut bed, &scenario, first)?;
            }
        }
        count.bad += finish(validation)?;
        count.print(started.elapsed(), self.seed);
        Ok(count.bad == 0)
    }

    /// Makes a difference small, prints it and writes it as a scenario.
    fn report(&self, bed: &mut Bed, scenario: &Scenario, finding: &Finding) -> anyhow::Result<()> {
        let mut differs = |scenario: &Scenario| {
            let outcome = bed.run(scenario);
            outcome.is_ok_and(|outcome| outcome.findings.iter().any(|it| kind(it) == kind(finding)))
        };
        let mut scenario = scenario.clone();
        let mut alone = scenario.clone();
        alone.exchanges.retain(|exchange| exchange.name == finding.exchange);
        if !alone.exchanges.is_empty() && differs(&alone) {
            scenario = alone;
        }
        let smaller = generate::smaller(&scenario, self.shrinks, differs)?;
        let small = smaller.scenario;
        let folder = self.found.join(&small.name);
        small.write(&folder)?;
        println!("  made small in {} runs: {}", smaller.runs, folder.display());
        for (name, text) in &small.mesh {
            println!("--- {name}\n{text}");
        }
        println!("--- exchanges.yaml\n{}", small.to_yaml());
        for finding in bed.run(&small)?.findings {
            println!("   - {finding}");
        }
        bed.complaints()?;
        Ok(())
    }
}

impl Count {
    fn print(&self, took: Duration, seed: u64) {
        let Self { scenarios, exchanges, unusable, bad, switching, exchanging } = self;
        println!(
            "{scenarios} random scenarios, {exchanges} exchanges in {took:.1?} (switching {switching} \
             ms, exchanging {exchanging} ms; {unusable} unusable), from seed {seed}: {bad} differ"
        );
    }
}

/// Waits until all meshes are validated; how many complaints nobody has seen yet.
fn finish(validation: Option<Validation>) -> anyhow::Result<usize> {
    let Some(validation) = validation else { return Ok(0) };
    let (count, complaints) = validation.finish()?;
    println!("{count} configurations read by `envoy --mode validate`");
    complaints.iter().for_each(|complaint| println!("   - complaint: {complaint}"));
    Ok(complaints.len())
}

/// How long what a finding is about took on either side: what is missing at once is missing otherwise
/// than what comes too late.
fn times(outcome: &Outcome, finding: &Finding) -> String {
    let (request, time) = finding.request;
    let took = outcome.ran.iter().filter_map(|(engine, ran)| {
        let of = |exchanged: &Exchanged| Some(exchanged.0.get(request)?.get(time)?.milliseconds);
        let milliseconds = ran.exchanges.get(exchange(&finding.exchange)?).and_then(of)?;
        Some(format!("{} {milliseconds} ms", engine.name()))
    });
    took.collect::<Vec<_>>().join(", ")
}

/// The number of an exchange, with which the generator begins its name.
fn exchange(name: &str) -> Option<usize> {
    name.split(' ').next()?.parse().ok()
}

/// What makes two findings the same kind of difference.
fn kind(finding: &Finding) -> String {
    let brief = |text: &str| text.chars().take(24).collect::<String>();
    format!("{} {} {}", finding.about, brief(&finding.left), brief(&finding.right))
}
