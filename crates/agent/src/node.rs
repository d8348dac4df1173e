//! What Envoy says of itself: its node, and the metadata that its peers are told.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName};
use lateen_mesh::address::decode_address;
use lateen_mesh::v1;
use lateen_proxy::settings::Role;
use lateen_proxy::telemetry::{OwnWorkload, peer};
use serde_json::{Map, Value, json};

use crate::facts::Facts;
use crate::settings::Settings;

/// Environment variables of Envoy with the constant headers of peer metadata, which the
/// configuration names as `%ENVIRONMENT(…)%`.
pub const PEER_METADATA: (&str, &str) = ("LATEEN_PEER_METADATA", "LATEEN_PEER_METADATA_ID");

/// Labels of pods that say nothing of the workload, but differ with every version of it.
const DROPPED_LABELS: [&str; 1] = ["pod-template-hash"];

/// Who the workload is, as Envoy and its peers are told.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `node` of the bootstrap.
    pub node: Value,
    /// The workload, as metrics name it.
    pub own: OwnWorkload,
    /// Names and values of the variables in [`PEER_METADATA`].
    pub environment: Vec<(&'static str, String)>,
}

impl Identity {
    /// The identity of the workload that the facts describe.
    #[must_use]
    pub fn new(settings: &Settings, facts: &Facts) -> Self {
        let workload = facts.workload();
        let id = node_id(&workload, facts);
        let own = OwnWorkload::new(&workload, &facts.settings.trust_domain, &id);
        let mut headers = HeaderMap::new();
        own.announce(&mut headers);
        let value = |header: &HeaderName| {
            let value = headers.get(header).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let environment = vec![
            (PEER_METADATA.0, value(&peer::METADATA)),
            (PEER_METADATA.1, value(&peer::METADATA_ID)),
        ];
        let node = json!({
            "id": id,
            "cluster": service_cluster(&workload),
            "locality": locality(&workload.locality),
            "metadata": metadata(settings, facts, &workload),
        });
        Self { node, own, environment }
    }
}

/// `<type>~<ip>~<workload>.<namespace>~<namespace>.svc.<domain>` (`istio-contracts.md` §6).
fn node_id(workload: &v1::Workload, facts: &Facts) -> String {
    let kind = match facts.role {
        Role::Sidecar => "sidecar",
        Role::Gateway => "router",
    };
    let address = addresses(workload).first().copied();
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let v1::Workload { name, namespace, .. } = workload;
    let domain = &facts.settings.cluster_domain;
    let domain = if domain.is_empty() { "cluster.local" } else { domain };
    format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.{domain}")
}

/// `<label app>.<namespace>`, else `<workload>.<namespace>`.
fn service_cluster(workload: &v1::Workload) -> String {
    let name = match workload.labels.get("app") {
        Some(app) if !app.is_empty() => app,
        _ => &workload.owner_name,
    };
    let name = if name.is_empty() { &workload.name } else { name };
    format!("{name}.{}", workload.namespace)
}

fn locality(text: &str) -> Value {
    let mut parts = text.splitn(3, '/');
    let mut next = || parts.next().unwrap_or_default();
    json!({"region": next(), "zone": next(), "sub_zone": next()})
}

fn metadata(settings: &Settings, facts: &Facts, workload: &v1::Workload) -> Value {
    let mut fields = Map::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        }
    };
    let addresses: Vec<String> = addresses(workload).iter().map(ToString::to_string).collect();
    let flag = |value: bool| if value { "true" } else { "false" };
    let redirected = facts.inbound.local_base.is_empty();
    let owner = if workload.owner_name.is_empty() { &workload.name } else { &workload.owner_name };
    field("NAME", &workload.name);
    field("NAMESPACE", &workload.namespace);
    field("WORKLOAD_NAME", owner);
    field("OWNER", &peer::owner(workload));
    field("SERVICE_ACCOUNT", &workload.service_account);
    field("CLUSTER_ID", &workload.cluster);
    field("NETWORK", &workload.network);
    field("MESH_ID", &workload.mesh_id);
    field("INSTANCE_IPS", &addresses.join(","));
    field("INTERCEPTION_MODE", if redirected { "REDIRECT" } else { "NONE" });
    field("ENVOY_STATUS_PORT", &settings.proxy.ports.health.to_string());
    field("LATEEN_AGENT", flag(true));
    field("LATEEN_TELEMETRY", flag(settings.telemetry));
    field("LATEEN_VERSION", env!("CARGO_PKG_VERSION"));
    let labels: Map<String, Value> = workload
        .labels
        .iter()
        .filter(|(name, _)| !DROPPED_LABELS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    fields.insert("LABELS".to_owned(), labels.into());
    fields.into()
}

fn addresses(workload: &v1::Workload) -> Vec<IpAddr> {
    workload.addresses.iter().filter_map(|bytes| decode_address(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(role: Role) -> Facts {
        let labels = [("app", "web"), ("version", "v1"), ("pod-template-hash", "5d4f")];
        let workload = v1::Workload {
            name: "web-1".to_owned(),
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            owner_name: "web".to_owned(),
            owner_kind: "deployment".to_owned(),
            cluster: "east".to_owned(),
            locality: "r1/z2".to_owned(),
            addresses: vec![vec![10, 0, 0, 1].into()],
            ..v1::Workload::default()
        };
        let settings =
            v1::Settings { trust_domain: "example.org".to_owned(), ..v1::Settings::default() };
        let inbound = v1::Inbound { workload: Some(workload), ..v1::Inbound::default() };
        Facts { settings, inbound, role }
    }

    fn identity(role: Role) -> Identity {
        let proxy = lateen_proxy::settings::Settings::new("127.0.0.1:1", "shop", "web-1", "/state");
        Identity::new(&Settings::new(proxy, "envoy".into()), &facts(role))
    }

    #[test]
    fn the_node_is_istios() {
        let Identity { node, .. } = identity(Role::Sidecar);
        insta::assert_snapshot!(serde_json::to_string_pretty(&node).unwrap());
        let Identity { node, .. } = identity(Role::Gateway);
        assert_eq!(node["id"], "router~10.0.0.1~web-1.shop~shop.svc.cluster.local");
    }

    #[test]
    fn peers_are_told_what_a_native_proxy_tells() {
        let Identity { environment, own, node } = identity(Role::Sidecar);
        let mut headers = HeaderMap::new();
        own.announce(&mut headers);
        let expected = [
            (PEER_METADATA.0, headers[peer::METADATA].to_str().unwrap().to_owned()),
            (PEER_METADATA.1, node["id"].as_str().unwrap().to_owned()),
        ];
        assert_eq!(environment, expected);
        assert_eq!(own.principal, "spiffe://example.org/ns/shop/sa/web");
    }
}
