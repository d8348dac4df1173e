//! Endpoints, and the slices that they come in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lateen_mesh::{address, v1};

use super::Addresses;

/// What identifies an endpoint across destinations, plans and proxies.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// `<cluster>/<namespace>/<name>`; for what is no workload, `<address or name>:<port>`.
    pub uid: Arc<str>,
    /// Port that the endpoint listens on.
    pub port: u16,
}

/// Where an endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// Addresses, in the order in which to try them.
    Ip(Addresses),
    /// A name that the proxy resolves.
    Name(Arc<str>),
    /// Path of a Unix socket.
    Unix(Arc<str>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addresses) => match addresses.first() {
                Some(first) => write!(f, "{first}"),
                None => f.write_str("no address"),
            },
            Self::Name(name) => f.write_str(name),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// Whether an endpoint may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// It may.
    Healthy,
    /// Not ready: never picked, there is no panic threshold.
    Unhealthy,
    /// Finishes what it has; nothing new.
    Draining,
    /// Reached in a way that this proxy does not have (a tunnel, another network's gateway).
    Unreachable,
}

/// What many endpoints have in common, for telemetry.
#[derive(Debug, Default)]
pub struct Template {
    /// Namespace of the workload.
    pub namespace: Arc<str>,
    /// Name of the workload that owns the pods.
    pub workload: Arc<str>,
    /// `service.istio.io/canonical-name`.
    pub canonical_name: Arc<str>,
    /// `service.istio.io/canonical-revision`.
    pub canonical_revision: Arc<str>,
    /// SPIFFE ID, whole.
    pub identity: Option<Arc<str>>,
    /// Sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// `region/zone/subzone`.
    pub locality: Arc<str>,
    /// Network that the address belongs to.
    pub network: Arc<str>,
    /// Cluster of the workload.
    pub cluster: Arc<str>,
}

impl Template {
    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let index = self.labels.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
        self.labels.get(index).map(|(_, value)| &**value)
    }
}

/// One endpoint of one port of a host.
#[derive(Debug)]
pub struct Endpoint {
    /// Stable identity: the key of shared cells.
    pub key: EndpointKey,
    /// Where it listens.
    pub address: Address,
    /// What it has in common with others.
    pub template: Arc<Template>,
    /// Whether mesh mutual TLS is spoken there.
    pub mesh_tls: bool,
    /// Whether it may be picked.
    pub health: Health,
    /// At least 1.
    pub weight: u32,
}

/// A compiled `EndpointSlice`.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
}

impl Slice {
    /// # Errors
    /// With the reason that is told to the control plane.
    pub(crate) fn compile(message: &v1::EndpointSlice) -> Result<Self, String> {
        let shared: Vec<_> =
            message.templates.iter().map(|template| Arc::new(compile(template))).collect();
        let endpoint = |endpoint: &v1::Endpoint| {
            let template = template(message, &shared, endpoint).ok_or_else(|| {
                let v1::Endpoint { workload_uid, template, .. } = endpoint;
                format!("{workload_uid}: template {template} is not there")
            })?;
            Endpoint::compile(endpoint, template).map(Arc::new)
        };
        let endpoints = message.endpoints.iter().map(endpoint).collect::<Result<_, _>>()?;
        Ok(Self { endpoints })
    }
}

impl Endpoint {
    fn compile(message: &v1::Endpoint, template: Arc<Template>) -> Result<Self, String> {
        let uid = message.workload_uid.as_str();
        let port =
            u16::try_from(message.port).map_err(|_| format!("{uid}: port {}", message.port))?;
        let direct = message.reach == i32::from(v1::endpoint::Reach::Direct);
        let health = match v1::endpoint::Health::try_from(message.health) {
            _ if !direct => Health::Unreachable,
            Ok(v1::endpoint::Health::Healthy) => Health::Healthy,
            Ok(v1::endpoint::Health::Draining) => Health::Draining,
            Ok(v1::endpoint::Health::Unhealthy) | Err(_) => Health::Unhealthy,
        };
        let address = if message.unix_path.is_empty() {
            let addresses: Addresses = message
                .addresses
                .iter()
                .map(|bytes| address::decode_address(bytes))
                .collect::<Option<_>>()
                .ok_or_else(|| format!("{uid}: an address of neither 4 nor 16 bytes"))?;
            if addresses.is_empty() {
                return Err(format!("{uid}: neither an address nor a path"));
            }
            Address::Ip(addresses)
        } else {
            Address::Unix(message.unix_path.as_str().into())
        };
        Ok(Self {
            key: EndpointKey { uid: uid.into(), port },
            address,
            template,
            mesh_tls: message.mesh_tls,
            health,
            weight: message.weight.max(1),
        })
    }

    /// # Errors
    /// With the reason that is told to the control plane.
    pub(super) fn from_dns(message: &v1::DnsTarget) -> Result<Arc<Self>, String> {
        let port = u16::try_from(message.port)
            .map_err(|_| format!("{}: port {}", message.host, message.port))?;
        let template = Template {
            identity: set(&message.identity),
            labels: labels(message.labels.clone()),
            ..Template::default()
        };
        Ok(Arc::new(Self {
            key: EndpointKey { uid: format!("{}:{port}", message.host).into(), port },
            address: match message.host.parse() {
                Ok(literal) => Address::Ip([literal].into_iter().collect()),
                Err(_) => Address::Name(message.host.as_str().into()),
            },
            template: Arc::new(template),
            mesh_tls: message.mesh_tls,
            health: Health::Healthy,
            weight: message.weight.max(1),
        }))
    }
}

/// What an endpoint has in common with others: of `shared` the one that it names, where it has no name
/// of its own in it.
fn template(
    slice: &v1::EndpointSlice,
    shared: &[Arc<Template>],
    endpoint: &v1::Endpoint,
) -> Option<Arc<Template>> {
    match slice.template(endpoint)? {
        Cow::Borrowed(_) => shared.get(endpoint.template as usize).cloned(),
        Cow::Owned(own) => Some(Arc::new(compile(&own))),
    }
}

fn compile(message: &v1::EndpointTemplate) -> Template {
    Template {
        namespace: message.namespace.as_str().into(),
        workload: message.workload.as_str().into(),
        canonical_name: message.canonical_name.as_str().into(),
        canonical_revision: message.canonical_revision.as_str().into(),
        identity: set(&message.identity),
        labels: labels(message.labels.clone()),
        locality: message.locality.as_str().into(),
        network: message.network.as_str().into(),
        cluster: message.cluster.as_str().into(),
    }
}

fn set(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| Arc::from(text))
}

/// Labels, sorted by name.
pub(super) fn labels(map: BTreeMap<String, String>) -> Vec<(Arc<str>, Arc<str>)> {
    map.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
