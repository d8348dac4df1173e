//! Random meshes and requests.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::compare::Finding;
use crate::generate;
use crate::scenario::Scenario;
use crate::side::protocol::Engine;

/// How often a difference is tried to be made smaller.
const SHRINKS: usize = 150;

/// Runs the scenarios of this number and the following ones until the time is over; whether none
/// differed.
///
/// # Errors
/// When the bed cannot be started, or something ended.
pub fn run(engines: &[Engine], seed: u64, minutes: f64, found: &Path) -> anyhow::Result<bool> {
    let mut bed = Bed::start(engines)?;
    let limit = Duration::from_secs_f64(minutes * 60.0);
    let started = Instant::now();
    let (mut count, mut exchanges, mut unusable, mut bad) = (0, 0, 0, 0);
    let mut seen = BTreeSet::new();
    println!("seed {seed}");
    let mut number = seed;
    while started.elapsed() < limit {
        let scenario = generate::scenario(number);
        number += 1;
        let outcome = match bed.run(&scenario) {
            Ok(outcome) => outcome,
            // Names that would move the proxies under test.
            Err(error) => {
                unusable += 1;
                println!("seed {}: {error:#}", number - 1);
                continue;
            }
        };
        count += 1;
        exchanges += scenario.exchanges.len();
        let mut findings = outcome.findings;
        findings.extend(bed.complaints()?.into_iter().map(Finding::complaint));
        let Some(first) = findings.first() else { continue };
        bad += 1;
        let whole = Scenario { name: format!("{}-whole", scenario.name), ..scenario.clone() };
        whole.write(&found.join(&whole.name))?;
        println!("seed {}: {} findings", number - 1, findings.len());
        for finding in &findings {
            println!("   - {finding}");
        }
        // One of each kind is made small; that takes as long as many scenarios.
        if seen.insert(kind(first)) {
            report(&mut bed, &scenario, first, found)?;
        }
    }
    println!(
        "{count} random scenarios, {exchanges} exchanges in {:.1?} ({unusable} unusable), from seed \
         {seed}: {bad} differ",
        started.elapsed()
    );
    Ok(bad == 0)
}

/// What makes two findings the same kind of difference.
fn kind(finding: &Finding) -> String {
    let brief = |text: &str| text.chars().take(24).collect::<String>();
    format!("{} {} {}", finding.about, brief(&finding.left), brief(&finding.right))
}

/// Makes a difference small, prints it and writes it as a scenario.
fn report(
    bed: &mut Bed,
    scenario: &Scenario,
    finding: &Finding,
    found: &Path,
) -> anyhow::Result<()> {
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
    let smaller = generate::smaller(&scenario, SHRINKS, differs)?;
    let small = smaller.scenario;
    let folder = found.join(&small.name);
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
