//! What all listeners share: the HTTP connection manager, the TCP proxy, access logs, policies.

mod access_log;
mod format;
mod http_connection_manager;
mod rbac;
mod tcp_proxy;
mod tokens;

use envoy_types::pb::envoy::config::listener::v3::{Filter, filter::ConfigType};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter, http_filter,
};
use envoy_types::pb::google::protobuf::Any;

pub(crate) use access_log::listener_log;
pub(crate) use format::problems as access_log_problems;
pub(crate) use http_connection_manager::{HttpConnectionManager, RouteSource};
pub(crate) use rbac::{Authorization, Destined};
pub(crate) use tcp_proxy::tcp_proxy;

/// On which side of a workload a listener stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Takes what the workload sends.
    Outbound,
    /// Takes what is sent to the workload.
    Inbound,
    /// Takes what comes to the edge of the mesh.
    Gateway,
}

impl Place {
    /// As log names begin with it.
    const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Gateway => "gateway",
        }
    }
}

/// A network filter.
fn network_filter(name: &str, config: Any) -> Filter {
    Filter { name: name.to_owned(), config_type: Some(ConfigType::TypedConfig(config)) }
}

/// An HTTP filter.
fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}
