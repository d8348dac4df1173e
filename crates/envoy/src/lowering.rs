//! The incremental core: which model resources make which Envoy resources.
//!
//! What is lowered is cut into units, each of a few resources that no other unit makes. A changed
//! model resource makes those units anew that read it; where their bytes are as before, that is the
//! end of it. Changed settings make everything anew.
//!
//! What a placement is fed with:
//!
//! | part | role | model resources |
//! | --- | --- | --- |
//! | scope | sidecar | `settings`, `directory/*`, `routes/*`, `destination/*`, `endpoints/*` |
//! | scope | gateway | `settings`, `gateway/*`, `destination/*`, `endpoints/*`, `secret/*` |
//! | workload | sidecar | `settings`, `inbound/*`, `policy/*`; in local mode also `directory/*`, `routes/*`, `destination/*` |
//! | workload | gateway | `settings`, `inbound/*`, `policy/*`, `gateway/*`, `destination/*`, `secret/*` |
//!
//! Other resources do no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

use crate::{Kind, Placement, Pool, Problem, Resource};

mod context;
mod directory;
mod dirty;
mod entry;
mod made;
mod model;
mod output;
mod references;
mod tables;
mod unit;

pub(crate) use context::Context;
pub(crate) use entry::{Entry, covers, is_http};
pub(crate) use made::Made;
pub(crate) use model::Model;
pub(crate) use output::{Output, object_of};
pub(crate) use unit::{DestinationKey, TableKey, Unit};

use dirty::Dirty;
use made::Works;
use references::References;

/// The model as one scope or one workload sees it, kept lowered.
#[derive(Debug)]
pub struct Lowering {
    placement: Placement,
    model: Model,
    references: References,
    /// Tables whose virtual hosts are resources of their own.
    split_tables: BTreeSet<TableKey>,
    made: Works,
}

/// What a change of the model did. Sorted by kind and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Resources that are new or have other bytes.
    pub changed: Vec<(Kind, Arc<Resource>)>,
    /// Resources that are gone.
    pub removed: Vec<(Kind, Arc<str>)>,
}

impl Lowering {
    /// Nothing yet.
    #[must_use]
    pub fn new(placement: Placement) -> Self {
        Self {
            placement,
            model: Model::default(),
            references: References::default(),
            split_tables: BTreeSet::new(),
            made: Works::default(),
        }
    }

    /// For whom is lowered.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Takes changed (`Some`) and removed (`None`) model resources, all of them as one step.
    pub fn apply(
        &mut self,
        pool: &mut Pool,
        changes: impl IntoIterator<Item = (Name, Option<Arc<v1::Resource>>)>,
    ) -> Effects {
        let changes = self.take(changes, pool);
        if changes.is_empty() {
            return Effects::default();
        }
        let mut units = self.dirty(pool, &changes);
        self.settle_tables(&mut units, pool);
        self.lower(&units, pool)
    }

