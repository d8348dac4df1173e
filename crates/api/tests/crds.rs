//! The chart's custom resource definitions are what the types give.
//!
//! `LATEEN_REGENERATE=1 cargo test -p lateen-api --test crds` writes them anew.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lateen_api::{crd, yaml};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/helm/lateen/crds")
}

/// The file of a definition, with its content.
fn file(definition: &Value) -> (String, String) {
    let name = definition["metadata"]["name"].as_str().unwrap();
    (format!("{name}.yaml"), yaml::emit(definition))
}

#[test]
fn the_chart_holds_the_definitions_of_the_types() {
    let fresh: Vec<(String, String)> = crd::definitions().map(|it| file(&it)).collect();
    if std::env::var_os("LATEEN_REGENERATE").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        for (name, text) in &fresh {
            std::fs::write(folder().join(name), text).unwrap();
        }
    }
    let kept = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept: BTreeSet<String> = kept.map(|name| name.into_string().unwrap()).collect();
    let names: BTreeSet<String> = fresh.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(kept, names);
    for (name, text) in fresh {
        let kept = std::fs::read_to_string(folder().join(&name)).unwrap();
        assert!(kept == text, "{name} is stale, see the head of this test");
    }
}

#[test]
fn every_custom_resource_has_a_definition() {
    let kinds: Vec<_> = crd::kinds().map(lateen_api::Kind::name).collect();
    assert_eq!(kinds.len(), 15, "{kinds:?}");
    for kind in lateen_api::Kind::ALL.iter().filter(|kind| kind.group().ends_with(".istio.io")) {
        let mesh_config = *kind == lateen_api::Kind::MeshConfig;
        assert_eq!(crd::definition(*kind).is_none(), mesh_config, "{kind}");
    }
}

/// What the API server demands of a structural schema: each place has a type, or says that it holds a
/// number or text, or anything.
#[test]
fn schemas_are_structural() {
    fn check(schema: &Value, place: &str) {
        let any = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let either = schema["x-kubernetes-int-or-string"] == true;
        assert!(schema["type"].is_string() || any || either, "{place} has no type");
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            check(inner, &format!("{place}.{name}"));
        }
        for name in ["items", "additionalProperties"] {
            if !schema[name].is_null() {
                check(&schema[name], &format!("{place}[]"));
            }
        }
    }
    for definition in crd::definitions() {
        for version in definition["spec"]["versions"].as_array().unwrap() {
            let name = definition["metadata"]["name"].as_str().unwrap();
            check(&version["schema"]["openAPIV3Schema"], name);
        }
    }
}
