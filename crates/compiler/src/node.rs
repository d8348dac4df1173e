//! What Lower makes of one object: nodes, each complete in itself and without a reference into another.
//!
//! Nodes are compared by content: where a change of an object leaves its node equal, nothing depends on
//! the change.

mod authentication;
mod authorization;
mod gateway;
mod mesh;
mod route;
mod rule;
mod service;
mod sidecar;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use lateen_api::object::{Object, ObjectRef};

pub(crate) use authentication::{Mode, PeerAuthentication};
pub(crate) use authorization::{Authorization, Policy};
pub(crate) use gateway::{Gateway, Secret, Server, ServerProtocol, ServerTls};
pub(crate) use mesh::{Exports, Mesh, MeshPart, Traffic, Trust};
pub(crate) use route::{
    Backend, Binding, HttpAction, HttpMatch, HttpRule, L4Match, L4Rule, MESH_GATEWAY, Retries,
    Route,
};
pub(crate) use rule::{Blocks, LoadBalancing, Rule, Subset, TrafficPolicy};
pub(crate) use service::{
    Alias, InlineEndpoint, Registry, Resolution, Service, ServicePort, Target,
};
pub(crate) use sidecar::{EgressHost, EgressListener, NamespacePattern, Sidecar};
pub(crate) use workload::{Account, EndpointPorts, Listed, RawEndpoint, Workload, WorkloadSource};

/// Labels, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Labels(pub Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    pub fn new(labels: &BTreeMap<String, String>) -> Self {
        Self(
            labels
                .iter()
                .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(have, _)| have.as_ref().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// Whether everything that these labels ask for is among `labels`; nothing asked for selects everything.
    pub fn select(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(name, value)| {
            labels.get(name.as_ref()).is_some_and(|have| have.as_str() == value.as_ref())
        })
    }

    /// The same, for labels of a node.
    pub fn select_labels(&self, labels: &Labels) -> bool {
        self.0.iter().all(|(name, value)| labels.get(name) == Some(value))
    }

    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }
}

/// A service: several may have one host, but only one in a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServiceKey {
    pub namespace: Arc<str>,
    pub host: Arc<str>,
}

/// A workload: a pod, a WorkloadEntry, or a client that the control plane knows otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct WorkloadKey {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
}

/// The object that a node came from, ordered by age: the oldest of several that contend wins, then by
/// name, then by namespace. An object without a time counts as older than every other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    pub created: Option<Timestamp>,
    pub object: Arc<ObjectRef>,
}

impl Source {
    pub fn of(object: &Object) -> Self {
        Self { created: object.meta.creation_timestamp, object: Arc::new(object.reference()) }
    }

    fn key(&self) -> (Option<Timestamp>, &str, &str, lateen_api::kind::Kind) {
        let ObjectRef { kind, namespace, name } = &*self.object;
        (self.created, name, namespace, *kind)
    }
}

impl PartialOrd for Source {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Source {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Who sees an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExportTo {
    /// As the mesh's settings say.
    Default,
    /// Every namespace.
    All,
    /// These namespaces; none of them: nobody.
    Namespaces(Arc<[Arc<str>]>),
}

impl ExportTo {
    /// Reads a list as users write it; `.` stands for `own`.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a str>, own: &str) -> Self {
        let mut namespaces = Vec::new();
        let mut any = false;
        for value in values {
            any = true;
            match value.trim() {
                "*" => return Self::All,
                "~" | "" => {}
                "." => namespaces.push(own.into()),
                name => namespaces.push(name.into()),
            }
        }
        if any { Self::Namespaces(namespaces.into()) } else { Self::Default }
    }

    /// Whether a namespace (`is_namespace` knows it) sees it, where `default` is what the mesh says. The default is written for no
    /// particular namespace: a `.` in it stands for `own`.
    pub fn includes(
        &self,
        is_namespace: impl Fn(&Arc<str>) -> bool,
        own: &str,
        default: &[String],
    ) -> bool {
        match self {
            Self::All => true,
            Self::Namespaces(namespaces) => namespaces.iter().any(is_namespace),
            Self::Default => match Self::read(default.iter().map(String::as_str), own) {
                Self::Namespaces(namespaces) => namespaces.iter().any(is_namespace),
                Self::All | Self::Default => true,
            },
        }
    }
}

/// The wildcards above a host, longest first: `*.b.c`, `*.c`, `*` for `a.b.c`; `*.c`, `*` for `*.b.c`.
pub(crate) fn parent_wildcards(host: &str) -> impl Iterator<Item = String> + '_ {
    let rest = host.strip_prefix("*.").unwrap_or(host);
    let inner = rest.match_indices('.').map(|(at, _)| format!("*{}", &rest[at..]));
    inner.chain((host != "*").then(|| "*".to_owned()))
}

/// Whether two host patterns have a host in common.
pub(crate) fn hosts_overlap(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (None, None) => a == b,
        (Some(suffix), None) => b.ends_with(suffix) && b.len() > suffix.len(),
        (None, Some(suffix)) => a.ends_with(suffix) && a.len() > suffix.len(),
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
    }
}
