//! The snapshot that decisions are made on.

use std::net::SocketAddr;
use std::sync::Arc;

use lateen_mesh::v1;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::authorize::Policies;
use crate::destination::{Destination, DestinationKey, Protocol};
use crate::directory::{Directory, Entry, Surroundings};
use crate::gateway::GatewayPort;
use crate::inbound::Inbound;
use crate::route::Table;
use crate::settings::Settings;
use crate::upstream::Carried;

/// Everything that a proxy knows at one moment, compiled and immutable. Its nodes are shared with
/// the plans before and after it.
#[derive(Debug, Default)]
pub struct Plan {
    pub(crate) settings: Arc<Settings>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) routes: FxHashMap<Arc<str>, Arc<Table>>,
    pub(crate) destinations: Destinations,
    pub(crate) inbound: Option<Arc<Inbound>>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) gateway: FxHashMap<u16, Arc<GatewayPort>>,
    pub(crate) secrets: FxHashMap<Arc<str>, Arc<v1::Secret>>,
}

/// The details of a directory entry that a decision needs and that are not here: subscribe to
/// `host/<host>`, wait, decide again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need<'p> {
    /// Host of the entry.
    pub host: &'p Arc<str>,
}

impl Plan {
    /// What holds for everything in the scope.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What exists, details or not.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The entry that a host stands for, by its name, an alias, a short name or a wildcard.
    #[must_use]
    pub fn entry_of(&self, host: &str) -> Option<&Arc<Entry>> {
        self.directory.by_host(host, &self.surroundings())
    }

    /// Whether `host/<host>` can be subscribed to.
    #[must_use]
    pub fn knows(&self, host: &str) -> bool {
        self.directory.entry(host).is_some()
    }

    /// Whether the details of `host/<host>` are here.
    #[must_use]
    pub fn has_details(&self, host: &str) -> bool {
        self.routes.contains_key(host)
    }

    /// A destination by its key.
    #[must_use]
    pub fn destination(&self, key: &DestinationKey) -> Option<&Arc<Destination>> {
        self.destination_at(key, key.port)
    }

    /// The version in which HTTP is spoken to a destination: a declared port says; towards a
    /// sniffed one a sidecar keeps the caller's, a gateway speaks HTTP/1.1.
    #[must_use]
    pub fn carried(&self, destination: &Destination, downstream: Carried) -> Carried {
        let gateway = !self.gateway.is_empty() && downstream != Carried::Tcp;
        match destination.protocol() {
            Protocol::Auto if gateway => Carried::Http1,
            _ => destination.carried(downstream),
        }
    }

    /// All destinations.
    pub fn destinations(&self) -> impl Iterator<Item = &Arc<Destination>> {
        self.destinations.0.values().flatten()
    }

    /// Whether both plans admit the same connections: what the workload accepts and its policies are
    /// the same, not merely alike.
    #[must_use]
    pub fn admits_as(&self, other: &Self) -> bool {
        let inbound = match (&self.inbound, &other.inbound) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        inbound && Arc::ptr_eq(&self.policies, &other.policies)
    }

    /// The workload's own inbound configuration; absent until it arrived.
    #[must_use]
    pub fn workload(&self) -> Option<&v1::Workload> {
        self.inbound.as_ref().map(|inbound| inbound.workload())
    }

    /// Ports that the workload declares.
    #[must_use]
    pub fn inbound_ports(&self) -> Vec<u16> {
        self.inbound.as_ref().map(|inbound| inbound.declared_ports()).unwrap_or_default()
    }

    /// Ports that the gateway opens.
    #[must_use]
    pub fn gateway_ports(&self) -> Vec<u16> {
        let open = self.gateway.iter().filter(|(_, port)| port.is_open());
        let mut ports: Vec<_> = open.map(|(number, _)| *number).collect();
        ports.sort_unstable();
        ports
    }

    /// A secret by its resource name.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Arc<v1::Secret>> {
        self.secrets.get(name)
    }

    /// Local mode: the first address of the workload's own /16.
    #[must_use]
    pub fn local_base(&self) -> Option<std::net::Ipv4Addr> {
        self.inbound.as_ref().and_then(|inbound| inbound.local_base)
    }

    pub(crate) fn routes(&self, host: &str) -> Option<&Arc<Table>> {
        self.routes.get(host)
    }

    /// The destination of a key; port 0 in it stands for the listener's.
    pub(crate) fn destination_at(
        &self,
        key: &DestinationKey,
        listener_port: u16,
    ) -> Option<&Arc<Destination>> {
        let port = if key.port == 0 { listener_port } else { key.port };
        self.destinations.get(&key.host, port, &key.subset)
    }

    /// Whether a connection to this address would come back to this proxy: an address of its own in
    /// local mode, or a port on which captured connections arrive.
    pub(crate) fn is_own_address(&self, destination: SocketAddr) -> bool {
        CAPTURE_PORTS.contains(&destination.port())
            || self.surroundings().local_offset(destination.ip()).is_some()
    }

    pub(crate) fn surroundings(&self) -> Surroundings<'_> {
        let settings = self.settings.message();
        Surroundings {
            namespace: &settings.namespace,
            domain: &settings.cluster_domain,
            local_base: self.local_base().map(u32::from),
        }
    }
}

/// Where a captured workload's connections arrive, outbound and inbound: on every address, so that
/// nothing may be passed through to them.
const CAPTURE_PORTS: [u16; 2] = [15001, 15006];

/// Destinations by host, then port and subset.
#[derive(Debug, Default, Clone)]
pub(crate) struct Destinations(FxHashMap<Arc<str>, SmallVec<[Arc<Destination>; 1]>>);

impl Destinations {
    pub(crate) fn get(&self, host: &str, port: u16, subset: &str) -> Option<&Arc<Destination>> {
        self.0.get(host)?.iter().find(|destination| {
            let key = destination.key();
            key.port == port && *key.subset == *subset
        })
    }
}

impl FromIterator<Arc<Destination>> for Destinations {
    fn from_iter<I: IntoIterator<Item = Arc<Destination>>>(destinations: I) -> Self {
        let mut map: FxHashMap<_, SmallVec<[_; 1]>> = FxHashMap::default();
        for destination in destinations {
            map.entry(Arc::clone(&destination.key().host)).or_default().push(destination);
        }
        Self(map)
    }
}
