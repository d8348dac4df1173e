//! Services: Kubernetes' and ServiceEntries'.

use std::sync::Arc;

use lateen_mesh::address::Block;
use lateen_mesh::v1::Protocol;

use super::{Account, ExportTo, Labels, ServiceKey, Source};

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registry {
    Kubernetes,
    /// A ServiceEntry.
    Entry,
}

/// How a service's endpoints are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// They are listed.
    Endpoints,
    /// They are listed and clients dial them themselves (Kubernetes' headless services).
    Headless,
    /// Whatever the client dialled.
    Passthrough,
    /// By DNS.
    Dns,
}

/// The endpoints' port behind a service's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Number(u16),
    /// A container port of this name.
    Name(Arc<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub number: u16,
    pub name: Arc<str>,
    pub protocol: Protocol,
    pub target: Target,
}

/// An endpoint that stands in the service's own object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InlineEndpoint {
    /// An address or a host name.
    pub address: Arc<str>,
    pub ports: Arc<[(Arc<str>, u16)]>,
    pub labels: Labels,
    pub weight: u32,
    pub locality: Arc<str>,
    pub account: Option<Account>,
    pub mesh_tls: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub source: Source,
    pub key: ServiceKey,
    /// For telemetry.
    pub name: Arc<str>,
    pub registry: Registry,
    pub addresses: Arc<[Block]>,
    pub ports: Arc<[ServicePort]>,
    pub resolution: Resolution,
    pub external: bool,
    pub export_to: ExportTo,
    pub subject_alt_names: Arc<[Arc<str>]>,
    pub publish_not_ready: bool,
    /// Gateways behind it listen on its own ports instead of its target ports.
    pub keeps_gateway_ports: bool,
    /// For `Resolution::Dns`; listed endpoints are kept with all others.
    pub dns: Arc<[InlineEndpoint]>,
}

impl Service {
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number == number)
    }
}

/// A service that is only another name for a host (Kubernetes' ExternalName).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alias {
    pub source: Source,
    pub key: ServiceKey,
    pub target: Arc<str>,
    pub export_to: ExportTo,
}
