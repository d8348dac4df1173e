//! The model as one scope or one workload sees it, in Envoy's language, kept up to date.

use std::sync::{Arc, Weak};

use lateen_compiler::{Audience, Client, Compiler, Output, Role, ScopeId};
use lateen_envoy::{Capture, Kind, Lowering, Part, Placement, Pool, Problem, Resource};
use lateen_mesh::{encoded::Version, name::Name, v1};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{bits::Bits, table::Table};
use crate::distribution::{
    ConnectionId,
    topics::{TopicId, Topics, Watcher},
    view::{Catalog, View},
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Lowered {
    scope: ScopeId,
    /// For whom the compiler is asked: for a scope somebody in it, else the workload.
    client: Client,
    /// The closure of what is lowered.
    view: View,
    lowering: Lowering,
    tables: [Table; 6],
    /// Numbers of virtual hosts, by the name of their route configuration.
    hosts: FxHashMap<Arc<str>, Bits>,
    users: FxHashSet<ConnectionId>,
}

/// What lowerings share with each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pool: Pool,
    /// Messages that somebody holds, by the version of their bytes.
    decoded: FxHashMap<Version, Weak<v1::Resource>>,
    sweep_at: usize,
}

/// Decoded messages that are kept in mind before it is looked which are still held.
const DECODED: usize = 4096;

/// A resource that came, changed or went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

impl Lowered {
    /// Nothing yet.
    pub(crate) fn new(
        watcher: Watcher,
        scope: ScopeId,
        client: Client,
        placement: Placement,
    ) -> Self {
        let mut view = View::new(watcher);
        view.subscribe(vec!["*".to_owned()], &[]);
        Self {
            scope,
            client,
            view,
            lowering: Lowering::new(placement),
            tables: Default::default(),
            hosts: FxHashMap::default(),
            users: FxHashSet::default(),
        }
    }

    pub(crate) fn scope(&self) -> ScopeId {
        self.scope
    }

    pub(crate) fn part(&self) -> Part {
        self.lowering.placement().part
    }

    /// The connections that take from it.
    pub(crate) fn users(&self) -> &FxHashSet<ConnectionId> {
        &self.users
    }

    pub(crate) fn users_mut(&mut self) -> &mut FxHashSet<ConnectionId> {
        &mut self.users
    }

    /// An output in the closure may have changed.
    pub(crate) fn mark(&mut self, topic: TopicId) {
        self.view.mark(topic);
    }

    /// What the compiler gives as roots may have changed.
    pub(crate) fn mark_roots(&mut self) {
        self.view.mark_roots();
    }

    /// Takes in what changed; what follows for the resources.
    pub(crate) fn advance(
        &mut self,
        topics: &mut Topics,
        compiler: &mut Compiler,
        shared: &mut Shared,
    ) -> Vec<Changed> {
        if !self.view.is_stale() {
            return Vec::new();
        }
        let placement = self.lowering.placement();
        let mut catalog = Inputs { compiler, scope: self.scope, client: &self.client, placement };
        let outputs = self.view.take(topics, &mut catalog);
        let changes: Vec<_> = outputs
            .into_iter()
            .map(|(name, output)| (name, output.and_then(|output| shared.decode(&output))))
            .collect();
        let effects = self.lowering.apply(&mut shared.pool, changes);
        let mut changed = Vec::with_capacity(effects.changed.len() + effects.removed.len());
        for (kind, resource) in effects.changed {
            changed.push(self.file(kind, resource));
        }
        changed.extend(
            effects.removed.into_iter().filter_map(|(kind, name)| self.strike(kind, &name)),
        );
        changed
    }

    /// A resource came or changed.
    pub(super) fn file(&mut self, kind: Kind, resource: Arc<Resource>) -> Changed {
        let name = resource.name.clone();
        let number = self.tables[kind.index()].set(resource);
        if kind == Kind::VirtualHost
            && let Some(routes) = routes_of(&name)
        {
            self.hosts.entry(routes.into()).or_default().insert(number);
        }
        Changed { kind, number }
    }

