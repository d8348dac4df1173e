//! `simulation`: one configuration, one proxy, and the calls made to it; where each call ends up. A
//! case is one call; a file without calls is one case that its configuration is taken.

mod call;
pub mod envoy;
mod expect;
mod given;

use std::path::Path;

use lateen_compiler::{Client, Role};
use serde_json::Value;

use crate::case::{self, labels, list, text};
use crate::mesh::Objects;
use crate::tally::{Tally, Verdict};

/// Feature flags of the other control plane whose given value is how this one behaves.
const FLAGS: &[(&str, &str)] = &[("PILOT_ENABLE_IP_AUTOALLOCATE", "false")];

/// Annotations that stand for objects of kinds that are not honoured yet.
const FOREIGN_ANNOTATIONS: &[(&str, &str)] = &[("internal.istio.io/route-semantics", "gateway")];

/// Runs the calls of one file.
pub fn run(file: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let case = case::read(file)?;
    let objects = objects(&case);
    let left_out = not_honoured(&case, &objects);
    let client = client(&case)?;
    let plan = objects.plan(&client);
    let name = text(&case, "name");
    let settle = |doubt: Option<String>, judge: &dyn Fn() -> anyhow::Result<Verdict>| {
        if let Some(what) = &left_out {
            return Verdict::Skipped(what.clone());
        }
        if let Some(doubt) = doubt {
            return Verdict::Doubtful(doubt);
        }
        if let Some(why) = objects.refused.first() {
            return Verdict::Failed(format!("an object is refused: {why}"));
        }
        judge().unwrap_or_else(|error| Verdict::Failed(format!("{error:#}")))
    };
    let calls = list(&case, "calls");
    if calls.is_empty() || !case["inboundPorts"].is_null() {
        let verdict = settle(None, &|| {
            let plan = plan.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            Ok(expect::inbound_ports(plan, &case["inboundPorts"]))
        });
        tally.record(name, verdict);
    }
    for call in calls {
        let verdict = settle(doubt(call), &|| {
            let plan = plan.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
            let seen = call::make(plan, &call["call"])?;
            Ok(expect::compare(&seen, &call["expect"]))
        });
        tally.record(&format!("{name} / {}", text(call, "name")), verdict);
    }
    Ok(())
}

/// The objects of a case.
fn objects(case: &Value) -> Objects {
    let mut objects = Objects::default();
    objects.add_all(list(case, "config"));
    objects.add_all(list(case, "kubeConfig"));
    objects.add_all(&given::services(case));
    objects.add_mesh_config(&case["meshConfig"]);
    objects
}

/// The first thing in the case that is not honoured yet.
fn not_honoured(case: &Value, objects: &Objects) -> Option<String> {
    if let Some(what) = objects.not_honoured.first() {
        return Some(what.clone());
    }
    for object in list(case, "config") {
        let annotations = labels(&object["metadata"], "annotations");
        for (name, value) in FOREIGN_ANNOTATIONS {
            if annotations.get(*name).is_some_and(|given| given == value) {
                return Some(format!("{} metadata.annotations[{name}]", text(object, "kind")));
            }
        }
    }
    let flags = case["features"].as_object();
    flags
        .into_iter()
        .flatten()
        .map(|(flag, value)| {
            (flag, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned))
        })
        .find(|(flag, value)| !FLAGS.contains(&(flag.as_str(), value.as_str())))
        .map(|(flag, value)| format!("feature flag {flag}={value}"))
}

/// What those who wrote the case doubt about a call.
fn doubt(call: &Value) -> Option<String> {
    let expect = &call["expect"];
    if let Some(bug) = expect["knownUpstreamBug"].as_str() {
        return Some(bug.to_owned());
    }
    let offered =
        text(&call["call"], "tls") == "mtls" && !call["call"]["mtlsServerCertificate"].is_null();
    (offered && text(expect, "outcome") == "mtls_mismatch")
        .then(|| "a client may offer a certificate to a port that asks for none".to_owned())
}

fn client(case: &Value) -> anyhow::Result<Client> {
    let proxy = &case["proxy"];
    let role = match text(proxy, "type") {
        "sidecar" => Role::Sidecar,
        "router" => Role::Gateway,
        other => anyhow::bail!("proxy type {other:?}"),
    };
    let id = text(proxy, "id");
    Ok(Client {
        role,
        namespace: text(proxy, "namespace").to_owned(),
        name: id.split('.').next().unwrap_or(id).to_owned(),
        labels: labels(proxy, "labels"),
        addresses: list(proxy, "ips")
            .iter()
            .filter_map(|address| address.as_str()?.parse().ok())
            .collect(),
        whole_scope: true,
        ..Client::default()
    })
}
