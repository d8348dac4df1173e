//! What the generator gives: valid meshes, every field that it is meant to have, every edge.

use std::collections::BTreeSet;

use lateen_api::{Kind, Severity};
use serde_json::Value;

use super::asked::{About, Naming};
use super::edge::{Edge, Spelling};
use super::*;

/// How many scenarios are looked at.
const SEEDS: u64 = 300;

fn mesh_and_asked(seed: u64) -> (Mesh, Vec<asked::Asked>) {
    let mut random = Random::new(seed);
    let mesh = Mesh::new(&mut random);
    let aims = asked::aims(&mut random, &mesh);
    let asked = asked::asked(&mut random, &mesh, &aims, EXCHANGES);
    (mesh, asked)
}

#[test]
fn a_number_always_gives_the_same_scenario() {
    for seed in 0..10 {
        assert_eq!(scenario(seed), scenario(seed));
        assert_ne!(scenario(seed).mesh, scenario(seed + 1).mesh);
    }
}

#[test]
fn what_is_written_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let scenario = scenario(seed);
        let folder = folder.path().join(&scenario.name);
        scenario.write(&folder).unwrap();
        assert_eq!(Scenario::load(&folder).unwrap(), scenario);
    }
}

#[test]
fn objects_are_valid_and_all_of_them_is_honoured() {
    for seed in 0..SEEDS {
        let (mesh, _) = mesh_and_asked(seed);
        for object in &mesh.objects {
            let mut object = object.clone();
            for value in data(&mut object) {
                // The bed puts the bytes in.
                if value.as_str().is_some_and(|text| text.starts_with("$base64(")) {
                    *value = "YQ==".into();
                }
            }
            let parsed = lateen_api::parse(&object.to_string(), "mesh");
            let errors: Vec<String> = parsed
                .diagnostics
                .iter()
                .filter(|diagnostic| diagnostic.severity == Severity::Error)
                .map(ToString::to_string)
                .collect();
            assert!(errors.is_empty(), "seed {seed}: {errors:?}\n{object:#}");
            for parsed in &parsed.objects {
                let pending = parsed.not_honoured();
                assert!(pending.is_empty(), "seed {seed}: {pending:?}\n{object:#}");
            }
        }
    }
}

fn data(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(|it| it.values_mut())
}

#[test]
fn every_edge_is_asked() {
    let mut missing: BTreeSet<About> = BTreeSet::new();
    missing.extend(Edge::SINGLE.map(About::Path));
    missing.extend(Edge::SINGLE.map(About::Method));
    missing.extend(Edge::ALL.map(About::Header));
    missing.extend(Edge::ALL.map(About::Query));
    missing.extend(Spelling::ALL.map(About::Written));
    missing.extend(Naming::ALL.map(About::Authority));
    for edge in [Edge::Hit, Edge::Shorter, Edge::Longer, Edge::Changed, Edge::Absent] {
        missing.extend([About::Identity(edge), About::ServerName(edge)]);
    }
    for seed in 0..SEEDS {
        for asked in mesh_and_asked(seed).1 {
            missing.retain(|about| !asked.about.contains(about));
        }
    }
    assert!(missing.is_empty(), "never asked: {missing:?}");
}

/// Kinds of which every honoured field is to occur.
const KINDS: [Kind; 5] = [
    Kind::VirtualService,
    Kind::Sidecar,
    Kind::PeerAuthentication,
    Kind::AuthorizationPolicy,
    Kind::Gateway,
];

/// Fields that scenarios written by hand cover better: they need files, other certificates, several
/// Gateways, or what is seen only over many requests.
const NOT_GENERATED: &[&str] = &[
    "spec.servers[].tls.caCertificates",
    "spec.servers[].tls.privateKey",
    "spec.servers[].tls.serverCertificate",
    "spec.servers[].tls.tlsCertificates[]",
    "spec.servers[].tls.tlsCertificates[].privateKey",
    "spec.servers[].tls.tlsCertificates[].serverCertificate",
    "spec.egress[].port.targetPort",
];

#[test]
fn every_field_of_the_kinds_that_decide_occurs() {
    let mut missing: BTreeSet<(Kind, String)> = lateen_api::account()
        .filter(|line| line.honoured && KINDS.contains(&line.kind) && line.value.is_none())
        .map(|line| (line.kind, line.path))
        .filter(|(_, path)| !NOT_GENERATED.contains(&path.as_str()))
        .collect();
    for seed in 0..SEEDS {
        for object in &mesh_and_asked(seed).0.objects {
            missing.retain(|(kind, path)| {
                object["kind"] != format!("{kind:?}").as_str() || !has(object, path)
            });
        }
    }
    assert!(missing.is_empty(), "never generated: {missing:#?}");
}

/// Whether a field of the account is set, `spec.http[].match[].headers[]`.
fn has(value: &Value, path: &str) -> bool {
    if path.is_empty() {
        return true;
    }
    if let Some(rest) = path.strip_prefix("[]") {
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        return match value {
            Value::Array(items) => items.iter().any(|item| has(item, rest)),
            Value::Object(fields) => fields.values().any(|item| has(item, rest)),
            _ => false,
        };
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let rest = path[end..].strip_prefix('.').unwrap_or(&path[end..]);
    value.get(&path[..end]).is_some_and(|value| has(value, rest))
}

#[test]
fn a_planted_difference_comes_down_to_one_object_and_one_request() {
    // Some seed has a rule with this prefix and a request that begins with it.
    let planted = |scenario: &Scenario| {
        let text: String = scenario.mesh.values().cloned().collect();
        let rule = text.contains("VirtualService") && text.contains("\"/static/app.js\"");
        let path = |path: &str| path.contains("/static/app.jsx");
        rule && scenario.exchanges.iter().any(|it| it.requests.iter().any(|it| path(&it.path)))
    };
    let found = (0..SEEDS).map(scenario).find(planted).unwrap();
    let smaller = smaller(&found, 2000, planted).unwrap();
    assert!(smaller.minimal);
    let small = smaller.scenario;
    assert_eq!(small.exchanges.len(), 1);
    assert_eq!(small.exchanges[0].requests[0].path, "/static/app.jsx");
    let objects: Vec<Value> = drafted(&small).unwrap().objects;
    assert_eq!(objects.len(), 1, "{objects:#?}");
    assert!(objects[0].to_string().len() < 300, "{:#}", objects[0]);
}

#[test]
fn settings_are_made_smaller_too() {
    let planted =
        |scenario: &Scenario| scenario.mesh.values().any(|text| text.contains("MERGE_SLASHES"));
    let found = (0..SEEDS).map(scenario).find(planted).unwrap();
    let small = smaller(&found, 2000, planted).unwrap().scenario;
    let objects = drafted(&small).unwrap().objects;
    assert_eq!(objects.len(), 1, "{objects:#?}");
    assert!(objects[0]["data"]["mesh"]["pathNormalization"]["normalization"].is_string());
}
