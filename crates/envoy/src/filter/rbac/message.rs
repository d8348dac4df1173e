//! The filters' messages. The generated ones keep policies in a hash map, whose bytes differ from
//! run to run; these are the same on the wire, in order.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::rbac::v3::{Policy, rbac};
use envoy_types::pb::google::protobuf::Any;
use lateen_mesh::v1::authorization_policy::Action;
use prost::Message;

/// `envoy.config.rbac.v3.RBAC`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Rules {
    #[prost(enumeration = "rbac::Action", tag = "1")]
    pub(super) action: i32,
    #[prost(btree_map = "string, message", tag = "2")]
    pub(super) policies: BTreeMap<String, Policy>,
}

/// `envoy.extensions.filters.http.rbac.v3.RBAC`.
#[derive(Clone, PartialEq, Message)]
struct HttpRbac {
    #[prost(message, optional, tag = "1")]
    rules: Option<Rules>,
    #[prost(message, optional, tag = "2")]
    shadow_rules: Option<Rules>,
    #[prost(string, tag = "3")]
    shadow_rules_stat_prefix: String,
}

/// `envoy.extensions.filters.network.rbac.v3.RBAC`.
#[derive(Clone, PartialEq, Message)]
struct NetworkRbac {
    #[prost(message, optional, tag = "1")]
    rules: Option<Rules>,
    #[prost(message, optional, tag = "2")]
    shadow_rules: Option<Rules>,
    #[prost(string, tag = "3")]
    stat_prefix: String,
    #[prost(string, tag = "5")]
    shadow_rules_stat_prefix: String,
}

/// One filter: what is enforced, and what is only reported.
#[derive(Debug)]
pub(super) struct Rbac {
    pub(super) action: Action,
    pub(super) rules: Option<Rules>,
    pub(super) shadow: Option<Rules>,
}

impl Rbac {
    /// As an HTTP filter's configuration.
    pub(super) fn http(self) -> Any {
        let message = HttpRbac {
            shadow_rules_stat_prefix: self.shadow_prefix(),
            rules: self.rules,
            shadow_rules: self.shadow,
        };
        any("http", &message)
    }

    /// As a network filter's configuration.
    pub(super) fn network(self) -> Any {
        let message = NetworkRbac {
            shadow_rules_stat_prefix: self.shadow_prefix(),
            rules: self.rules,
            shadow_rules: self.shadow,
            stat_prefix: "tcp.".to_owned(),
        };
        any("network", &message)
    }

    /// Istio's prefixes of the statistics of dry runs.
    fn shadow_prefix(&self) -> String {
        match (&self.shadow, self.action) {
            (None, _) => String::new(),
            (Some(_), Action::Allow) => "istio_dry_run_allow_".to_owned(),
            (Some(_), _) => "istio_dry_run_deny_".to_owned(),
        }
    }
}

fn any(layer: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/envoy.extensions.filters.{layer}.rbac.v3.RBAC"),
        value: message.encode_to_vec(),
    }
}
