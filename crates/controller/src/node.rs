//! What a proxy says of itself: Istio's node id and metadata.

use lateen_xds::wire::Node;
use prost_types::value::Kind;

/// `<type>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>`, as Istio's proxies identify
/// themselves. Only the kind of proxy and the name of its workload are taken from it; everything
/// else is looked up in the control plane's own record.
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
    let field = node.metadata.as_ref().and_then(|metadata| metadata.fields.get("LATEEN_EAGER"));
    match field.and_then(|value| value.kind.as_ref()) {
        Some(Kind::BoolValue(value)) => *value,
        Some(Kind::StringValue(value)) => value == "true",
        _ => false,
    }
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
