//! The query keys: the only ways in which Link reads what Lower stored.

use std::net::IpAddr;
use std::sync::Arc;

use crate::node::{MeshPart, ServiceKey, WorkloadKey};
use crate::scope::Selector;

/// A question that was asked of the store. A task that asked depends on the answer, whether there was
/// something or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    /// A part of the mesh's settings.
    Mesh(MeshPart),
    /// Services with exactly this host, which may be a wildcard.
    Host(Arc<str>),
    /// Hosts of services below this wildcard, `*` included.
    HostsBelow(Arc<str>),
    /// ExternalName services that point at this host.
    Aliases(Arc<str>),
    /// VirtualServices for the mesh that name exactly this host.
    Routes(Arc<str>),
    /// VirtualServices for the mesh that name a host below this wildcard.
    RoutesBelow(Arc<str>),
    /// Hosts of the VirtualServices that name this gateway (`namespace/name`).
    GatewayHosts(Arc<str>),
    /// VirtualServices that name this gateway and exactly this host.
    GatewayRoutes(Arc<str>, Arc<str>),
    /// DestinationRules of a namespace that name exactly this host.
    Rules(Arc<str>, Arc<str>),
    /// Which namespaces have DestinationRules that name exactly this host.
    RuleNamespaces(Arc<str>),
    /// PeerAuthentications of a namespace.
    PeerAuthentications(Arc<str>),
    /// AuthorizationPolicies of a namespace: which there are and whom they select.
    Authorizations(Arc<str>),
    /// One AuthorizationPolicy as a whole.
    Policy(Arc<str>, Arc<str>),
    /// Sidecars of a namespace. No single task reads it: it decides which Sidecar governs a scope, and
    /// whatever follows that is asked for again ([`crate::memo::Memo::unsettle`]).
    Sidecars(Arc<str>),
    /// Gateways with this selector.
    Gateways(Selector),
    /// The Gateway with this name (`namespace/name`): whether there is one.
    GatewayNamed(Arc<str>),
    /// Gateways that the annotation binds to this service.
    GatewaysOf(Arc<str>),
    /// One Secret.
    Secret(Arc<str>, Arc<str>),
    /// Where a node is.
    Node(Arc<str>),
    /// One workload.
    Workload(WorkloadKey),
    /// Services that a workload is an endpoint of.
    ServicesOf(WorkloadKey),
    /// Services that an address is an endpoint of.
    ServicesAt(IpAddr),
    /// Endpoints of a service in one bucket.
    Endpoints(ServiceKey, u32),
    /// How many buckets a service's endpoints take.
    EndpointBuckets(ServiceKey),
    /// Service accounts of a service's endpoints, and whether all of them speak mesh TLS.
    Accounts(ServiceKey),
    /// Addresses of a service's endpoints.
    Addresses(ServiceKey),
    /// Namespaces that have directory entries, each with its number of buckets.
    Directory,
    /// How many buckets a namespace's directory takes.
    DirectoryBuckets(Arc<str>),
    /// Hosts in one bucket of a namespace's directory.
    DirectoryBucket(Arc<str>, u32),
    /// Local mode: offset of a host.
    LocalOffset(Arc<str>),
    /// Local mode: base address of a workload.
    LocalBase(WorkloadKey),
}
