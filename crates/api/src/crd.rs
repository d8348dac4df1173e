//! The custom resource definitions, made of the same declarations as the types.
//!
//! A definition is what an API server needs to know a kind: its names, its versions and a structural
//! schema with rules in CEL, so that most of what is wrong is refused even where no webhook runs.

mod names;
mod schema;

use serde_json::{Value as Json, json};

use crate::account::description;
use crate::kind::{Kind, Scope};
use names::{Column, Names};

/// The kinds that are custom resources of Lateen's, in the order of `lateen crds`. Those of the Gateway
/// API are not among them: their definitions are the cluster's business.
pub fn kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.iter().copied().filter(|kind| names::of(*kind).is_some())
}

/// The definition of a kind, as an object for the API server. Nothing for kinds that are not custom
/// resources of Lateen's.
pub fn definition(kind: Kind) -> Option<Json> {
    let names = names::of(kind)?;
    let (spec, _) = description(kind)?;
    let (plural, scope) = (kind.plural(), kind.scope());
    let schema = schema::object(kind, spec, names.spec_required);
    let versions: Vec<Json> = kind
        .versions()
        .iter()
        .enumerate()
        .map(|(index, version)| version_entry(version, index == 0, names.columns, &schema))
        .collect();
    Some(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{plural}.{}", kind.group()),
            "labels": {"app.kubernetes.io/part-of": "lateen"},
            // Removing a release must not remove what users wrote.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": kind.group(),
            "names": resource_names(kind, &plural, names),
            "scope": match scope { Scope::Namespaced => "Namespaced", Scope::Cluster => "Cluster" },
            "versions": versions,
        },
    }))
}

/// The definitions of all kinds.
pub fn definitions() -> impl Iterator<Item = Json> {
    kinds().filter_map(definition)
}

/// Whether a definition's kind goes by this name, in any case: the kind, its plural, singular or short
/// name.
pub fn is_called(definition: &Json, name: &str) -> bool {
    let names = &definition["spec"]["names"];
    let is = |known: &Json| known.as_str().is_some_and(|known| known.eq_ignore_ascii_case(name));
    ["kind", "plural", "singular"].iter().any(|key| is(&names[key]))
        || names["shortNames"].as_array().is_some_and(|short| short.iter().any(is))
}

fn resource_names(kind: Kind, plural: &str, names: &Names) -> Json {
    let group = kind.group().replace('.', "-");
    let mut all = json!({
        "kind": kind.name(),
        "listKind": format!("{}List", kind.name()),
        "plural": plural,
        "singular": kind.name().to_lowercase(),
        "categories": ["istio-io", group.trim_end_matches("-istio-io").to_owned() + "-istio-io"],
    });
    if !names.short.is_empty() {
        all["shortNames"] = json!(names.short);
    }
    all
}

/// One version. The first is stored; all say the same.
fn version_entry(name: &str, stored: bool, columns: &[Column], schema: &Json) -> Json {
    let columns: Vec<Json> = columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name,
                "type": column.kind,
                "jsonPath": column.path,
                "description": column.doc,
            })
        })
        .collect();
    json!({
        "name": name,
        "served": true,
        "storage": stored,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": schema},
    })
}
