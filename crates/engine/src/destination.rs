//! How one port and subset of a host is reached.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lateen_mesh::v1;
use smallvec::SmallVec;

use crate::origin::{Objects, Origin};
use crate::settings::positive_millis;
use crate::upstream::{Carried, TlsPolicy, UpstreamTls};

mod endpoint;
mod resolve;

pub(crate) use endpoint::Slice;
pub use endpoint::{Address, Endpoint, EndpointKey, Health, Template};

/// Host, port and subset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationKey {
    /// Host of the service.
    pub host: Arc<str>,
    /// Port of the service.
    pub port: u16,
    /// Empty: all endpoints.
    pub subset: Arc<str>,
}

impl fmt::Display for DestinationKey {
    /// As Istio names the cluster: `outbound|80|v1|reviews.shop.svc.cluster.local`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

/// The protocol that a port is declared with.
pub use v1::Protocol;

/// How endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Discovery {
    /// Listed by the control plane.
    Endpoints,
    /// Host names that the proxy resolves: targets have [`Address::Name`].
    Dns,
    /// The address that the client dialled, with [`Destination::passthrough_tls`].
    Passthrough,
}

/// Which endpoint to prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Balancing {
    /// The less busy of two random ones.
    LeastRequest,
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
}

/// The compiled message, before its endpoint slices are joined to it.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) key: DestinationKey,
    pub(crate) origin: Origin,
    policy_origin: Option<Origin>,
    protocol: Protocol,
    pub(crate) discovery: Discovery,
    pub(crate) slices: Vec<String>,
    subset_labels: Vec<(Arc<str>, Arc<str>)>,
    dns: Vec<Arc<Endpoint>>,
    pub(crate) balancing: Balancing,
    pub(crate) balancing_origin: Origin,
    connect_timeout: Option<Duration>,
    tls: TlsPolicy,
    external: bool,
    namespace: Arc<str>,
    service_name: Arc<str>,
    passthrough_tls: UpstreamTls,
}

/// A destination with its endpoints.
#[derive(Debug)]
pub struct Destination {
    spec: Arc<Spec>,
    targets: Vec<Target>,
    /// Indexes of the targets that may be picked, with the running sum of their weights.
    pub(crate) eligible: Vec<u32>,
    pub(crate) cumulative: Vec<u64>,
    pub(crate) equal_weights: bool,
}

/// An endpoint as one destination reaches it.
#[derive(Debug, Clone)]
pub struct Target {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// What TLS to speak there.
    pub tls: Arc<UpstreamTls>,
    /// Connections to equal keys may be shared, for equal [`Carried`].
    pub pool: Arc<PoolKey>,
}

/// What makes two upstream connections interchangeable: the workload and its port, and how TLS is
/// spoken to it. Never the address alone.
#[derive(Debug, Clone)]
pub struct PoolKey {
    /// The workload and its port.
    pub endpoint: EndpointKey,
    /// TLS parameters, the expected names among them.
    pub tls: Arc<UpstreamTls>,
    hash: u64,
}

impl PoolKey {
    /// A key; also for endpoints that no plan lists (an address that was dialled).
    #[must_use]
    pub fn new(endpoint: EndpointKey, tls: Arc<UpstreamTls>) -> Self {
        let mut hasher = rustc_hash::FxHasher::default();
        endpoint.hash(&mut hasher);
        tls.hash(&mut hasher);
        Self { endpoint, tls, hash: hasher.finish() }
    }
}

impl PartialEq for PoolKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.endpoint == other.endpoint && self.tls == other.tls
    }
}

impl Eq for PoolKey {}

impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Destination {
    /// Host, port and subset.
    #[must_use]
    pub fn key(&self) -> &DestinationKey {
        &self.spec.key
    }

    /// The service.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.spec.origin
    }

    /// The DestinationRule that governs it.
    #[must_use]
    pub fn policy_origin(&self) -> Option<&Origin> {
        self.spec.policy_origin.as_ref()
    }

    /// The protocol that the port is declared with.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.spec.protocol
    }

    /// How its endpoints are found.
    #[must_use]
    pub fn discovery(&self) -> Discovery {
        self.spec.discovery
    }

    /// How an endpoint is chosen.
    #[must_use]
    pub fn balancing(&self) -> Balancing {
        self.spec.balancing
    }

    /// What set [`Self::balancing`].
    #[must_use]
    pub fn balancing_origin(&self) -> &Origin {
        &self.spec.balancing_origin
    }

    /// How long a connection may take to be established; `None`: the mesh's default.
    #[must_use]
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.spec.connect_timeout
    }

    /// What set the TLS mode.
    #[must_use]
    pub fn tls_origin(&self) -> &Origin {
        &self.spec.tls.origin
    }

    /// Whether it lies outside of the mesh.
    #[must_use]
    pub fn external(&self) -> bool {
        self.spec.external
    }

    /// Namespace of the service, for telemetry.
    #[must_use]
    pub fn namespace(&self) -> &Arc<str> {
        &self.spec.namespace
    }

    /// Name of the service, for telemetry.
    #[must_use]
    pub fn service_name(&self) -> &Arc<str> {
        &self.spec.service_name
    }

    /// Every endpoint of the destination (of the subset), healthy or not, in a stable order.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What TLS to speak to the address that the client dialled, for [`Discovery::Passthrough`].
    #[must_use]
    pub fn passthrough_tls(&self) -> &UpstreamTls {
        &self.spec.passthrough_tls
    }

    /// The version in which HTTP is spoken to it: a declared port says, a sniffed one keeps the
    /// caller's.
    #[must_use]
    pub fn carried(&self, downstream: Carried) -> Carried {
        match self.spec.protocol {
            Protocol::Http2 | Protocol::Grpc => Carried::Http2,
            Protocol::Http | Protocol::GrpcWeb => Carried::Http1,
            Protocol::Auto | Protocol::Tcp | Protocol::Tls => downstream,
        }
    }
}

impl Spec {
    /// # Errors
    /// With the reason that is told to the control plane.
    pub(crate) fn compile(message: v1::Destination, objects: &Objects) -> Result<Self, String> {
        let port = u16::try_from(message.port).map_err(|_| format!("port {}", message.port))?;
        let discovery = match v1::Discovery::try_from(message.discovery) {
            Ok(v1::Discovery::Endpoints) => Discovery::Endpoints,
            Ok(v1::Discovery::Dns) => Discovery::Dns,
            Ok(v1::Discovery::Passthrough) => Discovery::Passthrough,
            Err(_) => return Err(format!("discovery {} is not known", message.discovery)),
        };
        let tls = TlsPolicy::compile(&message, objects)?;
        let balancing = message.load_balancing.clone().unwrap_or_default();
        let dns = message.dns.iter().map(Endpoint::from_dns).collect::<Result<_, _>>()?;
        Ok(Self {
            key: DestinationKey {
                host: message.host.as_str().into(),
                port,
                subset: message.subset.as_str().into(),
            },
            origin: objects.resolve(message.origin.as_ref())?,
            policy_origin: objects.resolve_optional(message.policy_origin.as_ref())?,
            protocol: Protocol::try_from(message.protocol).unwrap_or(Protocol::Auto),
            discovery,
            dns,
            balancing: compile_balancing(balancing.policy)?,
            balancing_origin: objects.resolve(balancing.origin.as_ref())?,
            connect_timeout: positive_millis(u64::from(message.connect_timeout_ms)),
            passthrough_tls: tls.towards(false, None),
            tls,
            external: message.external,
            namespace: message.namespace.as_str().into(),
            service_name: message.service_name.as_str().into(),
            subset_labels: endpoint::labels(message.subset_labels),
            slices: message.endpoint_slices,
        })
    }
}

fn compile_balancing(policy: i32) -> Result<Balancing, String> {
    use v1::load_balancing::Policy;
    match Policy::try_from(policy) {
        Ok(Policy::LeastRequest) => Ok(Balancing::LeastRequest),
        Ok(Policy::RoundRobin) => Ok(Balancing::RoundRobin),
        Ok(Policy::Random) => Ok(Balancing::Random),
        Err(_) => Err(format!("load balancing policy {policy} is not known")),
    }
}

/// Addresses of an endpoint: one family or two.
pub type Addresses = SmallVec<[IpAddr; 1]>;
