//! What the proxy says of itself to the control plane.

use std::collections::BTreeMap;

use lateen_xds::wire::Node;
use prost_types::value::Kind;
use prost_types::{Struct, Value};

use crate::settings::{Role, Settings};

/// The domain in a node id. It is not known before the first configuration, and the control plane
/// reads nothing but the namespace before it.
const DOMAIN: &str = "cluster.local";

/// `<type>~<ip>~<workload>.<namespace>~<namespace>.svc.<domain>`, Istio's form.
#[must_use]
pub fn node_id(settings: &Settings) -> String {
    let role = match settings.role {
        Role::Sidecar => "sidecar",
        Role::Gateway => "router",
    };
    let Settings { namespace, workload, .. } = settings;
    // The address is that of the control plane's own record; here it only fills its place.
    format!("{role}~127.0.0.1~{workload}.{namespace}~{namespace}.svc.{DOMAIN}")
}

/// The node of the first request.
pub(super) fn node(settings: &Settings) -> Node {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.to_owned())) };
    let flag = |value: bool| text(if value { "true" } else { "false" });
    let eager = settings.eager || settings.role == Role::Gateway;
    let mut fields = BTreeMap::from([
        ("NAME".to_owned(), text(&settings.workload)),
        ("NAMESPACE".to_owned(), text(&settings.namespace)),
        ("LATEEN_EAGER".to_owned(), flag(eager)),
        ("LATEEN_VERSION".to_owned(), text(env!("CARGO_PKG_VERSION"))),
    ]);
    if let Some(account) = &settings.service_account {
        fields.insert("SERVICE_ACCOUNT".to_owned(), text(account));
    }
    Node {
        id: node_id(settings),
        cluster: format!("{}.{}", settings.workload, settings.namespace),
        metadata: Some(Struct { fields }),
        user_agent_name: "lateen-proxy".to_owned(),
        user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Node::default()
    }
}
