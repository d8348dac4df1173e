//! Lower: each object alone becomes facts. Nothing here looks at another object, so what comes out depends
//! on the object and on the options only.

mod authorization;
mod destination_rule;
mod endpoint_slice;
mod gateway;
mod mesh_config;
mod peer_authentication;
mod pod;
mod request_authentication;
mod secret;
mod service;
mod service_entry;
mod sidecar;
mod virtual_service;
mod workload_entry;

use std::net::IpAddr;
use std::sync::Arc;

use lateen_api::diagnostic::{Code, Diagnostic, Severity};
use lateen_api::duration::Duration;
use lateen_api::host::resolve_host;
use lateen_api::kind::Kind;
use lateen_api::object::{Object, ObjectRef, Spec};
use lateen_mesh::address::Block;
use lateen_mesh::v1::Protocol;

pub(crate) use mesh_config::default_mesh;
pub(crate) use pod::client_workload;

use crate::node::{
    Alias, Authorization, Gateway, Labels, Listed, Mesh, PeerAuthentication, Policy, Route, Rule,
    Secret, Service, ServiceKey, Sidecar, Source, Workload,
};
use crate::options::Options;

/// Something that an object says, ready to be filed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fact {
    Mesh(Arc<Mesh>),
    Service(Arc<Service>),
    Alias(Arc<Alias>),
    Route(Arc<Route>),
    Rule(Arc<Rule>),
    PeerAuthentication(Arc<PeerAuthentication>),
    Authorization(Arc<Authorization>),
    Policy(Arc<Policy>),
    Sidecar(Arc<Sidecar>),
    Gateway(Arc<Gateway>),
    Secret((Arc<str>, Arc<str>), Arc<Secret>),
    Workload(Arc<Workload>),
    /// Where a node is.
    Node(Arc<str>, Arc<str>),
    /// Endpoints that the object lists for a service.
    Listed(ServiceKey, ObjectRef, Arc<Listed>),
    Selecting(Arc<Selecting>),
}

impl Fact {
    /// Whether this fact stands in the place of another, which is gone by that alone.
    pub fn replaces(&self, other: &Fact) -> bool {
        match (self, other) {
            (Fact::Mesh(_), Fact::Mesh(_)) => true,
            (Fact::Node(node, _), Fact::Node(former, _)) => node == former,
            (Fact::Listed(service, ..), Fact::Listed(former, ..)) => service == former,
            _ => false,
        }
    }
}

/// A service whose endpoints are the workloads of its namespace with certain labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selecting {
    pub service: ServiceKey,
    pub labels: Labels,
    /// Pods, too; WorkloadEntries always.
    pub pods: bool,
}

impl Selecting {
    /// The kinds of workloads looked at: pods (`true`), WorkloadEntries (`false`).
    pub fn kinds(&self) -> impl Iterator<Item = bool> + use<> {
        [false].into_iter().chain(self.pods.then_some(true))
    }
}

/// The lowering of one object.
pub(crate) struct Lowering<'a> {
    pub options: &'a Options,
    pub object: &'a Object,
    pub diagnostics: Vec<Diagnostic>,
}

impl<'a> Lowering<'a> {
    pub fn new(options: &'a Options, object: &'a Object) -> Self {
        Self { options, object, diagnostics: Vec::new() }
    }

    /// Everything that the object says; nothing if it belongs to another revision or is going away.
    pub fn lower(&mut self) -> Vec<Fact> {
        if self.is_foreign_revision() {
            return Vec::new();
        }
        match &self.object.spec {
            Spec::VirtualService(spec) => self.virtual_service(spec),
            Spec::DestinationRule(spec) => self.destination_rule(spec),
            Spec::Gateway(spec) => self.gateway(spec),
            Spec::ServiceEntry(spec) => self.service_entry(spec),
            Spec::WorkloadEntry(spec) => self.workload_entry(spec),
            Spec::Sidecar(spec) => self.sidecar(spec),
            Spec::PeerAuthentication(spec) => self.peer_authentication(spec),
            Spec::AuthorizationPolicy(spec) => self.authorization_policy(spec),
            Spec::RequestAuthentication(spec) => self.request_authentication(spec),
            Spec::Service(spec) => self.service(spec),
            Spec::EndpointSlice(spec) => self.endpoint_slice(spec),
            Spec::Pod(spec) => self.pod(spec),
            Spec::Secret(spec) => self.secret(spec),
            Spec::MeshConfig(spec) => self.mesh_config(spec),
            Spec::NotHonoured if self.object.kind == Kind::Node => {
                vec![Fact::Node(self.name(), pod::node_locality(&self.object.meta.labels))]
            }
            Spec::ConfigMap(_)
            | Spec::Namespace(_)
            | Spec::EnvoyFilter(_)
            | Spec::ProxyConfig(_)
            | Spec::WorkloadGroup(_)
            | Spec::Telemetry(_)
            | Spec::WasmPlugin(_)
            | Spec::TrafficExtension(_)
            | Spec::NotHonoured => Vec::new(),
        }
    }

    /// Whether a label gives the object to a control plane of another revision. Kubernetes' own objects
    /// are everybody's.
    fn is_foreign_revision(&self) -> bool {
        let revision = self.object.meta.labels.get("istio.io/rev");
        self.object.kind.group().ends_with("istio.io")
            && !self.options.revision.is_empty()
            && revision.is_some_and(|revision| *revision != self.options.revision)
    }

    fn source(&self) -> Source {
        Source::of(self.object)
    }

    fn namespace(&self) -> Arc<str> {
        self.object.meta.namespace.as_str().into()
    }

    fn name(&self) -> Arc<str> {
        self.object.meta.name.as_str().into()
    }

    /// A host as this object means it: short names belong to its namespace.
    fn host(&self, host: &str) -> Arc<str> {
        resolve_host(host, &self.object.meta.namespace, &self.options.cluster_domain).into()
    }

    fn warn(&mut self, code: Code, field: &str, message: impl Into<String>) {
        let position = self.object.position(field).unwrap_or_default();
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code,
            object: Some(self.object.reference()),
            field: field.to_owned(),
            file: Arc::clone(&self.object.origin.file),
            line: position.line,
            column: position.column,
            message: message.into(),
        });
    }
}

/// A protocol of the API in the words of the model; none for UDP, which no mesh carries.
fn protocol(protocol: lateen_api::Protocol) -> Option<Protocol> {
    use lateen_api::Protocol as Api;
    Some(match protocol {
        Api::Http | Api::HttpProxy => Protocol::Http,
        Api::Http2 => Protocol::Http2,
        Api::Grpc => Protocol::Grpc,
        Api::GrpcWeb => Protocol::GrpcWeb,
        Api::Https | Api::Tls => Protocol::Tls,
        Api::Tcp | Api::Mongo | Api::Mysql | Api::Redis | Api::Hbone => Protocol::Tcp,
        Api::Unknown => Protocol::Auto,
        Api::Udp => return None,
    })
}

/// An address or a CIDR block.
fn block(text: &str) -> Option<Block> {
    let Some((address, prefix)) = text.split_once('/') else {
        return text.parse().ok().map(Block::single);
    };
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= width).then_some(Block { address, prefix })
}

fn millis(duration: Option<Duration>) -> u64 {
    let duration = duration.and_then(Duration::to_std).unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_u32(duration: Option<Duration>) -> u32 {
    u32::try_from(millis(duration)).unwrap_or(u32::MAX)
}

/// A port number; none for 0 and what no port can be.
fn port_number(number: impl TryInto<u16>) -> Option<u16> {
    number.try_into().ok().filter(|number| *number != 0)
}
