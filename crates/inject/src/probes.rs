//! Probes of the application go through the proxy: the kubelet has no certificate, and its probes
//! would be part of the mesh's traffic. It asks the proxy's status port, and the proxy asks the
//! application, as its variable `ISTIO_KUBE_APP_PROBERS` says.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::json::{annotation, items_mut, named, switch};
use crate::names;

/// What the proxy asks, by the path at which it is asked.
pub(crate) type Probers = BTreeMap<String, Value>;

/// Probes of a container and the last part of their path.
const PROBES: [(&str, &str); 3] =
    [("readinessProbe", "readyz"), ("livenessProbe", "livez"), ("startupProbe", "startupz")];
/// Hooks of a container and the last part of their path.
const HOOKS: [(&str, &str); 2] = [("preStop", "prestopz"), ("postStart", "poststartz")];

/// What can be asked through the proxy.
const HANDLERS: [&str; 3] = ["httpGet", "tcpSocket", "grpc"];

/// Whether probes are rewritten: what the annotation says, else the value.
pub(crate) fn wanted(pod: &Value, default: bool) -> bool {
    annotation(pod, names::REWRITE_PROBES).and_then(switch).unwrap_or(default)
}

/// Rewrites all probes and hooks of containers but the proxy's; gives what the proxy is to ask.
pub(crate) fn rewrite(pod: &mut Value, port: u16) -> Probers {
    let mut probers = Probers::new();
    for field in ["containers", "initContainers"] {
        for container in items_mut(&mut pod["spec"], field) {
            if container["name"] != names::PROXY {
                rewrite_container(container, port, &mut probers);
            }
        }
    }
    probers
}

fn rewrite_container(container: &mut Value, port: u16, probers: &mut Probers) {
    let name = container["name"].as_str().unwrap_or_default().to_owned();
    let ports: Map<String, Value> = crate::json::items(container, "ports")
        .iter()
        .filter_map(|port| Some((port["name"].as_str()?.to_owned(), port["containerPort"].clone())))
        .collect();
    for (field, last) in PROBES {
        let path = format!("/app-health/{name}/{last}");
        if let Some(probe) = container.get_mut(field)
            && let Some(mut prober) = through_proxy(probe, &path, port, &ports)
        {
            if !probe["timeoutSeconds"].is_null() {
                prober["timeoutSeconds"] = probe["timeoutSeconds"].clone();
            }
            probers.insert(path, prober);
        }
    }
    for (field, last) in HOOKS {
        let path = format!("/app-lifecycle/{name}/{last}");
        let hook = container.get_mut("lifecycle").and_then(|lifecycle| lifecycle.get_mut(field));
        // A gRPC hook does not exist.
        if let Some(hook) = hook
            && let Some(prober) = through_proxy(hook, &path, port, &ports)
        {
            probers.insert(path, prober);
        }
    }
}

/// Makes a probe one of the proxy; gives what it asked before. Nothing happens to a probe that runs a
/// program, that asks a named port that the container does not have, or that asks the proxy already.
fn through_proxy(
    probe: &mut Value,
    path: &str,
    port: u16,
    ports: &Map<String, Value>,
) -> Option<Value> {
    let kind = HANDLERS.into_iter().find(|kind| probe[*kind].is_object())?;
    let mut handler = probe[kind].clone();
    if let Some(name) = handler["port"].as_str() {
        // A number that is written as text is one.
        handler["port"] = match name.parse::<u16>() {
            Ok(number) => json!(number),
            Err(_) => ports.get(name)?.clone(),
        };
    }
    if handler["port"] == port {
        return None;
    }
    let mut asked = match kind {
        "httpGet" => handler.clone(),
        _ => json!({}),
    };
    asked["path"] = json!(path);
    asked["port"] = json!(port);
    // The kubelet speaks plain HTTP with the proxy, and the proxy TLS with the application.
    if asked["scheme"] == "HTTPS" {
        asked["scheme"] = json!("HTTP");
    }
    let members = probe.as_object_mut().expect("invariant: it has a handler");
    members.shift_remove(kind);
    members.insert("httpGet".to_owned(), asked);
    Some(json!({ kind: handler }))
}

/// The probers that an injected pod's proxy has.
pub(crate) fn of_pod(pod: &Value) -> Probers {
    let variable = ["containers", "initContainers"].into_iter().find_map(|field| {
        let proxy = named(crate::json::items(&pod["spec"], field), names::PROXY)?;
        named(crate::json::items(proxy, "env"), names::PROBERS)?["value"].as_str()
    });
    variable.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Undoes [`rewrite`]: probes that ask for a path of `probers` ask what they did before.
pub(crate) fn restore(pod: &mut Value, probers: &Probers) {
    for field in ["containers", "initContainers"] {
        for container in items_mut(&mut pod["spec"], field) {
            for (probe, _) in PROBES {
                restore_probe(container.get_mut(probe), probers);
            }
            if let Some(lifecycle) = container.get_mut("lifecycle") {
                for (hook, _) in HOOKS {
                    restore_probe(lifecycle.get_mut(hook), probers);
                }
            }
        }
    }
}

fn restore_probe(probe: Option<&mut Value>, probers: &Probers) {
    let Some(probe) = probe else { return };
    let prober = probe["httpGet"]["path"].as_str().and_then(|path| probers.get(path)).cloned();
    let (Some(prober), Some(members)) = (prober, probe.as_object_mut()) else { return };
    let handler = HANDLERS.into_iter().find(|kind| prober[*kind].is_object());
    if let Some(kind) = handler {
        members.shift_remove("httpGet");
        members.insert(kind.to_owned(), prober[kind].clone());
    }
}
