//! The order of containers, which is the order in which they start.

use serde_json::Value;

use crate::json::{items, named};
use crate::names;

#[derive(Clone, Copy)]
enum Place {
    First,
    Last,
}

/// Puts the containers in order (Istio: `reorderPod`). A sidecar among the init containers starts
/// after what leads traffic to it and before all others; one among the containers is the last, or,
/// where it holds the application, the first, and what leads traffic to it comes after all other init
/// containers, which would be cut off otherwise.
pub(crate) fn arrange(pod: &mut Value, hold: bool) {
    let spec = &mut pod["spec"];
    let place = if hold { Place::First } else { Place::Last };
    put(spec, "containers", names::PROXY, place);
    let native = named(items(spec, "initContainers"), names::PROXY).is_some();
    if native {
        put(spec, "initContainers", names::PROXY, Place::First);
        put(spec, "initContainers", names::VALIDATION, Place::First);
        put(spec, "initContainers", names::INIT, Place::First);
    } else {
        put(spec, "initContainers", names::VALIDATION, Place::First);
        put(spec, "initContainers", names::INIT, Place::Last);
    }
}

fn put(spec: &mut Value, list: &str, name: &str, place: Place) {
    let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else { return };
    let Some(at) = containers.iter().position(|container| container["name"] == name) else {
        return;
    };
    let container = containers.remove(at);
    match place {
        Place::First => containers.insert(0, container),
        Place::Last => containers.push(container),
    }
}
