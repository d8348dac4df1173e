//! What Lower made of all objects, filed under the keys that Link may ask for.
//!
//! The tables are private: Link reads them through [`Query`] only, which records every question. Each change
//! of a table touches the keys whose answers it changes, and no others.

mod below;
mod directory;
mod endpoints;
mod few;
mod index;
mod query;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use lateen_api::object::ObjectRef;

pub(crate) use self::endpoints::{EndpointEntry, Entry, Lister};
pub(crate) use self::query::Query;

use self::below::Below;
use self::directory::Directory;
use self::endpoints::Endpoints;
use self::index::Index;
use crate::key::Key;
use crate::local::Local;
use crate::lower::Fact;
use crate::node::{
    Alias, Authorization, Gateway, MESH_GATEWAY, Mesh, PeerAuthentication, Policy, Route, Rule,
    Secret, Service, Sidecar, Workload, WorkloadKey, WorkloadSource,
};
use crate::options::Options;
use crate::scope::Selector;

/// Keys whose answers changed.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub keys: FxHashSet<Key>,
    /// The set of selectors is another.
    pub selectors: bool,
}

impl Touched {
    fn key(&mut self, key: Key) {
        self.keys.insert(key);
    }
}

/// Every node, by what it can be asked for.
#[derive(Debug)]
pub(crate) struct Store {
    facts: FxHashMap<ObjectRef, Vec<Fact>>,
    mesh: Arc<Mesh>,
    default_mesh: Arc<Mesh>,
    services: Index<Arc<str>, Service>,
    service_hosts: Below,
    aliases: Index<Arc<str>, Alias>,
    aliases_of: Index<Arc<str>, Alias>,
    routes: Index<Arc<str>, Route>,
    route_hosts: Below,
    gateway_routes: Index<(Arc<str>, Arc<str>), Route>,
    gateway_hosts: FxHashMap<Arc<str>, BTreeMap<Arc<str>, usize>>,
    rules: Index<(Arc<str>, Arc<str>), Rule>,
    authentications: Index<Arc<str>, PeerAuthentication>,
    authorizations: Index<Arc<str>, Authorization>,
    policies: Index<(Arc<str>, Arc<str>), Policy>,
    sidecars: Index<Arc<str>, Sidecar>,
    gateways: Index<Selector, Gateway>,
    gateways_of: Index<Arc<str>, Gateway>,
    secrets: Index<(Arc<str>, Arc<str>), Secret>,
    selectors: FxHashMap<Selector, usize>,
    directory: Directory,
    endpoints: Endpoints,
    /// Where each node is.
    nodes: FxHashMap<Arc<str>, Arc<str>>,
    local: Option<Local>,
}

impl Store {
    pub fn new(options: &Options, mesh: Mesh) -> Self {
        let mesh = Arc::new(mesh);
        Self {
            facts: FxHashMap::default(),
            default_mesh: Arc::clone(&mesh),
            mesh,
            services: Index::default(),
            service_hosts: Below::default(),
            aliases: Index::default(),
            aliases_of: Index::default(),
            routes: Index::default(),
            route_hosts: Below::default(),
            gateway_routes: Index::default(),
            gateway_hosts: FxHashMap::default(),
            rules: Index::default(),
            authentications: Index::default(),
            authorizations: Index::default(),
            policies: Index::default(),
            sidecars: Index::default(),
            gateways: Index::default(),
            gateways_of: Index::default(),
            secrets: Index::default(),
            selectors: FxHashMap::default(),
            directory: Directory::default(),
            endpoints: Endpoints::default(),
            nodes: FxHashMap::default(),
            local: options.local.then(Local::default),
        }
    }

    /// Replaces what one object was lowered to. Facts that are equal before and after touch nothing.
    pub fn replace(&mut self, object: &ObjectRef, facts: Vec<Fact>, touched: &mut Touched) {
        let former = self.facts.remove(object).unwrap_or_default();
        // What is new comes before what was goes, so that what stays does not seem to go and come.
        for fact in facts.iter().filter(|fact| !former.contains(fact)) {
            self.assert(fact, touched);
        }
        for fact in former.iter().filter(|fact| !facts.contains(fact)) {
            if !facts.iter().any(|new| new.replaces(fact)) {
                self.retract(fact, touched);
            }
        }
        if !facts.is_empty() {
            self.facts.insert(object.clone(), facts);
        }
    }

