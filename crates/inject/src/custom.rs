//! Templates of the user's own, in Istio's language: Go's, over the pod under the names of Go's types.

use lateen_template::Functions;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::template::Context;

/// A template that was read.
#[derive(Debug)]
pub struct Template(lateen_template::Template);

/// Reads a template.
pub(crate) fn parse(name: &str, text: &str) -> Result<Template, lateen_template::Error> {
    let mut template = lateen_template::Template::new(functions());
    template.add(name, text)?;
    Ok(Template(template))
}

/// The part of a pod that a template gives.
pub(crate) fn overlay(
    name: &str,
    template: &Template,
    context: &Context<'_>,
) -> Result<Value, Error> {
    let fault = |fault: String| Error::Template { name: name.to_owned(), fault };
    let text = template.0.render(name, &data(context)).map_err(|error| fault(error.to_string()))?;
    match crate::json::from_yaml(&text) {
        Ok(Value::Null) => Ok(json!({})),
        Ok(overlay) if overlay.is_object() => Ok(overlay),
        Ok(_) => Err(fault("it renders to something that is no mapping".to_owned())),
        Err(error) => {
            let line = error.position.line;
            Err(fault(format!("it renders to something that is no YAML: line {line}: {error}")))
        }
    }
}

/// The functions of charts, and Istio's further ones.
fn functions() -> Functions {
    Functions::charts()
        .with("annotation", |arguments| {
            let [metadata, name, default] = expect(arguments)?;
            let value = &metadata["Annotations"][text(name)?];
            Ok(if value.is_null() { default.clone() } else { value.clone() })
        })
        .with("valueOrDefault", |arguments| {
            let [value, default] = expect(arguments)?;
            let empty = value.is_null() || *value == json!("");
            Ok(if empty { default.clone() } else { value.clone() })
        })
        .with("isset", |arguments| {
            let [members, name] = expect(arguments)?;
            Ok(json!(members.get(text(name)?).is_some()))
        })
        .with("toLower", |arguments| {
            let [value] = expect(arguments)?;
            Ok(json!(text(value)?.to_lowercase()))
        })
        .with("toJSON", as_json)
        .with("structToJSON", as_json)
        .with("protoToJSON", as_json)
        .with("fromJSON", |arguments| {
            let [value] = expect(arguments)?;
            serde_json::from_str(text(value)?).map_err(|error| format!("this is no JSON: {error}"))
        })
        .with("appendMultusNetwork", |arguments| {
            let [existing, _] = expect(arguments)?;
            Ok(json!(crate::traffic::multus_networks(existing.as_str())))
        })
}

fn as_json(arguments: &[&Value]) -> Result<Value, String> {
    let [value] = expect(arguments)?;
    Ok(json!(value.to_string()))
}

fn expect<'a, const N: usize>(arguments: &[&'a Value]) -> Result<[&'a Value; N], String> {
    let given = arguments.len();
    arguments.try_into().map_err(|_| format!("{N} arguments are expected, not {given}"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

/// What a template sees (Istio: `SidecarTemplateData`).
fn data(context: &Context<'_>) -> Value {
    let Context { pod, settings, owner, ids, .. } = context;
    let mut metadata = with_go_names(&pod["metadata"], "");
    for field in ["Labels", "Annotations"] {
        if metadata[field].is_null() {
            metadata[field] = json!({});
        }
    }
    let mut proxy = with_go_names(&context.proxy.0, "");
    proxy["InterceptionMode"] = json!(context.proxy.interception_mode());
    json!({
        "TypeMeta": {"APIVersion": owner.api_version, "Kind": owner.kind},
        "DeploymentMeta": {
            "Name": owner.workload_name(pod),
            "Namespace": context.namespace,
        },
        "ObjectMeta": metadata,
        "Spec": with_go_names(&pod["spec"], ""),
        "ProxyConfig": proxy,
        "MeshConfig": with_go_names(&settings.mesh.raw, ""),
        "Values": settings.values.raw,
        "Revision": settings.facts.revision,
        "ProxyImage": crate::template::image(context),
        "ProxyUID": ids.user,
        "ProxyGID": ids.group,
        "NativeSidecars": context.native,
        "InboundTrafficPolicyMode":
            if settings.mesh.inbound_localhost { "localhost" } else { "passthrough" },
    })
}

/// Fields whose members are the user's words, not fields of a type.
const MAPS: [&str; 9] = [
    "labels",
    "annotations",
    "matchLabels",
    "nodeSelector",
    "limits",
    "requests",
    "overhead",
    "proxyMetadata",
    "runtimeValues",
];

/// The same with the fields' names as Go's types have them: `containerPort` is `ContainerPort`,
/// `apiVersion` `APIVersion`, `podIP` `PodIP`.
fn with_go_names(value: &Value, field: &str) -> Value {
    match value {
        Value::Object(members) if MAPS.contains(&field) => Value::Object(members.clone()),
        Value::Object(members) => {
            let renamed = members
                .iter()
                .map(|(name, value)| (go_name(name), with_go_names(value, name)))
                .collect::<Map<_, _>>();
            Value::Object(renamed)
        }
        Value::Array(items) => items.iter().map(|item| with_go_names(item, field)).collect(),
        other => other.clone(),
    }
}

fn go_name(name: &str) -> String {
    match name {
        "apiVersion" => "APIVersion".to_owned(),
        "uid" => "UID".to_owned(),
        "httpGet" => "HTTPGet".to_owned(),
        "grpc" => "GRPC".to_owned(),
        "tcpSocket" => "TCPSocket".to_owned(),
        name => {
            let mut characters = name.chars();
            let first = characters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(characters).collect()
        }
    }
}
