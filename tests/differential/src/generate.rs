//! Random meshes, and requests aimed at the edges of what they match.
//!
//! - `scenario`: the scenario of a number.
//! - `smaller`: a scenario that differs, made small (`shrink`).
//! - `mesh`: objects; `asked`: what is asked of them; `edge`: how values are missed by one.

pub mod asked;
pub mod edge;
mod exchange;
pub mod mesh;
pub mod random;
pub mod shrink;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lateen_api::Severity;
use serde_json::Value;

use crate::scenario::{Scenario, json_of_yaml};
use mesh::{Mesh, OUTSIDE, OUTSIDE_PORTS};
use random::Random;
use shrink::{Draft, shrink};

/// How many exchanges a scenario has.
const EXCHANGES: usize = 60;

/// Whose certificates the bed makes: the gateway's, and those of its clients.
const CERTIFICATES: [&str; 3] = ["shop.example", "client.example", "other.example"];

/// The scenario of a number: always the same, and of objects that are all valid.
#[must_use]
pub fn scenario(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let mesh = Mesh::new(&mut random);
    let aims = asked::aims(&mut random, &mesh);
    let asked = asked::asked(&mut random, &mesh, &aims, EXCHANGES);
    let exchanges = asked
        .iter()
        .enumerate()
        .map(|(number, asked)| exchange::exchange(&mut random, &mesh, asked, number))
        .collect();
    Scenario {
        name: format!("seed-{seed}"),
        why: format!("What the number {seed} gives."),
        certificates: CERTIFICATES.map(str::to_owned).to_vec(),
        dns: BTreeMap::from([("name.example.com".to_owned(), vec![outside(0).ip()])]),
        servers: (0..OUTSIDE_PORTS.len())
            .map(|number| (format!("{}-{number}", exchange::OUTSIDE), outside(number)))
            .collect(),
        exchanges,
        mesh: files(&mesh.objects),
        ..Scenario::default()
    }
}

/// An address of the server outside of the mesh.
fn outside(number: usize) -> SocketAddr {
    let address = OUTSIDE.parse().expect("invariant: the constant is an address");
    SocketAddr::new(address, OUTSIDE_PORTS[number])
}

/// A scenario made smaller.
#[derive(Debug, Clone)]
pub struct Smaller {
    /// The smallest that was found.
    pub scenario: Scenario,
    /// How often it was asked whether a scenario differs.
    pub runs: usize,
    /// Whether nothing more can be taken away; else `limit` ended the search.
    pub minimal: bool,
}

/// Takes away from a scenario what its difference does not need. `differs` is asked at most `limit`
/// times; it is asked about every scenario that can be loaded, also one whose mesh lacks what the bed
/// itself needs.
///
/// # Errors
/// When the scenario's mesh cannot be read.
pub fn smaller(
    scenario: &Scenario,
    limit: usize,
    mut differs: impl FnMut(&Scenario) -> bool,
) -> anyhow::Result<Smaller> {
    let draft = drafted(scenario)?;
    let reads = |draft: &Draft| read(scenario, draft).is_ok();
    let shrunk = shrink(draft, limit, reads, |draft| {
        read(scenario, draft).is_ok_and(|smaller| differs(&smaller))
    });
    Ok(Smaller {
        scenario: read(scenario, &shrunk.draft)?,
        runs: shrunk.runs,
        minimal: shrunk.minimal,
    })
}

/// The scenario as what can be taken from.
fn drafted(scenario: &Scenario) -> anyhow::Result<Draft> {
    let mut objects = Vec::new();
    for text in scenario.mesh.values().flat_map(|text| text.split("\n---\n")) {
        let mut object = json_of_yaml(text)?;
        // The settings are a text in an object.
        if let Some(Value::String(settings)) = object.pointer("/data/mesh") {
            object["data"]["mesh"] = json_of_yaml(settings)?;
        }
        objects.push(object);
    }
    let exchanges =
        scenario.exchanges.iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    Ok(Draft { objects, exchanges })
}

/// The scenario that a draft is, if everything in it is valid.
fn read(of: &Scenario, draft: &Draft) -> anyhow::Result<Scenario> {
    let mut objects = draft.objects.clone();
    for object in &mut objects {
        if let Some(settings) = object.pointer_mut("/data/mesh") {
            *settings = Value::String(settings.to_string());
        }
        if object["kind"] != "Secret" {
            let parsed = lateen_api::parse(&object.to_string(), "mesh");
            let error = parsed.diagnostics.iter().find(|it| it.severity == Severity::Error);
            anyhow::ensure!(error.is_none(), "{error:?}");
        }
    }
    let exchanges =
        draft.exchanges.iter().cloned().map(serde_json::from_value).collect::<Result<_, _>>()?;
    let scenario = Scenario { exchanges, mesh: files(&objects), ..of.clone() };
    scenario.check()?;
    Ok(scenario)
}

/// The objects as files.
fn files(objects: &[Value]) -> BTreeMap<String, String> {
    let (workloads, others): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(|object| {
        matches!(object["kind"].as_str(), Some("Namespace" | "Pod" | "Service"))
    });
    let text = |objects: &[&Value]| {
        // JSON is YAML.
        let objects: Vec<String> = objects.iter().map(|object| format!("{object:#}\n")).collect();
        objects.join("---\n")
    };
    [("workloads.yaml", workloads), ("objects.yaml", others)]
        .into_iter()
        .filter(|(_, objects)| !objects.is_empty())
        .map(|(name, objects)| (name.to_owned(), text(&objects)))
        .collect()
}
