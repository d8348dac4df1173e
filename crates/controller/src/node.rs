//! What a proxy says of itself: Istio's node id and metadata.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lateen_compiler::Client;
use lateen_xds::wire::Node;
use prost_types::value::Kind;

use crate::distribution::Beside;

/// `<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>`, as Istio's proxies identify
/// themselves. Only the kind of proxy and the name of its workload are taken from it; everything
/// else is looked up in the control plane's own record ([`described`] is for the plain-text port).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeId {
    /// What the proxy does.
    pub(crate) role: lateen_compiler::Role,
    /// The workload's namespace.
    pub(crate) namespace: String,
    /// The workload's name.
    pub(crate) name: String,
}

/// Why a node id is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidNodeId {
    /// It does not have its four parts.
    #[error("`{0}` is no node id; `<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>` is")]
    Shape(String),
    /// A kind of proxy that is not served.
    #[error("a proxy of type `{0}` is not served here; `sidecar` and `router` are")]
    Type(String),
    /// Its metadata names another namespace.
    #[error("the node `{0}` says in its metadata (NAMESPACE) that it is of another namespace")]
    Namespace(String),
}

impl NodeId {
    /// Reads a node id.
    pub(crate) fn parse(id: &str) -> Result<Self, InvalidNodeId> {
        let shape = || InvalidNodeId::Shape(id.to_owned());
        let parts: Vec<&str> = id.split('~').collect();
        let [role, _, workload, domain] = parts[..] else { return Err(shape()) };
        let role = match role {
            "sidecar" => lateen_compiler::Role::Sidecar,
            "router" => lateen_compiler::Role::Gateway,
            other => return Err(InvalidNodeId::Type(other.to_owned())),
        };
        // A pod's name may have dots, a namespace's may not.
        let (name, namespace) = workload.rsplit_once('.').ok_or_else(shape)?;
        let in_domain = domain == namespace
            || domain.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('.'));
        if name.is_empty() || namespace.is_empty() || !in_domain {
            return Err(shape());
        }
        Ok(Self { role, namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// Istio's word for the kind of proxy.
    pub(crate) fn proxy_type(&self) -> &'static str {
        match self.role {
            lateen_compiler::Role::Sidecar => "sidecar",
            lateen_compiler::Role::Gateway => "router",
        }
    }
}

/// `<pod>.<namespace>`, as Istio's tools name a proxy.
impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// Whether the node asks for its whole scope at once (`LATEEN_EAGER`, a boolean or its name).
pub(crate) fn wants_whole_scope(node: &Node) -> bool {
    is_set(node, "LATEEN_EAGER")
}

/// Whether an agent asks, for itself (`LATEEN_AGENT`).
pub(crate) fn is_agent(node: &Node) -> bool {
    is_set(node, "LATEEN_AGENT")
}

/// What stands beside an Envoy: `LATEEN_AGENT`, `LATEEN_TELEMETRY`.
pub(crate) fn beside(node: &Node) -> Beside {
    Beside { agent: is_agent(node), telemetry: is_set(node, "LATEEN_TELEMETRY") }
}

/// The workload as its node describes it, which counts where nobody applied it: Istio's metadata
/// (`LABELS`, `SERVICE_ACCOUNT`, `INSTANCE_IPS`, `NETWORK`, `OWNER`), the id and the locality.
///
/// # Errors
/// When the metadata's `NAMESPACE` is not the id's.
pub(crate) fn described(node: &Node, id: &NodeId) -> Result<Client, InvalidNodeId> {
    let text = |name: &str| text(node, name);
    let namespace = text("NAMESPACE");
    if namespace.is_some_and(|namespace| namespace != id.namespace) {
        return Err(InvalidNodeId::Namespace(node.id.clone()));
    }
    let listed = text("INSTANCE_IPS").unwrap_or_default().split(',');
    let own = node.id.split('~').nth(1);
    let mut addresses: Vec<IpAddr> =
        listed.chain(own).filter_map(|address| address.trim().parse().ok()).collect();
    let mut seen = BTreeSet::new();
    addresses.retain(|address| seen.insert(*address));
    let locality = node.locality.clone().unwrap_or_default();
    let places = [locality.region, locality.zone, locality.sub_zone];
    Ok(Client {
        role: id.role,
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        labels: labels(node),
        service_account: text("SERVICE_ACCOUNT").unwrap_or_default().to_owned(),
        addresses,
        network: text("NETWORK").unwrap_or_default().to_owned(),
        locality: places.join("/").trim_end_matches('/').to_owned(),
        owner: text("OWNER").and_then(owner),
        whole_scope: false,
    })
}

/// The kind and the name of what owns a pod, from `kubernetes://apis/apps/v1/namespaces/shop/deployments/web`.
fn owner(uri: &str) -> Option<(String, String)> {
    let mut parts = uri.rsplit('/');
    let (name, kinds) = (parts.next()?, parts.next()?);
    Some((name.to_owned(), kinds.strip_suffix('s').unwrap_or(kinds).to_owned()))
}

fn labels(node: &Node) -> BTreeMap<String, String> {
    let Some(Kind::StructValue(labels)) = field(node, "LABELS") else { return BTreeMap::new() };
    let text = |(name, value): (&String, &prost_types::Value)| match &value.kind {
        Some(Kind::StringValue(value)) => Some((name.clone(), value.clone())),
        _ => None,
    };
    labels.fields.iter().filter_map(text).collect()
}

fn is_set(node: &Node, name: &str) -> bool {
    match field(node, name) {
        Some(Kind::BoolValue(value)) => *value,
        Some(Kind::StringValue(value)) => value == "true",
        _ => false,
    }
}

fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    match field(node, name) {
        Some(Kind::StringValue(value)) => Some(value),
        _ => None,
    }
}

fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Kind> {
    node.metadata.as_ref()?.fields.get(name)?.kind.as_ref()
}

#[cfg(test)]
mod tests {
    use lateen_compiler::Role;
    use prost_types::{Struct, Value};

    use super::*;

    #[test]
    fn node_ids_are_read() {
        for (text, role, name, namespace) in [
            ("sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local", Role::Sidecar, "web-1", "shop"),
            ("router~::1~gw.v2.front~front.svc.example.com", Role::Gateway, "gw.v2", "front"),
            ("sidecar~~vm.shop~shop", Role::Sidecar, "vm", "shop"),
        ] {
            let read = NodeId::parse(text);
            let (name, namespace) = (name.to_owned(), namespace.to_owned());
            assert_eq!(read, Ok(NodeId { role, namespace, name }), "{text}");
        }
    }

    #[test]
    fn what_is_no_node_id_is_refused() {
        for text in [
            "",
            "web-1",
            "sidecar~10.0.0.1~web-1.shop",
            "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local~more",
            "sidecar~10.0.0.1~web-1~shop.svc.cluster.local",
            "sidecar~10.0.0.1~.shop~shop.svc.cluster.local",
            "sidecar~10.0.0.1~web-1.shop~shopping.svc.cluster.local",
            "sidecar~10.0.0.1~web-1.shop~other.svc.cluster.local",
        ] {
            assert_eq!(NodeId::parse(text), Err(InvalidNodeId::Shape(text.to_owned())), "{text}");
        }
        let ztunnel = NodeId::parse("ztunnel~10.0.0.1~z.kube-system~kube-system.svc.cluster.local");
        assert_eq!(ztunnel, Err(InvalidNodeId::Type("ztunnel".to_owned())));
    }

    #[test]
    fn a_node_describes_its_workload() {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let labels = Struct { fields: [("app".to_owned(), text("web"))].into() };
        let labels = Value { kind: Some(Kind::StructValue(labels)) };
        let fields = [
            ("NAMESPACE", text("shop")),
            ("LABELS", labels),
            ("SERVICE_ACCOUNT", text("web")),
            ("INSTANCE_IPS", text("10.0.0.1,fd00::1")),
            ("NETWORK", text("n1")),
            ("OWNER", text("kubernetes://apis/apps/v1/namespaces/shop/deployments/web")),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
        let mut node = Node {
            id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local".to_owned(),
            metadata: Some(Struct { fields }),
            ..Node::default()
        };
        let id = NodeId::parse(&node.id).unwrap();
        let client = described(&node, &id).unwrap();
        assert_eq!((client.name.as_str(), client.namespace.as_str()), ("web-1", "shop"));
        assert_eq!(client.labels, [("app".to_owned(), "web".to_owned())].into());
        assert_eq!((client.service_account.as_str(), client.network.as_str()), ("web", "n1"));
        assert_eq!(client.owner, Some(("web".to_owned(), "deployment".to_owned())));
        let addresses: Vec<String> = client.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "fd00::1"]);

        node.id = "sidecar~10.0.0.1~web-1.other~other.svc.cluster.local".to_owned();
        let id = NodeId::parse(&node.id).unwrap();
        let refused = described(&node, &id);
        assert_eq!(refused, Err(InvalidNodeId::Namespace(node.id)));
    }

    #[test]
    fn the_whole_scope_is_asked_for_by_metadata() {
        let node = |kind: Kind| Node {
            metadata: Some(Struct {
                fields: [("LATEEN_EAGER".to_owned(), Value { kind: Some(kind) })].into(),
            }),
            ..Node::default()
        };
        assert!(wants_whole_scope(&node(Kind::BoolValue(true))));
        assert!(wants_whole_scope(&node(Kind::StringValue("true".to_owned()))));
        assert!(!wants_whole_scope(&node(Kind::StringValue("yes".to_owned()))));
        assert!(!wants_whole_scope(&Node::default()));
    }
}
