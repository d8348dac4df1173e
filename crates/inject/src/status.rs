//! What was injected, as the pod's annotation `sidecar.istio.io/status` says it, and the way back: an
//! injected pod is made the one that its user wrote before it is injected again, so that injecting
//! twice is the same as once.

use serde_json::{Map, Value, json};

use crate::json::{annotation, drop_empty, items, members, named};
use crate::names;
use crate::{probes, prometheus};

/// Lists of a pod's spec that injection adds to, in the order of the annotation.
const LISTS: [&str; 4] = ["initContainers", "containers", "volumes", "imagePullSecrets"];

/// The annotation for what `injected` (the templates' part of a pod) added.
pub(crate) fn of_injected(injected: &Value, revision: &str) -> String {
    let mut status = Map::new();
    for list in LISTS {
        let names: Vec<&Value> =
            items(&injected["spec"], list).iter().map(|item| &item["name"]).collect();
        let names = if names.is_empty() { Value::Null } else { json!(names) };
        status.insert(list.to_owned(), names);
    }
    status.insert("revision".to_owned(), json!(revision));
    Value::Object(status).to_string()
}

/// The pod as its user wrote it, as far as the annotations tell; the pod itself if it was never
/// injected. `status_port` is the mesh's.
pub(crate) fn stripped(pod: &Value, status_port: u16) -> Value {
    let mut pod = pod.clone();
    let Some(status) = annotation(&pod, names::STATUS) else { return pod };
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let overrides = annotation(&pod, names::OVERRIDES).map(serde_json::from_str::<Value>);
    let overrides = overrides.and_then(Result::ok).unwrap_or_default();
    prometheus::restore(&mut pod, status_port);
    let probers = probes::of_pod(&pod);
    for list in LISTS {
        let injected = items(&status, list);
        if injected.is_empty() {
            continue;
        }
        let written = items(&overrides, list).to_vec();
        let Some(present) = pod["spec"][list].as_array_mut() else { continue };
        for item in present.iter_mut() {
            if let Some(written) = item["name"].as_str().and_then(|name| named(&written, name)) {
                *item = written.clone();
            }
        }
        present.retain(|item| {
            let name = &item["name"];
            !injected.contains(name) || written.iter().any(|written| written["name"] == *name)
        });
        drop_empty(&mut pod["spec"], list);
    }
    proxy_to_containers(&mut pod);
    probes::restore(&mut pod, &probers);
    let annotations = members(&mut pod["metadata"], "annotations");
    annotations.shift_remove(names::STATUS);
    annotations.shift_remove(names::OVERRIDES);
    pod
}

/// A user who changes the proxy writes a container of its name, which injection has moved to the init
/// containers where the sidecar is one; one that was written there says that it stays.
fn proxy_to_containers(pod: &mut Value) {
    let spec = &mut pod["spec"];
    let Some(init) = spec.get_mut("initContainers").and_then(Value::as_array_mut) else { return };
    let moved = |one: &Value| one["name"] == names::PROXY && one["restartPolicy"].is_null();
    let Some(at) = init.iter().position(moved) else { return };
    let proxy = init.remove(at);
    drop_empty(spec, "initContainers");
    if let Some(containers) = spec.get_mut("containers").and_then(Value::as_array_mut) {
        containers.push(proxy);
    }
}
