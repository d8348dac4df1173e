//! Objects with pods in them, injected where they are written and not where they run
//! (`lateen inject`).

use serde_json::Value;

use crate::decide::{Decision, Labels, Reason, decide};
use crate::error::Error;
use crate::inject::{Request, inject};
use crate::owner::Owner;
use crate::settings::Settings;

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Its pods have a sidecar now. The warnings are for people.
    Injected(Vec<String>),
    /// Its pods are none of those that are injected.
    Skipped(Reason),
    /// It has no pods.
    NoPods,
}

/// The pods of an object: a pointer to what they are made of, if it has any. Every kind that keeps a
/// pod's template where Kubernetes' own kinds do counts.
#[must_use]
pub fn pod_template(object: &Value) -> Option<&'static str> {
    let is_pod = |pointer: &str| {
        let spec = object.pointer(pointer).map(|pod| &pod["spec"]["containers"]);
        spec.is_some_and(Value::is_array)
    };
    match object["kind"].as_str()? {
        "Pod" => is_pod("").then_some(""),
        "PodTemplate" => is_pod("/template").then_some("/template"),
        "CronJob" => {
            let pointer = "/spec/jobTemplate/spec/template";
            is_pod(pointer).then_some(pointer)
        }
        _ => is_pod("/spec/template").then_some("/spec/template"),
    }
}

/// Injects the pods of an object. `namespace` is that of objects that name none, and
/// `annotations` gives a namespace's annotations.
///
/// # Errors
/// When its pods ask for something that cannot be.
pub fn inject_object(
    object: &mut Value,
    namespace: &str,
    annotations: &dyn Fn(&str) -> Labels,
    settings: &Settings,
) -> Result<Outcome, Error> {
    let Some(pointer) = pod_template(object) else { return Ok(Outcome::NoPods) };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let namespace = text(&object["metadata"]["namespace"]).unwrap_or_else(|| namespace.to_owned());
    let owner = (!pointer.is_empty()).then(|| Owner {
        api_version: text(&object["apiVersion"]).unwrap_or_default(),
        kind: text(&object["kind"]).unwrap_or_default(),
        name: text(&object["metadata"]["name"]).unwrap_or_default(),
    });
    let pod = object.pointer_mut(pointer).expect("invariant: the pointer was followed above");
    if let Decision::Skip(reason) = decide(pod, &namespace, &settings.injector) {
        return Ok(Outcome::Skipped(reason));
    }
    let request = Request {
        pod,
        namespace: &namespace,
        namespace_annotations: &annotations(&namespace),
        owner,
        variables: &[],
    };
    let injection = inject(&request, settings)?;
    *pod = injection.pod;
    Ok(Outcome::Injected(injection.warnings))
}

/// The objects of a list, and of lists in it; the object itself where it is none.
#[must_use]
pub fn flattened(object: Value) -> Vec<Value> {
    let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
        && object["items"].is_array();
    match object {
        Value::Object(mut members) if is_list => {
            let items = members.remove("items").unwrap_or_default();
            let Value::Array(items) = items else { return Vec::new() };
            items.into_iter().flat_map(flattened).collect()
        }
        object => vec![object],
    }
}
