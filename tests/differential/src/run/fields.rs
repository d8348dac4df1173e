//! The strip test: every honoured field has a scenario, and the scenario fails without the field.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Located;
use crate::bed::Bed;
use crate::open::Open;
use crate::scenario::FieldName;
use crate::side::protocol::Engine;
use crate::strip;

/// Strips each field of each scenario that covers it; whether some expectation failed each time,
/// and whether every honoured field is covered.
///
/// # Errors
/// When the bed cannot be started.
pub fn run(scenarios: &[Located]) -> anyhow::Result<bool> {
    let (started, open) = (Instant::now(), Open::read()?);
    let mut bed = Bed::start(&[Engine::Native])?;
    let (mut pairs, mut bad) = (0, 0);
    let mut covered = BTreeSet::new();
    for (_, scenario) in scenarios {
        let whole = bed.run_stripped(scenario, &scenario.mesh)?;
        if let Some(first) = whole.first() {
            bad += 1;
            println!("FAIL {}: not even with all its fields: {first}", scenario.name);
            continue;
        }
        for field in &scenario.fields {
            pairs += 1;
            match fails_without(&mut bed, scenario, field) {
                Ok(true) => {
                    covered.insert(field.clone());
                }
                Ok(false) => match open.fields.get(&field.to_string()) {
                    Some(why) => println!("OPEN {}: {field}: {why}", scenario.name),
                    None => {
                        bad += 1;
                        println!("FAIL {}: nothing fails without {field}", scenario.name);
                    }
                },
                Err(error) => {
                    bad += 1;
                    println!("FAIL {}: without {field}: {error:#}", scenario.name);
                }
            }
        }
    }
    let honoured = FieldName::honoured();
    let missing: Vec<&FieldName> = honoured.difference(&covered).collect();
    let mut unknown = 0;
    for field in &missing {
        let known = open.fields.contains_key(&field.to_string());
        unknown += usize::from(!known);
        println!("{} {field}", if known { "OPEN" } else { "MISSING" });
    }
    println!(
        "{pairs} fields stripped in {:.1?}: {bad} not missed; {} of {} honoured fields are covered",
        started.elapsed(),
        honoured.len() - missing.len(),
        honoured.len()
    );
    Ok(bad == 0 && unknown == 0)
}

fn fails_without(
    bed: &mut Bed,
    scenario: &crate::scenario::Scenario,
    field: &FieldName,
) -> anyhow::Result<bool> {
    // One value of an enumeration is told from some other one, not from each.
    for mesh in strip::without(&scenario.mesh, field)? {
        match bed.run_stripped(scenario, &mesh) {
            Ok(findings) if findings.is_empty() => {}
            Ok(_) => return Ok(true),
            // A service or a listener that an exchange dials is gone: that is a failure, too.
            Err(error) if error.to_string().contains("mesh has errors") => return Err(error),
            Err(_) => return Ok(true),
        }
    }
    Ok(false)
}
