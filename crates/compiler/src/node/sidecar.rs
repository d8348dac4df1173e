//! Sidecars.

use std::sync::Arc;

use lateen_mesh::v1::OutboundPolicy;

use super::Source;
use crate::scope::Selector;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sidecar {
    pub source: Source,
    pub namespace: Arc<str>,
    /// None: the namespace's default.
    pub selector: Option<Selector>,
    /// Empty: everything is seen.
    pub egress: Vec<EgressListener>,
    pub outbound_policy: Option<OutboundPolicy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EgressListener {
    /// Only this port of the services; none: every port.
    pub port: Option<u16>,
    pub hosts: Vec<EgressHost>,
    /// What `~namespace/host` takes away.
    pub except: Vec<EgressHost>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EgressHost {
    pub namespace: NamespacePattern,
    pub host: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamespacePattern {
    Any,
    None,
    Is(Arc<str>),
}

impl NamespacePattern {
    pub fn matches(&self, namespace: &str) -> bool {
        match self {
            Self::Any => true,
            Self::None => false,
            Self::Is(own) => &**own == namespace,
        }
    }
}
