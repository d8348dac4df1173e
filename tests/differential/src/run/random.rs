//! Random meshes and requests.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::generate;
use crate::scenario::Scenario;
use crate::side::protocol::Engine;

/// How often a difference is tried to be made smaller.
const SHRINKS: usize = 400;

/// Runs the scenarios of this number and the following ones until the time is over or one differs;
/// whether none did.
///
/// # Errors
/// When the bed cannot be started, or something ended.
pub fn run(engines: &[Engine], seed: u64, minutes: f64, found: &Path) -> anyhow::Result<bool> {
    let mut bed = Bed::start(engines)?;
    let limit = Duration::from_secs_f64(minutes * 60.0);
    let started = Instant::now();
    let (mut count, mut exchanges, mut unusable, mut bad) = (0, 0, 0, 0);
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
        let mut said: Vec<String> = outcome.findings.iter().map(ToString::to_string).collect();
        said.extend(bed.complaints()?);
        if said.is_empty() {
            continue;
        }
        bad += 1;
        println!("seed {}: {} findings, the first: {}", number - 1, said.len(), said[0]);
        report(&mut bed, &scenario, found)?;
    }
    println!(
        "{count} random scenarios, {exchanges} exchanges in {:.1?} ({unusable} unusable), from seed \
         {seed}: {bad} differ",
        started.elapsed()
    );
    Ok(bad == 0)
}

/// Makes a difference small, prints it and writes it as a scenario.
fn report(bed: &mut Bed, scenario: &Scenario, found: &Path) -> anyhow::Result<()> {
    let smaller = generate::smaller(scenario, SHRINKS, |scenario| {
        bed.run(scenario).is_ok_and(|outcome| !outcome.findings.is_empty())
    })?;
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
