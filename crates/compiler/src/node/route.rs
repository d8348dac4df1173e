//! VirtualServices.

use std::sync::Arc;

use lateen_mesh::v1;

use super::{ExportTo, Labels, Source};

/// The name that stands for all sidecars.
pub(crate) const MESH_GATEWAY: &str = "mesh";

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    pub source: Source,
    pub namespace: Arc<str>,
    /// Expanded, in lower case.
    pub hosts: Arc<[Arc<str>]>,
    /// `mesh` or `namespace/name`.
    pub gateways: Arc<[Arc<str>]>,
    pub export_to: ExportTo,
    pub http: Vec<HttpRule>,
    pub tls: Vec<L4Rule>,
    pub tcp: Vec<L4Rule>,
}

impl Route {
    /// Whether it counts at a gateway at all: matches may leave gateways of the object's list out, never add
    /// one (Istio finds a VirtualService by its own list).
    pub fn is_at(&self, gateway: &str) -> bool {
        self.gateways.iter().any(|name| **name == *gateway)
    }

    pub fn for_mesh(&self) -> bool {
        self.is_at(MESH_GATEWAY)
    }

    /// Where its rules send to.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let http = self.http.iter().flat_map(|rule| match &rule.action {
            HttpAction::Forward(backends) => backends.as_slice(),
            HttpAction::Answer => &[],
        });
        http.chain(self.tls.iter().chain(&self.tcp).flat_map(|rule| &rule.backends))
    }

    pub fn bindings(&self) -> impl Iterator<Item = &Binding> {
        let http = self.http.iter().flat_map(|rule| &rule.matches).map(|each| &each.binding);
        let l4 = self.tls.iter().chain(&self.tcp).flat_map(|rule| &rule.matches);
        http.chain(l4.map(|each| &each.binding))
    }
}

/// For whom a match counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Binding {
    /// Not empty: at these of the object's own list, and nothing else is looked at.
    pub gateways: Arc<[Arc<str>]>,
    pub source_labels: Labels,
    pub source_namespace: Option<Arc<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpRule {
    /// Everything that depends on nothing else; matches, backends and retries are filled in by Link.
    pub rule: v1::HttpRule,
    /// Empty: matches always.
    pub matches: Vec<HttpMatch>,
    pub action: HttpAction,
    pub retries: Retries,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HttpMatch {
    pub binding: Binding,
    /// 0: any.
    pub port: u16,
    pub matching: v1::HttpMatch,
    /// Nothing but `port` is asked for.
    pub catch_all: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HttpAction {
    Forward(Vec<Backend>),
    /// A redirect or a direct response, which stands in the rule.
    Answer,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Backend {
    /// Complete but for `port` 0 and `invalid`, which Link decides.
    pub backend: v1::Backend,
    /// Path of the destination, for diagnostics.
    pub field: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Retries {
    /// As the mesh says.
    Default,
    Off,
    Policy(v1::RetryPolicy),
}

/// A TLS or TCP rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct L4Rule {
    pub field: String,
    /// Empty: matches always.
    pub matches: Vec<L4Match>,
    pub backends: Vec<Backend>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct L4Match {
    pub binding: Binding,
    pub matching: v1::L4Match,
}
