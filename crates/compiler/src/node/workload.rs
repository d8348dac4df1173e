//! Workloads, and what lists them as endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Labels, Source, WorkloadKey};

/// What a workload is known from; where several know it, the first in this order counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum WorkloadSource {
    Pod,
    Entry,
    /// Its own proxy is connected; nothing else is known.
    Client,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    pub from: WorkloadSource,
    pub source: Option<Source>,
    pub key: WorkloadKey,
    pub labels: Labels,
    pub service_account: Arc<str>,
    pub addresses: Arc<[IpAddr]>,
    /// A host name or Unix path instead of addresses (WorkloadEntry).
    pub host: Option<Arc<str>>,
    /// Its ports by name: container ports, or a WorkloadEntry's.
    pub ports: Arc<[(Arc<str>, u16)]>,
    /// Name and kind of the owning workload.
    pub owner: (Arc<str>, Arc<str>),
    pub network: Arc<str>,
    /// Its own word on where it is; else its node's counts.
    pub locality: Arc<str>,
    /// The node that it runs on.
    pub node: Arc<str>,
    pub weight: u32,
    /// Mesh TLS is spoken there.
    pub mesh_tls: bool,
    /// A sidecar stands in front of it (local mode).
    pub sidecar: bool,
    pub ready: bool,
}

impl Workload {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }

    /// Istio's canonical service name.
    pub fn canonical_name(&self) -> &str {
        ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"]
            .into_iter()
            .find_map(|label| self.label(label))
            .unwrap_or(&self.owner.0)
    }

    /// Istio's canonical revision.
    pub fn canonical_revision(&self) -> &str {
        ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"]
            .into_iter()
            .find_map(|label| self.label(label))
            .unwrap_or("latest")
    }
}

/// Namespace and name of a service account.
pub(crate) type Account = (Arc<str>, Arc<str>);

/// The ports of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndpointPorts {
    /// By the names of the service's ports; others do not exist here (EndpointSlice).
    Listed(Arc<[(Arc<str>, u16)]>),
    /// By the names of the service's ports; others are the service's target port.
    Overrides(Arc<[(Arc<str>, u16)]>),
}

/// One endpoint as something lists it, before it is known which workload it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEndpoint {
    /// The workload, where it is named.
    pub workload: Option<WorkloadKey>,
    pub addresses: Arc<[IpAddr]>,
    pub unix_path: Option<Arc<str>>,
    pub ports: EndpointPorts,
    pub ready: bool,
    pub terminating: bool,
    /// What is said of an endpoint that is no known workload.
    pub inline: Option<Arc<super::InlineEndpoint>>,
}

/// The endpoints that one object lists for one service, by what distinguishes them in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listed(pub BTreeMap<Arc<str>, Arc<RawEndpoint>>);
