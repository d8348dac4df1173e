//! `simulation-envoy`: whether a stock Envoy takes what the proxy of a case is sent, without an error and
//! without a warning.

use std::path::{Path, PathBuf};

use lateen_compiler::{Client, Role};
use lateen_envoy::{Capture, Lowering, Part, Placement, Pool, dump};
use lateen_testkit::envoy::{binary, complaints};

use super::{client, not_honoured, objects};
use crate::case::{self, text};
use crate::mesh::Objects;
use crate::tally::{Tally, Verdict};

/// Validates the configuration of every file.
pub fn run(files: &[PathBuf], tally: &mut Tally) -> anyhow::Result<()> {
    let envoy = binary()?;
    for file in files {
        let case = case::read(file)?;
        let objects = objects(&case);
        let verdict = match (not_honoured(&case, &objects), objects.refused.first()) {
            (Some(what), _) => Verdict::Skipped(what),
            (None, Some(why)) => Verdict::Failed(format!("an object is refused: {why}")),
            (None, None) => ask(&envoy, &objects, &client(&case)?)
                .unwrap_or_else(|error| Verdict::Failed(format!("{error:#}"))),
        };
        tally.record(text(&case, "name"), verdict);
    }
    Ok(())
}

fn ask(envoy: &Path, objects: &Objects, client: &Client) -> anyhow::Result<Verdict> {
    let model = objects.closure(client)?;
    let mut pool = Pool::default();
    let parts = [Part::Scope, Part::Workload].map(|part| {
        let mut lowering = Lowering::new(Placement {
            role: match client.role {
                Role::Sidecar => lateen_envoy::Role::Sidecar,
                Role::Gateway => lateen_envoy::Role::Gateway,
            },
            part,
            capture: Capture::Redirect,
            ipv6: client.addresses.iter().any(std::net::IpAddr::is_ipv6),
            agent: true,
            telemetry: true,
        });
        lowering.apply(&mut pool, model.iter().cloned().map(|(name, it)| (name, Some(it))));
        lowering
    });
    let complaints = complaints(envoy, &dump::bootstrap(&[&parts[0], &parts[1]])?)?;
    Ok(match complaints.as_slice() {
        [] => Verdict::Passed,
        complaints => Verdict::Failed(complaints.join("; ")),
    })
}