    /// A resource went.
    pub(super) fn strike(&mut self, kind: Kind, name: &str) -> Option<Changed> {
        let number = self.tables[kind.index()].remove(name)?;
        if kind == Kind::VirtualHost
            && let Some(routes) = routes_of(name)
            && let Some(hosts) = self.hosts.get_mut(routes)
        {
            hosts.remove(number);
            if hosts.is_empty() {
                self.hosts.remove(routes);
            }
        }
        Some(Changed { kind, number })
    }

    /// Gives a name a number, where it has none: somebody asks for what is not there.
    pub(crate) fn reserve(&mut self, kind: Kind, name: &str) {
        self.tables[kind.index()].reserve(name);
    }

    pub(super) fn table(&self, kind: Kind) -> &Table {
        &self.tables[kind.index()]
    }

    pub(super) fn table_mut(&mut self, kind: Kind) -> &mut Table {
        &mut self.tables[kind.index()]
    }

    /// The virtual hosts of a route configuration.
    pub(super) fn hosts(&self, routes: &str) -> impl Iterator<Item = u32> {
        self.hosts.get(routes).into_iter().flat_map(Bits::iter)
    }

    /// What Envoy cannot be told.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.lowering.problems()
    }

    /// The outputs of the compiler that it was made from.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &Arc<Output>> {
        self.view.outputs()
    }

    /// Gives back whatever is held.
    pub(crate) fn close(self, topics: &mut Topics) {
        self.view.close(topics);
    }
}

impl Shared {
    /// The message of an output, decoded once for all who hold it.
    fn decode(&mut self, output: &Output) -> Option<Arc<v1::Resource>> {
        let version = output.encoded.version;
        if let Some(known) = self.decoded.get(&version).and_then(Weak::upgrade) {
            return Some(known);
        }
        let decoded = match output.encoded.decode() {
            Ok(message) => Arc::new(message),
            Err(error) => {
                tracing::error!(%error, "a resource of our own cannot be read");
                return None;
            }
        };
        if self.decoded.len() >= self.sweep_at.max(DECODED) {
            self.decoded.retain(|_, message| message.strong_count() > 0);
            self.sweep_at = 2 * self.decoded.len();
        }
        self.decoded.insert(version, Arc::downgrade(&decoded));
        Some(decoded)
    }
}

/// The compiler, as one part of Envoy's configuration reads it.
struct Inputs<'a> {
    compiler: &'a mut Compiler,
    scope: ScopeId,
    client: &'a Client,
    placement: Placement,
}

impl Catalog for Inputs<'_> {
    /// A scope's part needs all but what is a workload's own. A workload's own part needs all where
    /// its listeners are made from it: a gateway's, and those of local mode.
    fn roots(&mut self) -> Vec<Name> {
        let mut roots = self.compiler.roots(self.scope, self.client);
        let is_own = |name: &Name| matches!(name, Name::Inbound { .. });
        match self.placement {
            Placement { part: Part::Scope, .. } => roots.retain(|name| !is_own(name)),
            Placement { part: Part::Workload, capture: Capture::Redirect, .. }
                if self.client.role == Role::Sidecar =>
            {
                roots.retain(|name| is_own(name) || *name == Name::Settings);
            }
            _ => {}
        }
        roots
    }

    fn output(&mut self, name: &Name) -> Option<Arc<Output>> {
        // Endpoints are the scope's alone.
        if matches!(name, Name::Endpoints { .. }) && self.placement.part == Part::Workload {
            return None;
        }
        self.compiler.output(self.scope, name)
    }

    fn audience(&self, name: &Name) -> Audience {
        Compiler::audience(self.scope, name)
    }
}

/// The route configuration that a virtual host belongs to, by its name.
pub(super) fn routes_of(virtual_host: &str) -> Option<&str> {
    virtual_host.split_once('/').map(|(routes, _)| routes)
}
