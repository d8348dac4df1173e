//! Which templates are applied to a pod, and the two that are built in.

mod container;
mod gateway;
mod init;
mod labels;
mod sidecar;
mod volumes;

pub(crate) use container::{holds, image};

use serde_json::Value;

use crate::custom;
use crate::error::Error;
use crate::json::annotation;
use crate::names;
use crate::owner::Owner;
use crate::settings::{Engine, ProxySettings, Settings};
use crate::traffic::Traffic;

/// User and group of the proxy.
const PROXY_ID: i64 = 1337;

/// Istio's own templates that are not offered, and why.
const NOT_OFFERED: [(&str, &str); 4] = [
    ("grpc-simple", "proxyless gRPC needs Istio's bootstrap generator"),
    ("grpc-agent", "proxyless gRPC needs Istio's agent"),
    ("waypoint", "waypoints are not offered yet"),
    ("kube-gateway", "gateways are not deployed by the control plane; write the Deployment"),
];

/// Whether a name is that of a template of Istio's or ours that no configuration can replace.
pub(crate) fn is_built_in(name: &str) -> bool {
    matches!(name, "sidecar" | "gateway") || NOT_OFFERED.iter().any(|(known, _)| *known == name)
}

/// What a template sees.
pub(crate) struct Context<'a> {
    /// The pod as its user wrote it.
    pub(crate) pod: &'a Value,
    /// Its namespace.
    pub(crate) namespace: &'a str,
    pub(crate) settings: &'a Settings,
    /// The proxy's settings, those of the pod included.
    pub(crate) proxy: ProxySettings,
    pub(crate) owner: &'a Owner,
    pub(crate) cluster: String,
    /// Empty: none.
    pub(crate) network: String,
    pub(crate) traffic: Traffic,
    /// Which port counts as the one for health, and is not captured; 0: there is none.
    pub(crate) status_port: u16,
    /// Where the proxy answers probes and scrapes: what the pod's annotation says, else the mesh's
    /// settings. The chart's value for [`Context::status_port`] does not move it, as in Istio.
    pub(crate) agent_port: u16,
    /// Whether the sidecar is an init container that stays.
    pub(crate) native: bool,
    pub(crate) engine: Engine,
    pub(crate) ids: Ids,
}

/// User and group of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) user: i64,
    pub(crate) group: i64,
}

impl Default for Ids {
    fn default() -> Self {
        Self { user: PROXY_ID, group: PROXY_ID }
    }
}

impl Context<'_> {
    /// The pod's containers but the proxy's.
    pub(crate) fn applications(&self) -> impl Iterator<Item = &Value> {
        let containers = crate::json::items(&self.pod["spec"], "containers");
        containers.iter().filter(|container| container["name"] != names::PROXY)
    }
}

/// The names of the templates for a pod, in order: those of its annotation, else the default's;
/// aliases resolved.
pub(crate) fn chosen(pod: &Value, settings: &Settings) -> Vec<String> {
    let injector = &settings.injector;
    let named: Vec<String> = match annotation(pod, names::TEMPLATES) {
        Some(list) => list.split(',').map(|name| name.trim().to_owned()).collect(),
        None => injector.default_templates.clone(),
    };
    let expand = |name: String| injector.aliases.get(&name).cloned().unwrap_or_else(|| vec![name]);
    named.into_iter().flat_map(expand).collect()
}

/// The part of a pod that a template gives.
pub(crate) fn overlay(name: &str, context: &Context<'_>) -> Result<Value, Error> {
    match name {
        "sidecar" => sidecar::overlay(context),
        "gateway" => gateway::overlay(context),
        other => {
            if let Some((_, why)) = NOT_OFFERED.iter().find(|(known, _)| *known == other) {
                return Err(Error::NotOffered { name: other.to_owned(), why });
            }
            let templates = &context.settings.injector.templates;
            let Some(template) = templates.get(other) else {
                let mut known = vec!["sidecar", "gateway"];
                known.extend(templates.keys().map(String::as_str));
                return Err(Error::UnknownTemplate {
                    name: other.to_owned(),
                    known: known.join(", "),
                });
            };
            custom::overlay(other, template, context)
        }
    }
}
