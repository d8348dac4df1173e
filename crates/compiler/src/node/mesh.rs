//! The mesh's settings.

use std::sync::Arc;

use lateen_mesh::v1;

use super::Source;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mesh {
    /// The ConfigMap; none: defaults.
    pub source: Option<Source>,
    pub root_namespace: Arc<str>,
    pub trust_domain: String,
    pub trust_domain_aliases: Vec<String>,
    pub outbound_policy: v1::OutboundPolicy,
    pub protocol_detection_timeout_ms: u32,
    pub connect_timeout_ms: u32,
    pub access_log: v1::AccessLog,
    pub path_normalization: v1::PathNormalization,
    pub auto_mtls: bool,
    pub service_export: Vec<String>,
    pub route_export: Vec<String>,
    pub rule_export: Vec<String>,
    /// What applies where a rule says nothing; none: no retries.
    pub retries: Option<v1::RetryPolicy>,
}
