//! A mesh without one of its fields.
//!
//! A field is taken out of every object that has it; of a list or a map all of it, of an object the
//! object. One value of an enumeration cannot be taken out where it is the default, so it is replaced
//! by each other value in turn. What is not valid any more is left out, as the control plane does with
//! an object that it never saw valid.

use std::collections::BTreeMap;

use anyhow::ensure;
use lateen_api::{Kind, Severity};
use serde_json::Value;

use crate::scenario::{FieldName, documents_of_yaml};

/// The mesh's objects by file.
pub type Mesh = BTreeMap<String, String>;

/// The mesh without the field; of one value, a mesh for each other value that is honoured.
///
/// # Errors
/// When a text is no YAML, the account has no such field, or no object of the mesh has it.
pub fn without(mesh: &Mesh, field: &FieldName) -> anyhow::Result<Vec<Mesh>> {
    let (kind, path, value) = field.parts()?;
    let edits: Vec<Edit<'_>> = match &value {
        None => vec![Edit::Remove],
        Some(value) => other_values(kind, &path, value)
            .into_iter()
            .map(|other| Edit::Replace { value, other })
            .collect(),
    };
    let path: Vec<&str> = path.split('.').collect();
    let meshes = edits.iter().map(|edit| stripped(mesh, kind, &path, edit));
    let meshes: Vec<(Mesh, usize)> = meshes.collect::<anyhow::Result<_>>()?;
    ensure!(meshes.iter().any(|(_, count)| *count > 0), "no object of the mesh has {field}");
    Ok(meshes.into_iter().map(|(mesh, _)| mesh).collect())
}

enum Edit<'v> {
    Remove,
    Replace { value: &'v str, other: String },
}

fn other_values(kind: Kind, path: &str, value: &str) -> Vec<String> {
    let lines = lateen_api::account();
    lines
        .filter(|line| line.honoured && line.kind == kind && line.path == path)
        .filter_map(|line| line.value)
        .filter(|other| *other != value)
        .map(str::to_owned)
        .collect()
}

/// The mesh after the edit, and how often it was made.
fn stripped(
    mesh: &Mesh,
    kind: Kind,
    path: &[&str],
    edit: &Edit<'_>,
) -> anyhow::Result<(Mesh, usize)> {
    let mut count = 0;
    let mut out = Mesh::new();
    for (file, text) in mesh {
        let mut texts = Vec::new();
        for mut object in documents_of_yaml(text)? {
            let edits = edit_object(&mut object, kind, path, edit)?;
            count += edits;
            let text = serde_json::to_string_pretty(&object)?;
            if edits == 0 || is_valid(&text, file) {
                texts.push(text);
            }
        }
        if !texts.is_empty() {
            out.insert(file.clone(), texts.join("\n---\n") + "\n");
        }
    }
    Ok((out, count))
}

fn edit_object(
    object: &mut Value,
    kind: Kind,
    path: &[&str],
    edit: &Edit<'_>,
) -> anyhow::Result<usize> {
    let is = |object: &Value, kind: &str| object["kind"].as_str() == Some(kind);
    if kind != Kind::MeshConfig {
        let same = is(object, kind.name());
        return Ok(if same { edit_value(object, path, edit) } else { 0 });
    }
    // The settings of the mesh are a text in a ConfigMap.
    if !is(object, "ConfigMap") || object["metadata"]["name"].as_str() != Some("istio") {
        return Ok(0);
    }
    let Some(text) = object["data"]["mesh"].as_str() else { return Ok(0) };
    let mut settings = crate::scenario::json_of_yaml(text)?;
    let count = edit_value(&mut settings, path, edit);
    object["data"]["mesh"] = serde_json::to_string_pretty(&settings)?.into();
    Ok(count)
}

/// Edits what is at the end of the path, behind every item of the lists and maps on the way.
fn edit_value(value: &mut Value, path: &[&str], edit: &Edit<'_>) -> usize {
    let [first, rest @ ..] = path else { return 0 };
    let name = first.trim_end_matches("[]");
    let Value::Object(fields) = value else { return 0 };
    if rest.is_empty() {
        return edit_field(fields, name, name != *first, edit);
    }
    let Some(inner) = fields.get_mut(name) else { return 0 };
    if name == *first {
        return edit_value(inner, rest, edit);
    }
    items(inner).map(|item| edit_value(item, rest, edit)).sum()
}

