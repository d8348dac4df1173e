//! All scenarios on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Located;
use crate::bed::{Bed, Outcome};
use crate::compare::Finding;
use crate::differences::{self, Difference};
use crate::open::Open;
use crate::scenario::Scenario;
use crate::side::protocol::Engine;
use crate::validation::{Served, Validation};

/// Findings of one scenario that are printed; the rest is counted.
const PRINTED: usize = 12;

/// Runs all; whether everything was as it should be.
///
/// # Errors
/// When the bed cannot be started.
pub fn run(engines: &[Engine], scenarios: &[Located], verbose: bool) -> anyhow::Result<bool> {
    let started = Instant::now();
    let (declared, open) = (differences::read()?, Open::read()?);
    let mut bed = Bed::start(engines)?;
    println!("started in {:.1?}: {}", started.elapsed(), names(engines));
    let started = Instant::now();
    let mut served = Vec::new();
    let mut abouts: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let (mut bad, mut known) = (0, 0);
    let (mut exchanges, mut switch, mut exchanging) = (0, 0, 0);
    for (folder, scenario) in scenarios {
        let outcome = attempt(&mut bed, scenario, engines[0], &declared);
        exchanges += scenario.exchanges.len();
        switch += outcome.ran.iter().map(|(_, ran)| ran.switch).max().unwrap_or(0);
        exchanging += outcome.ran.iter().map(|(_, ran)| ran.exchanging).max().unwrap_or(0);
        if verbose {
            println!("{}", serde_json::to_string_pretty(&outcome.ran)?);
        }
        served.push((scenario.name.as_str(), outcome.served));
        let mut findings = outcome.findings;
        for complaint in bed.complaints()? {
            findings.push(Finding::complaint(complaint));
        }
        if findings.is_empty() {
            println!("ok   {}", scenario.name);
            continue;
        }
        if let Some(what) = open.scenarios.get(&scenario.name) {
            known += 1;
            println!("OPEN {}: {what}", scenario.name);
        } else {
            bad += 1;
            println!("FAIL {} ({})\n     {}", scenario.name, scenario.why, folder.display());
        }
        for finding in findings.iter().take(PRINTED) {
            println!("   - {finding}");
        }
        for finding in &findings {
            abouts.entry(finding.class()).or_default().insert(&scenario.name);
        }
        if findings.len() > PRINTED {
            println!("   … and {} more", findings.len() - PRINTED);
        }
    }
    for (about, names) in &abouts {
        let some: Vec<&str> = names.iter().copied().take(4).collect();
        println!("{:4} {about}: {}", names.len(), some.join(", "));
    }
    // Not beside the exchanges: an Envoy that is short of processor time acknowledges a mesh before its
    // workers run on it.
    bad += invalid(served)?;
    let count = scenarios.len();
    println!(
        "{count} scenarios, {exchanges} exchanges in {:.1?} (switching {switch} ms, exchanging \
         {exchanging} ms): {} as they should be, {known} open (open.txt), {bad} not",
        started.elapsed(),
        count - bad - known,
    );
    Ok(bad == 0)
}

/// Runs a scenario; its findings are those that no entry in `docs/differences.md` declares.
fn attempt(bed: &mut Bed, scenario: &Scenario, first: Engine, declared: &[Difference]) -> Outcome {
    let mut outcome = bed.run(scenario).unwrap_or_else(|error| Outcome {
        findings: vec![Finding::of_side(first, &error)],
        ..Outcome::default()
    });
    let mut mended = Vec::new();
    if outcome.ran.len() > 1 {
        for entry in declared {
            let abouts = entry.mended(&scenario.name, &outcome.findings);
            mended.extend(abouts.map(|about| {
                Finding::complaint(format!(
                    "docs/differences.md, {}: `{about}` does not differ",
                    entry.title
                ))
            }));
        }
    }
    outcome.findings.retain(|finding| !is_declared(declared, &scenario.name, finding));
    outcome.findings.extend(mended);
    outcome
}

/// Validates all meshes; how many complaints there are.
fn invalid(served: Vec<(&str, Served)>) -> anyhow::Result<usize> {
    let Some(validation) = Validation::start(true)? else { return Ok(0) };
    for (name, served) in served {
        validation.add(name, served)?;
    }
    let (count, complaints) = validation.finish()?;
    println!(
        "{count} configurations read by `envoy --mode validate`: {} complaints",
        complaints.len()
    );
    complaints.iter().for_each(|complaint| println!("FAIL {complaint}"));
    Ok(complaints.len())
}

fn is_declared(declared: &[Difference], scenario: &str, finding: &Finding) -> bool {
    declared.iter().any(|difference| difference.allows(scenario, finding))
}

fn names(engines: &[Engine]) -> String {
    engines.iter().map(|engine| engine.name()).collect::<Vec<_>>().join(" and ")
}
