//! A workload on the way, with the plan that its proxy runs on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use lateen_compiler::Client;
use lateen_engine::Plan;
use lateen_engine::authorize::Peer;
use lateen_mesh::local::{self, is_in_mesh, shift_address};

use crate::commands::offline::Offline;

/// Where connections of local mode come from: nobody binds the near end of one, and this is the
/// system's choice for everything on loopback.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// An address that belongs to nobody (TEST-NET-3, RFC 5737): what a host outside of the registry may
/// resolve to, and where requests from outside of a cluster may come from.
pub const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));

/// What injection labels the pods with that have a sidecar.
const TLS_MODE: &str = "security.istio.io/tlsMode";

/// A workload on the way, with the plan that its proxy runs on.
#[derive(Debug)]
pub struct Hop {
    /// `namespace/name` of the workload.
    pub at: String,
    pub plan: Arc<Plan>,
    client: Client,
}

impl Hop {
    pub fn new(offline: &mut Offline, client: Client) -> anyhow::Result<Self> {
        let plan = offline.plan(&client)?;
        Ok(Self { at: format!("{}/{}", client.namespace, client.name), plan, client })
    }

    /// Whether it is a gateway.
    pub fn is_gateway(&self) -> bool {
        self.client.role == lateen_compiler::Role::Gateway
    }

    /// The SPIFFE ID that its proxy proves.
    pub fn identity(&self) -> String {
        let account = match self.client.service_account.as_str() {
            "" => "default",
            account => account,
        };
        let domain = &self.plan.settings().message().trust_domain;
        format!("spiffe://{domain}/ns/{}/sa/{account}", self.client.namespace)
    }

    /// Where its proxy takes connections from others for a port of the YAML; `None` where it has none. In
    /// local mode every workload has an address for it, as long as there are any; in a cluster it shares
    /// the pod's.
    pub fn proxy(&self, port: u16) -> Option<SocketAddr> {
        if let Some(base) = self.plan.local_base() {
            return Some(SocketAddr::new(local::address(base, local::SIDECAR).into(), port));
        }
        let address = self.client.addresses.first().filter(|_| self.has_proxy());
        address.map(|address| SocketAddr::new(*address, port))
    }

    /// Whether a proxy stands in front of it.
    pub fn has_proxy(&self) -> bool {
        self.plan.local_base().is_some()
            || self.is_gateway()
            || self.client.labels.get(TLS_MODE).is_some_and(|mode| mode == "istio")
    }

    /// Where its connections to others come from.
    pub fn source(&self) -> IpAddr {
        match self.plan.local_base() {
            Some(_) => LOOPBACK,
            None => self.client.addresses.first().copied().unwrap_or(ELSEWHERE),
        }
    }

    /// Where connections from outside of the mesh come from.
    pub fn outside(&self) -> IpAddr {
        if self.plan.local_base().is_some() { LOOPBACK } else { ELSEWHERE }
    }
}

/// A caller at `source` that has dialled `destination`, an address of a proxy's, as the policies there see
/// it until more is known of it.
pub fn peer(source: IpAddr, destination: SocketAddr) -> Peer<'static> {
    Peer { identity: None, source, remote: source, destination, sni: None }
}

/// An address as sockets have it, and with them the access log.
pub fn on_the_wire(address: SocketAddr) -> SocketAddr {
    if is_in_mesh(address.ip()) { shift_address(address) } else { address }
}
