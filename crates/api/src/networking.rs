//! `networking.istio.io`: routing, destinations, gateways, services outside Kubernetes, scopes.

mod destination_rule;
mod envoy_filter;
mod gateway;
mod proxy_config;
mod service_entry;
mod sidecar;
mod string_match;
mod traffic_policy;
mod virtual_service;
mod workload_entry;
mod workload_group;

pub use destination_rule::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use proxy_config::*;
pub use service_entry::*;
pub use sidecar::*;
pub use string_match::*;
pub use traffic_policy::*;
pub use virtual_service::*;
pub use workload_entry::*;
pub use workload_group::*;