    /// Notes or forgets what a connected proxy says of a workload that no object describes.
    pub fn set_client(&mut self, workload: &Arc<Workload>, known: bool, touched: &mut Touched) {
        if known {
            self.add_workload(workload, touched);
        } else {
            self.remove_workload(workload, touched);
        }
    }

    /// Settles what depends on the batch as a whole. Call it once after its last change.
    pub fn settle(&mut self, touched: &mut Touched) {
        self.directory.settle(touched);
        self.endpoints.settle(touched);
        if let Some(local) = &mut self.local {
            local.settle(touched);
        }
    }

    /// A workload as objects describe it.
    pub fn described(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.endpoints.workload(key)
    }

    /// Where a workload is: as it says itself, else as its node does.
    pub fn locality<'a>(&'a self, workload: &'a Workload) -> &'a str {
        match &*workload.locality {
            "" => self.nodes.get(&workload.node).map_or("", |locality| locality),
            own => own,
        }
    }

    /// Every workload.
    pub fn all_described(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.endpoints.workloads()
    }

    /// Everything that objects say.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.facts.values().flatten()
    }

    /// Every object that says something.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.facts.keys()
    }

    /// What an object says.
    pub fn facts_of(&self, object: &ObjectRef) -> &[Fact] {
        self.facts.get(object).map_or(&[], Vec::as_slice)
    }

    /// Every selector that a client may match.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.selectors.keys()
    }

    fn assert(&mut self, fact: &Fact, touched: &mut Touched) {
        match fact {
            Fact::Mesh(mesh) => self.set_mesh(Arc::clone(mesh), touched),
            Fact::Service(node) => {
                self.services.insert(node.key.host.clone(), node);
                self.service_hosts.add(&node.key.host, Key::HostsBelow, touched);
                self.directory.add(&node.key.namespace, &node.key.host);
                if let Some(local) = &mut self.local {
                    local.add_host(&node.key.host);
                }
                touched.key(Key::Host(node.key.host.clone()));
            }
            Fact::Alias(node) => {
                self.aliases.insert(node.key.host.clone(), node);
                self.aliases_of.insert(node.target.clone(), node);
                self.touch_alias(node, touched);
            }
            Fact::Route(node) => self.add_route(node, touched),
            Fact::Rule(node) => {
                let key = (node.namespace.clone(), node.host.clone());
                if self.rules.get(&key).is_empty() {
                    touched.key(Key::RuleNamespaces(node.host.clone()));
                }
                self.rules.insert(key.clone(), node);
                self.add_selector(node.selector.as_ref(), touched);
                touched.key(Key::Rules(key.0, key.1));
            }
            Fact::PeerAuthentication(node) => {
                self.authentications.insert(node.namespace.clone(), node);
                touched.key(Key::PeerAuthentications(node.namespace.clone()));
            }
            Fact::Authorization(node) => {
                self.authorizations.insert(node.namespace.clone(), node);
                touched.key(Key::Authorizations(node.namespace.clone()));
            }
            Fact::Policy(node) => {
                let key = (node.namespace.clone(), node.name.clone());
                self.policies.insert(key.clone(), node);
                touched.key(Key::Policy(key.0, key.1));
            }
            Fact::Sidecar(node) => {
                self.sidecars.insert(node.namespace.clone(), node);
                self.add_selector(node.selector.as_ref(), touched);
                touched.key(Key::Sidecars(node.namespace.clone()));
            }
            Fact::Gateway(node) => {
                touched.key(Key::GatewayNamed(node.name.clone()));
                if let Some(selector) = &node.selector {
                    self.gateways.insert(selector.clone(), node);
                    self.add_selector(Some(selector), touched);
                    touched.key(Key::Gateways(selector.clone()));
                }
                for host in &*node.services {
                    self.gateways_of.insert(host.clone(), node);
                    touched.key(Key::GatewaysOf(host.clone()));
                }
            }
            Fact::Secret(key, node) => {
                self.secrets.insert(key.clone(), node);
                touched.key(Key::Secret(key.0.clone(), key.1.clone()));
            }
            Fact::Workload(node) => self.add_workload(node, touched),
            Fact::Node(name, locality) => {
                self.nodes.insert(name.clone(), locality.clone());
                touched.key(Key::Node(name.clone()));
            }
            Fact::Listed(service, object, listed) => {
                self.endpoints.list(service, object, listed, touched);
            }
            Fact::Selecting(selecting) => self.endpoints.add_selecting(selecting, touched),
        }
    }

    fn retract(&mut self, fact: &Fact, touched: &mut Touched) {
        match fact {
            Fact::Mesh(_) => self.set_mesh(Arc::clone(&self.default_mesh), touched),
            Fact::Service(node) => {
                self.services.remove(&node.key.host, node);
                self.service_hosts.remove(&node.key.host, Key::HostsBelow, touched);
                self.directory.remove(&node.key.namespace, &node.key.host);
                if let Some(local) = &mut self.local {
                    local.remove_host(&node.key.host);
                }
                touched.key(Key::Host(node.key.host.clone()));
            }
            Fact::Alias(node) => {
                self.aliases.remove(&node.key.host, node);
                self.aliases_of.remove(&node.target, node);
                self.touch_alias(node, touched);
            }
            Fact::Route(node) => self.remove_route(node, touched),
            Fact::Rule(node) => {
                let key = (node.namespace.clone(), node.host.clone());
                self.rules.remove(&key, node);
                if self.rules.get(&key).is_empty() {
                    touched.key(Key::RuleNamespaces(node.host.clone()));
                }
                self.remove_selector(node.selector.as_ref(), touched);
                touched.key(Key::Rules(key.0, key.1));
            }
            Fact::PeerAuthentication(node) => {
                self.authentications.remove(&node.namespace, node);
                touched.key(Key::PeerAuthentications(node.namespace.clone()));
            }
            Fact::Authorization(node) => {
                self.authorizations.remove(&node.namespace, node);
                touched.key(Key::Authorizations(node.namespace.clone()));
            }
            Fact::Policy(node) => {
                let key = (node.namespace.clone(), node.name.clone());
                self.policies.remove(&key, node);
                touched.key(Key::Policy(key.0, key.1));
            }
            Fact::Sidecar(node) => {
                self.sidecars.remove(&node.namespace, node);
                self.remove_selector(node.selector.as_ref(), touched);
                touched.key(Key::Sidecars(node.namespace.clone()));
            }
            Fact::Gateway(node) => {
                touched.key(Key::GatewayNamed(node.name.clone()));
                if let Some(selector) = &node.selector {
                    self.gateways.remove(selector, node);
                    self.remove_selector(Some(selector), touched);
                    touched.key(Key::Gateways(selector.clone()));
                }
                for host in &*node.services {
                    self.gateways_of.remove(host, node);
                    touched.key(Key::GatewaysOf(host.clone()));
                }
            }
            Fact::Secret(key, node) => {
                self.secrets.remove(key, node);
                touched.key(Key::Secret(key.0.clone(), key.1.clone()));
            }
            Fact::Workload(node) => self.remove_workload(node, touched),
            Fact::Node(name, _) => {
                self.nodes.remove(name);
                touched.key(Key::Node(name.clone()));
            }
            Fact::Listed(service, object, _) => self.endpoints.unlist(service, object, touched),
            Fact::Selecting(selecting) => self.endpoints.remove_selecting(selecting, touched),
        }
    }

    fn set_mesh(&mut self, mesh: Arc<Mesh>, touched: &mut Touched) {
        for part in self.mesh.differences(&mesh) {
            touched.key(Key::Mesh(part));
        }
        self.mesh = mesh;
    }

    fn touch_alias(&mut self, node: &Alias, touched: &mut Touched) {
        touched.key(Key::Host(node.key.host.clone()));
        touched.key(Key::Aliases(node.target.clone()));
    }

    fn add_route(&mut self, node: &Arc<Route>, touched: &mut Touched) {
        if node.for_mesh() {
            for host in &*node.hosts {
                self.routes.insert(host.clone(), node);
                self.route_hosts.add(host, Key::RoutesBelow, touched);
                if !node.http.is_empty() {
                    self.directory.add(&node.namespace, host);
                }
                touched.key(Key::Routes(host.clone()));
            }
        }
        for gateway in gateways_of(node) {
            for host in &*node.hosts {
                let key = (gateway.clone(), host.clone());
                self.gateway_routes.insert(key, node);
                let hosts = self.gateway_hosts.entry(gateway.clone()).or_default();
                let count = hosts.entry(host.clone()).or_default();
                *count += 1;
                if *count == 1 {
                    touched.key(Key::GatewayHosts(gateway.clone()));
                }
                touched.key(Key::GatewayRoutes(gateway.clone(), host.clone()));
            }
        }
        for selector in source_selectors(node) {
            self.add_selector(Some(&selector), touched);
        }
    }

    fn remove_route(&mut self, node: &Arc<Route>, touched: &mut Touched) {
        if node.for_mesh() {
            for host in &*node.hosts {
                self.routes.remove(host, node);
                self.route_hosts.remove(host, Key::RoutesBelow, touched);
                if !node.http.is_empty() {
                    self.directory.remove(&node.namespace, host);
                }
                touched.key(Key::Routes(host.clone()));
            }
        }
        for gateway in gateways_of(node) {
            for host in &*node.hosts {
                let key = (gateway.clone(), host.clone());
                self.gateway_routes.remove(&key, node);
                self.remove_gateway_host(&gateway, host, touched);
                touched.key(Key::GatewayRoutes(key.0, key.1));
            }
        }
        for selector in source_selectors(node) {
            self.remove_selector(Some(&selector), touched);
        }
    }

    fn remove_gateway_host(&mut self, gateway: &Arc<str>, host: &Arc<str>, touched: &mut Touched) {
        let Some(hosts) = self.gateway_hosts.get_mut(gateway) else { return };
        let Some(count) = hosts.get_mut(host) else { return };
        *count -= 1;
        if *count == 0 {
            hosts.remove(host);
            touched.key(Key::GatewayHosts(gateway.clone()));
        }
        if hosts.is_empty() {
            self.gateway_hosts.remove(gateway);
        }
    }

    fn add_workload(&mut self, node: &Arc<Workload>, touched: &mut Touched) {
        // Places follow from the objects, so that whoever knows them knows the places.
        if let Some(local) = &mut self.local
            && node.from != WorkloadSource::Client
        {
            local.add_workload(&node.key);
        }
        self.endpoints.add_workload(node, touched);
    }

    fn remove_workload(&mut self, node: &Arc<Workload>, touched: &mut Touched) {
        if let Some(local) = &mut self.local
            && node.from != WorkloadSource::Client
        {
            local.remove_workload(&node.key);
        }
        self.endpoints.remove_workload(node, touched);
    }

    fn add_selector(&mut self, selector: Option<&Selector>, touched: &mut Touched) {
        let Some(selector) = selector else { return };
        let count = self.selectors.entry(selector.clone()).or_insert(0);
        *count += 1;
        touched.selectors |= *count == 1;
    }

    fn remove_selector(&mut self, selector: Option<&Selector>, touched: &mut Touched) {
        let Some(selector) = selector else { return };
        let Some(count) = self.selectors.get_mut(selector) else { return };
        *count -= 1;
        if *count == 0 {
            self.selectors.remove(selector);
            touched.selectors = true;
        }
    }
}

/// The gateways, other than the mesh, at which a route counts; each once.
fn gateways_of(route: &Route) -> Vec<Arc<str>> {
    let mut gateways: Vec<Arc<str>> =
        route.gateways.iter().filter(|gateway| &***gateway != MESH_GATEWAY).cloned().collect();
    gateways.sort();
    gateways.dedup();
    gateways
}

fn source_selectors(route: &Route) -> Vec<Selector> {
    let mut selectors: Vec<Selector> = route
        .bindings()
        .filter(|binding| !binding.source_labels.is_empty())
        .map(|binding| Selector::source(&binding.source_labels))
        .collect();
    selectors.sort();
    selectors.dedup();
    selectors
}