fn edit_field(
    fields: &mut serde_json::Map<String, Value>,
    name: &str,
    many: bool,
    edit: &Edit<'_>,
) -> usize {
    match edit {
        Edit::Remove => usize::from(fields.remove(name).is_some()),
        Edit::Replace { value, other } => {
            let Some(field) = fields.get_mut(name) else { return 0 };
            let mut count = 0;
            let places: Vec<&mut Value> = if many { items(field).collect() } else { vec![field] };
            for place in places {
                if place.as_str() == Some(value) {
                    *place = other.as_str().into();
                    count += 1;
                }
            }
            count
        }
    }
}

fn items(value: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(fields) => Box::new(fields.values_mut()),
        _ => Box::new(std::iter::empty()),
    }
}

/// Whether the control plane takes the object. The bed's placeholders stand for something valid.
fn is_valid(text: &str, file: &str) -> bool {
    let parsed = lateen_api::parse(&without_placeholders(text), file);
    !parsed.objects.is_empty()
        && parsed.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
}

fn without_placeholders(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$base64(") {
        let (_, after) = after.split_once(')').unwrap_or_default();
        out.push_str(before);
        out.push_str("QQ==");
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
    - match: [{headers: {a: {exact: "1"}, b: {prefix: "2"}}}, {uri: {exact: /}}]
      route: [{destination: {host: web}}]
    - match: [{headers: {c: {exact: "3"}}}]
      redirect: {uri: /, redirectCode: 302}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    pathNormalization: {normalization: NONE}
"#;

    fn strip(field: &str) -> Vec<Vec<Value>> {
        let mesh = Mesh::from([("a.yaml".to_owned(), ROUTES.to_owned())]);
        let meshes = without(&mesh, &FieldName(field.to_owned())).unwrap();
        meshes.iter().map(|mesh| documents_of_yaml(&mesh["a.yaml"]).unwrap()).collect()
    }

    #[test]
    fn a_field_goes_wherever_it_is() {
        let stripped = strip("VirtualService spec.http[].match[].headers[].exact");
        let [objects] = stripped.as_slice() else { panic!("one mesh") };
        let rules = &objects[0]["spec"]["http"];
        assert_eq!(
            rules[0]["match"][0]["headers"],
            serde_json::json!({"a": {}, "b": {"prefix": "2"}})
        );
        assert_eq!(rules[0]["match"][1]["uri"]["exact"], "/", "it is another field");
        assert_eq!(rules[1]["match"][0]["headers"], serde_json::json!({"c": {}}));
        let stripped = strip("VirtualService spec.http[].match[].headers[]");
        assert_eq!(stripped[0][0]["spec"]["http"][1]["match"], serde_json::json!([{}]));
        let stripped = strip("VirtualService spec.http[].redirect.redirectCode");
        assert_eq!(stripped[0][0]["spec"]["http"][1]["redirect"], serde_json::json!({"uri": "/"}));
    }

    #[test]
    fn settings_are_a_text_in_an_object() {
        let stripped = strip("MeshConfig outboundTrafficPolicy");
        let text = stripped[0][1]["data"]["mesh"].as_str().unwrap();
        assert!(!text.contains("REGISTRY_ONLY") && text.contains("NONE"));
    }

    #[test]
    fn a_value_becomes_each_other_value() {
        let stripped = strip("MeshConfig pathNormalization.normalization=NONE");
        let texts: Vec<&str> =
            stripped.iter().map(|mesh| mesh[1]["data"]["mesh"].as_str().unwrap()).collect();
        for value in ["DEFAULT", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"] {
            assert_eq!(
                texts.iter().filter(|text| text.contains(&format!("\"{value}\""))).count(),
                1
            );
        }
    }

    #[test]
    fn what_is_not_valid_any_more_is_left_out() {
        let stripped = strip("VirtualService spec.http[].route[].destination.host");
        let kinds: Vec<&str> =
            stripped[0].iter().map(|object| object["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["ConfigMap"]);
    }

    #[test]
    fn a_field_that_is_nowhere_is_an_error() {
        let mesh = Mesh::from([("a.yaml".to_owned(), ROUTES.to_owned())]);
        let field = FieldName("VirtualService spec.tcp[]".to_owned());
        assert!(without(&mesh, &field).unwrap_err().to_string().contains("no object"));
    }
}
