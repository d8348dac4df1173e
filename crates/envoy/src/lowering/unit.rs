//! What is lowered as one.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::name::Name;

/// Host, port and subset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DestinationKey {
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
    pub(crate) subset: Arc<str>,
}

impl DestinationKey {
    /// The name of the model resource.
    pub(crate) fn name(&self) -> Name {
        Name::Destination {
            host: self.host.to_string(),
            port: self.port,
            subset: self.subset.to_string(),
        }
    }
}

/// A table of virtual hosts: one route configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum TableKey {
    /// Everything that is HTTP on a port of the mesh.
    Port(u16),
    /// The plain HTTP servers of a gateway's port.
    GatewayHttp(u16),
    /// One HTTPS server of a gateway's port, by its name.
    GatewayServer(u16, Arc<str>),
}

/// What is lowered as one: a few resources that no other unit makes. It is done anew when one of
/// the model resources changes that it reads; [`super::dirty`] knows which those are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Clusters that are always there.
    Fixed,
    /// The clusters of a destination.
    Cluster(DestinationKey),
    /// The endpoints of a destination.
    Endpoints(DestinationKey),
    /// The listener that takes what was captured.
    VirtualOutbound,
    /// `0.0.0.0_<port>`: what no address decides.
    PortListener(u16),
    /// `<address>_<port>`.
    AddressListener(IpAddr, u16),
    /// Local mode: the listener of a port at an offset in the workload's /16.
    LocalListener(u32, u16),
    /// Everything inbound.
    Inbound,
    /// A port of a gateway.
    GatewayListener(u16),
    /// A route configuration, with its virtual hosts if they are few.
    Table(TableKey),
    /// A virtual host of a table whose virtual hosts are resources of their own.
    VirtualHost(TableKey, Arc<str>),
    /// The route configuration of a port whose protocol is detected.
    Detected(Arc<str>, u16),
    /// A gateway's secret: namespace and name.
    Secret(Arc<str>, Arc<str>),
}
