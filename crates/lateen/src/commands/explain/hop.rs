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
pub const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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

    /// Where its proxy takes connections from others for a port of the YAML; `None` when all
    /// addresses of local mode are taken.
    pub fn proxy(&self, port: u16) -> Option<SocketAddr> {
        let base = self.plan.local_base()?;
        Some(SocketAddr::new(local::address(base, local::SIDECAR).into(), port))
    }

    /// A caller that has dialled this address of the workload's proxy, as its policies see it, until
    /// more is known of it.
    pub fn peer(&self, destination: SocketAddr) -> Peer<'static> {
        Peer { identity: None, source: SOURCE, remote: SOURCE, destination, sni: None }
    }
}

/// An address as sockets have it, and with them the access log.
pub fn on_the_wire(address: SocketAddr) -> SocketAddr {
    if is_in_mesh(address.ip()) { shift_address(address) } else { address }
}