    /// A resource; all of them are looked at.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Resource> {
        self.of_kind(kind).find(|resource| *resource.name == *name)
    }

    /// All resources of a kind, by name.
    pub fn resources(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        let mut resources: Vec<&Resource> = self.of_kind(kind).collect();
        resources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        resources.into_iter()
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        let all = self.made.iter().flat_map(|made| &made.resources);
        all.filter(move |(of, _)| *of == kind).map(|(_, resource)| &**resource)
    }

    /// What cannot be said in Envoy's language.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.made.iter().flat_map(|made| &made.problems)
    }

    /// Stores what really changed, and says what was there before.
    fn take(
        &mut self,
        changes: impl IntoIterator<Item = (Name, Option<Arc<v1::Resource>>)>,
        pool: &mut Pool,
    ) -> BTreeMap<Name, Option<Arc<v1::Resource>>> {
        let mut before: BTreeMap<Name, Option<Arc<v1::Resource>>> = BTreeMap::new();
        for (name, resource) in changes {
            let old = self.model.set(&name, resource, pool);
            before.entry(name).or_insert(old);
        }
        before.retain(|name, old| self.model.get(name) != old.as_ref());
        before
    }

    fn dirty(
        &mut self,
        pool: &mut Pool,
        changes: &BTreeMap<Name, Option<Arc<v1::Resource>>>,
    ) -> BTreeSet<Unit> {
        let mut slices = Vec::new();
        for name in changes.keys() {
            match name {
                Name::Directory { namespace, bucket } => {
                    slices.push(((namespace.clone(), *bucket), self.model.get(name).cloned()));
                }
                Name::Routes(_) | Name::GatewayRoutes { .. } => {
                    self.references.set(name, self.model.routes(name), pool);
                }
                _ => {}
            }
        }
        let slices = slices.iter().map(|(key, resource)| (key.clone(), slice(resource.as_deref())));
        let entries = self.model.directory.apply(slices.collect(), pool);
        let mut dirty = Dirty::new(self.placement, &self.model, &self.references, pool);
        if changes.contains_key(&Name::Settings) || self.made.is_empty() {
            dirty.everything();
        }
        let defaults = default_settings();
        dirty.entries(&entries, self.model.settings(&Name::Settings).unwrap_or(&defaults));
        for (name, before) in changes {
            let after = self.model.get(name).map(Arc::as_ref);
            dirty.resource(name, before.as_deref(), after);
        }
        let mut units = dirty.into_units();
        self.add_reached_clusters(&mut units, changes, pool);
        units
    }

    /// A changed table may want a destination's other cluster, or want it no longer.
    fn add_reached_clusters(
        &self,
        units: &mut BTreeSet<Unit>,
        changes: &BTreeMap<Name, Option<Arc<v1::Resource>>>,
        pool: &mut Pool,
    ) {
        if self.placement.part != crate::Part::Scope {
            return;
        }
        let mut hosts: BTreeSet<&str> = BTreeSet::new();
        for (name, before) in changes {
            let after = self.model.get(name).map(Arc::as_ref);
            for routes in [before.as_deref(), after].into_iter().filter_map(routes) {
                hosts.extend(references::hosts(routes));
            }
        }
        for host in hosts {
            for name in self.model.destinations(host, None) {
                units.extend(dirty::key_of(name, pool).map(Unit::Cluster));
            }
        }
    }

    fn lower(&mut self, units: &BTreeSet<Unit>, pool: &mut Pool) -> Effects {
        let defaults = default_settings();
        let mut before: BTreeMap<(Kind, Arc<str>), Arc<Resource>> = BTreeMap::new();
        let mut now = before.clone();
        let named =
            |(kind, it): &(Kind, Arc<Resource>)| ((*kind, Arc::clone(&it.name)), Arc::clone(it));
        for unit in units {
            let mut out = Output::default();
            let context = Context {
                placement: self.placement,
                settings: self.model.settings(&Name::Settings).unwrap_or(&defaults),
                model: &self.model,
            };
            self.lower_unit(&context, unit, &mut out);
            let resources = out.made.into_iter();
            let made = Made {
                unit: unit.clone(),
                resources: resources
                    .map(|(kind, name, body)| (kind, pool.resource(&name, body)))
                    .collect(),
                problems: out.problems.into(),
            };
            now.extend(made.resources.iter().map(named));
            let former = if made.is_empty() {
                self.made.remove(unit)
            } else {
                self.made.replace(pool.made(made))
            };
            before.extend(former.iter().flat_map(|former| &former.resources).map(named));
        }
        let removed = before.keys().filter(|id| !now.contains_key(id)).cloned().collect();
        let changed = now.into_iter().filter(|(id, now)| before.get(id) != Some(now));
        Effects { changed: changed.map(|((kind, _), it)| (kind, it)).collect(), removed }
    }

    fn lower_unit(&self, context: &Context<'_>, unit: &Unit, out: &mut Output) {
        match unit {
            Unit::Fixed => crate::cluster::fixed(context, out),
            Unit::Cluster(key) => {
                let uses = |carried| self.references.carries(key, carried);
                crate::cluster::lower(context, key, uses, out);
            }
            Unit::Endpoints(key) => crate::endpoints::lower(context, key, out),
            Unit::VirtualOutbound => crate::outbound::virtual_outbound(context, out),
            Unit::PortListener(port) => crate::outbound::port(context, *port, out),
            Unit::AddressListener(address, port) => {
                crate::outbound::address(context, *address, *port, out);
            }
            Unit::LocalListener(offset, port) => {
                crate::outbound::local(context, *offset, *port, out);
            }
            Unit::Inbound => {
                if let Some((name, inbound)) = context.model.inbound() {
                    crate::inbound::lower(context, inbound, context.model.objects(name), out);
                }
            }
            Unit::GatewayListener(port) => {
                let name = Name::Gateway(*port);
                if let Some(listener) = context.model.gateway(&name) {
                    let objects = context.model.objects(&name);
                    let base = context.model.local_base();
                    crate::gateway::lower(context, listener, objects, base, out);
                }
            }
            Unit::Table(key) => self.lower_table(context, key, out),
            Unit::VirtualHost(key, host) => self.lower_virtual_host(context, key, host, out),
            Unit::Detected(host, port) => crate::route::detected(context, host, *port, out),
            Unit::Secret(namespace, name) => {
                let id = Name::Secret { namespace: namespace.to_string(), name: name.to_string() };
                if let Some(secret) = context.model.secret(&id) {
                    crate::secret::lower(context, namespace, name, secret, out);
                }
            }
        }
    }
}

/// Until the scope's settings have arrived nothing is passed through.
fn default_settings() -> v1::Settings {
    v1::Settings {
        trust_domain: "cluster.local".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        root_namespace: "istio-system".to_owned(),
        outbound_policy: v1::OutboundPolicy::RegistryOnly.into(),
        ..v1::Settings::default()
    }
}

fn slice(resource: Option<&v1::Resource>) -> Option<&v1::DirectorySlice> {
    match resource?.body.as_ref()? {
        Body::Directory(slice) => Some(slice),
        _ => None,
    }
}

fn routes(resource: Option<&v1::Resource>) -> Option<&v1::Routes> {
    match resource?.body.as_ref()? {
        Body::Routes(routes) => Some(routes),
        _ => None,
    }
}
