//! The only way to read the store: each question is noted, whether the answer is something or nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use lateen_api::Kind;
use lateen_api::object::ObjectRef;
use rustc_hash::FxHashSet;

use super::Store;
use super::endpoints::{EndpointEntry, Set};
use crate::key::Key;
use crate::node::{
    Account, Alias, Authorization, Exports, Gateway, Mesh, MeshPart, PeerAuthentication, Policy,
    Route, Rule, Secret, Service, ServiceKey, Sidecar, Traffic, Trust, Workload, WorkloadKey,
};
use crate::options::Options;
use crate::scope::Selector;

/// A handle on the store for one task.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    store: &'a Store,
    pub options: &'a Options,
    asked: RefCell<FxHashSet<Key>>,
}

impl<'a> Query<'a> {
    pub fn new(store: &'a Store, options: &'a Options) -> Self {
        Self { store, options, asked: RefCell::default() }
    }

    /// Everything that was asked.
    pub fn into_asked(self) -> FxHashSet<Key> {
        self.asked.into_inner()
    }

    fn ask(&self, key: Key) {
        self.asked.borrow_mut().insert(key);
    }

    /// All of the mesh's settings.
    pub fn mesh(&self) -> &'a Mesh {
        self.ask(Key::Mesh(MeshPart::Whole));
        &self.store.mesh
    }

    /// The namespace whose objects are for the whole mesh.
    pub fn root_namespace(&self) -> &'a Arc<str> {
        self.ask(Key::Mesh(MeshPart::Root));
        &self.store.mesh.root_namespace
    }

    /// Who sees what says nothing about it.
    pub fn exports(&self) -> &'a Exports {
        self.ask(Key::Mesh(MeshPart::Exports));
        &self.store.mesh.exports
    }

    /// Under which names the mesh's identities go.
    pub fn trust(&self) -> &'a Trust {
        self.ask(Key::Mesh(MeshPart::Trust));
        &self.store.mesh.trust
    }

    /// How destinations are talked to where nothing is written for them.
    pub fn traffic(&self) -> &'a Traffic {
        self.ask(Key::Mesh(MeshPart::Traffic));
        &self.store.mesh.traffic
    }

    /// Services with exactly this host, in all namespaces, the oldest first.
    pub fn services(&self, host: &Arc<str>) -> &'a [Arc<Service>] {
        self.ask(Key::Host(host.clone()));
        self.store.services.get(host)
    }

    /// ExternalName services with this host.
    pub fn aliases(&self, host: &Arc<str>) -> &'a [Arc<Alias>] {
        self.ask(Key::Host(host.clone()));
        self.store.aliases.get(host)
    }

    /// ExternalName services that point at this host.
    pub fn aliases_of(&self, target: &Arc<str>) -> &'a [Arc<Alias>] {
        self.ask(Key::Aliases(target.clone()));
        self.store.aliases_of.get(target)
    }

    /// Hosts of services below a wildcard.
    pub fn service_hosts_below(
        &self,
        wildcard: &Arc<str>,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.ask(Key::HostsBelow(wildcard.clone()));
        self.store.service_hosts.get(wildcard)
    }

    /// VirtualServices for the mesh that name exactly this host, the oldest first.
    pub fn routes(&self, host: &Arc<str>) -> &'a [Arc<Route>] {
        self.ask(Key::Routes(host.clone()));
        self.store.routes.get(host)
    }

    /// Hosts of VirtualServices for the mesh below a wildcard.
    pub fn route_hosts_below(
        &self,
        wildcard: &Arc<str>,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.ask(Key::RoutesBelow(wildcard.clone()));
        self.store.route_hosts.get(wildcard)
    }

    /// Hosts of the VirtualServices that name a gateway, sorted.
    pub fn gateway_hosts(
        &self,
        gateway: &Arc<str>,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.ask(Key::GatewayHosts(gateway.clone()));
        self.store.gateway_hosts.get(gateway).into_iter().flat_map(BTreeMap::keys)
    }

    /// VirtualServices that name a gateway and exactly this host, the oldest first.
    pub fn gateway_routes(&self, gateway: &Arc<str>, host: &Arc<str>) -> &'a [Arc<Route>] {
        self.ask(Key::GatewayRoutes(gateway.clone(), host.clone()));
        self.store.gateway_routes.get(&(gateway.clone(), host.clone()))
    }

    /// DestinationRules of a namespace for exactly this host, the oldest first.
    pub fn rules(&self, namespace: &Arc<str>, host: &Arc<str>) -> &'a [Arc<Rule>] {
        self.ask(Key::Rules(namespace.clone(), host.clone()));
        self.store.rules.get(&(namespace.clone(), host.clone()))
    }

    pub fn authentications(&self, namespace: &Arc<str>) -> &'a [Arc<PeerAuthentication>] {
        self.ask(Key::PeerAuthentications(namespace.clone()));
        self.store.authentications.get(namespace)
    }

    pub fn authorizations(&self, namespace: &Arc<str>) -> &'a [Arc<Authorization>] {
        self.ask(Key::Authorizations(namespace.clone()));
        self.store.authorizations.get(namespace)
    }

    pub fn policy(&self, namespace: &str, name: &str) -> Option<&'a Arc<Policy>> {
        let key: (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        self.ask(Key::Policy(key.0.clone(), key.1.clone()));
        self.store.policies.get(&key).first()
    }

    /// Whether a scope's own namespace has DestinationRules for exactly this host, and which; what follows
    /// from them is asked of [`Query::rules`].
    pub fn own_rules(&self, namespace: &Arc<str>, host: &Arc<str>) -> &'a [Arc<Rule>] {
        self.ask(Key::RuleNamespaces(host.clone()));
        self.store.rules.get(&(namespace.clone(), host.clone()))
    }

    /// Sidecars of a namespace; scopes are told of their changes as a whole ([`Key::Sidecars`]).
    pub fn sidecars(&self, namespace: &Arc<str>) -> &'a [Arc<Sidecar>] {
        self.store.sidecars.get(namespace)
    }

    /// Whether there is a Gateway with this name (`namespace/name`).
    pub fn has_gateway(&self, name: &Arc<str>) -> bool {
        self.ask(Key::GatewayNamed(name.clone()));
        let (namespace, name) = name.split_once('/').unwrap_or_default();
        !self.store.facts_of(&ObjectRef::new(Kind::Gateway, namespace, name)).is_empty()
    }

    pub fn gateways(&self, selector: &Selector) -> &'a [Arc<Gateway>] {
        self.ask(Key::Gateways(selector.clone()));
        self.store.gateways.get(selector)
    }

    pub fn gateways_of(&self, service: &Arc<str>) -> &'a [Arc<Gateway>] {
        self.ask(Key::GatewaysOf(service.clone()));
        self.store.gateways_of.get(service)
    }

    pub fn secret(&self, namespace: &str, name: &str) -> Option<&'a Arc<Secret>> {
        let key: (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        self.ask(Key::Secret(key.0.clone(), key.1.clone()));
        self.store.secrets.get(&key).first()
    }

    pub fn workload(&self, key: &WorkloadKey) -> Option<&'a Arc<Workload>> {
        self.ask(Key::Workload(key.clone()));
        self.store.endpoints.workload(key)
    }

    /// Where a workload is: as it says itself, else as its node does.
    pub fn locality<'w>(&self, workload: &'w Workload) -> &'w str
    where
        'a: 'w,
    {
        if workload.locality.is_empty() && !workload.node.is_empty() {
            self.ask(Key::Node(workload.node.clone()));
        }
        self.store.locality(workload)
    }

    pub fn services_of(
        &self,
        workload: &WorkloadKey,
    ) -> impl Iterator<Item = &'a ServiceKey> + use<'a> {
        self.ask(Key::ServicesOf(workload.clone()));
        self.store.endpoints.services_of(workload)
    }

    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &'a ServiceKey> + use<'a> {
        self.ask(Key::ServicesAt(address));
        self.store.endpoints.services_at(address)
    }

    /// Endpoints of a service in one bucket, by UID.
    pub fn endpoints(
        &self,
        service: &ServiceKey,
        bucket: u32,
    ) -> impl Iterator<Item = (&'a Arc<str>, Vec<EndpointEntry<'a>>)> + use<'a> {
        self.ask(Key::Endpoints(service.clone(), bucket));
        self.store.endpoints.set(service).into_iter().flat_map(move |set| set.bucket(bucket))
    }

    /// How many buckets the endpoints of a service take; never none, so that the first endpoint
    /// changes one bucket and nothing else.
    pub fn endpoint_buckets(&self, service: &ServiceKey) -> u32 {
        self.ask(Key::EndpointBuckets(service.clone()));
        let buckets = self.store.endpoints.set(service).map_or(1, Set::buckets);
        u32::try_from(buckets).unwrap_or(u32::MAX)
    }

    /// Service accounts of a service's endpoints (namespace, name), sorted.
    pub fn accounts(&self, service: &ServiceKey) -> impl Iterator<Item = &'a Account> + use<'a> {
        self.ask(Key::Accounts(service.clone()));
        self.store.endpoints.set(service).into_iter().flat_map(Set::accounts)
    }

    /// Whether every endpoint of a service speaks mesh TLS, and there is one.
    pub fn all_mesh_tls(&self, service: &ServiceKey) -> bool {
        self.ask(Key::Accounts(service.clone()));
        self.store.endpoints.set(service).is_some_and(Set::all_mesh_tls)
    }

    /// Addresses of a service's endpoints, sorted.
    pub fn addresses(&self, service: &ServiceKey) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.ask(Key::Addresses(service.clone()));
        self.store.endpoints.set(service).into_iter().flat_map(Set::addresses)
    }

    /// Namespaces that have directory entries, each with its number of buckets.
    pub fn directory(&self) -> impl Iterator<Item = (&'a Arc<str>, usize)> + use<'a> {
        self.ask(Key::Directory);
        self.store.directory.namespaces()
    }

    /// Number of buckets of a namespace's directory.
    pub fn directory_buckets(&self, namespace: &Arc<str>) -> usize {
        self.ask(Key::DirectoryBuckets(namespace.clone()));
        self.store.directory.buckets(namespace)
    }

    /// Hosts of services and VirtualServices in a bucket of a namespace, sorted.
    pub fn directory_bucket(
        &self,
        namespace: &Arc<str>,
        bucket: u32,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.ask(Key::DirectoryBucket(namespace.clone(), bucket));
        self.store.directory.bucket(namespace, bucket)
    }

    /// Whether this is local mode, which never changes.
    pub fn is_local(&self) -> bool {
        self.store.local.is_some()
    }

    /// Local mode: offset of a host's address in the /16 of whoever looks at it.
    pub fn local_offset(&self, host: &Arc<str>) -> Option<u16> {
        let local = self.store.local.as_ref()?;
        self.ask(Key::LocalOffset(host.clone()));
        local.offset(host)
    }

    /// Local mode: first address of the workload's /16.
    pub fn local_base(&self, workload: &WorkloadKey) -> Option<Ipv4Addr> {
        let local = self.store.local.as_ref()?;
        self.ask(Key::LocalBase(workload.clone()));
        local.base(workload)
    }
}
