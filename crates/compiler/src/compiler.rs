//! The compiler: takes changes in, gives compiled resources out.

use std::sync::Arc;

use lateen_mesh::encoded::Encoded;
use lateen_mesh::name::Name;
use lateen_mesh::v1::Resource;

use crate::change::{Audience, Change, Changes, Counters, Output};
use crate::client::{Client, Role};
use crate::findings::Findings;
use crate::key::Key;
use crate::link::{self, Linked};
use crate::local::WorkloadAddresses;
use crate::lower::{self, Lowering};
use crate::memo::{Memo, Subject, Task};
use crate::node::{ServiceKey, Workload, WorkloadKey};
use crate::options::Options;
use crate::perspective::Aspects;
use crate::scope::{Scope, ScopeId, Scopes, Selects};
use crate::store::{Query, Store, Touched};

use rustc_hash::{FxHashMap, FxHashSet};

/// Objects in, compiled resources out; see the crate's documentation for the whole picture.
#[derive(Debug)]
pub struct Compiler {
    pub(crate) options: Options,
    pub(crate) store: Store,
    scopes: Scopes,
    memo: Memo<Value>,
    clients: FxHashMap<WorkloadKey, Connected>,
    /// A change of one of these may give a client another scope; with the number of clients that
    /// it concerns.
    watched: FxHashMap<Key, usize>,
    /// What became stale because a client came or went, and nobody was told yet.
    untold: Vec<Task>,
    /// What there is to say about objects together, where somebody wants to know.
    pub(crate) findings: Option<Findings>,
    counters: Counters,
}

/// A client whose proxy is connected.
#[derive(Debug)]
struct Connected {
    /// What it says of its workload.
    workload: Arc<Workload>,
    /// What its scope was read from.
    watched: FxHashSet<Key>,
}

/// What the memo keeps.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Output(Option<Arc<Output>>),
    Roots(Arc<[Name]>),
}

impl Compiler {
    /// A compiler that knows no objects yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let store = Store::new(&options, lower::default_mesh(&options));
        Self {
            options,
            store,
            scopes: Scopes::default(),
            memo: Memo::default(),
            clients: FxHashMap::default(),
            watched: FxHashMap::default(),
            untold: Vec::new(),
            findings: None,
            counters: Counters::default(),
        }
    }

    /// What the compiler was made with.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Takes a batch of changes, as one: what is asked for afterwards knows all of them.
    pub fn apply(&mut self, batch: impl IntoIterator<Item = Change>) -> Changes {
        let mut touched = Touched::default();
        let mut diagnostics = Vec::new();
        let mut objects = Vec::new();
        for change in batch {
            if self.findings.is_some() {
                objects.push(match &change {
                    Change::Upsert(object) => object.reference(),
                    Change::Remove(object) => object.clone(),
                });
            }
            match change {
                Change::Upsert(object) => {
                    self.counters.lowered += 1;
                    let mut lowering = Lowering::new(&self.options, &object);
                    let facts = lowering.lower();
                    diagnostics.append(&mut lowering.diagnostics);
                    self.store.replace(&object.reference(), facts, &mut touched);
                }
                Change::Remove(object) => self.store.replace(&object, Vec::new(), &mut touched),
            }
        }
        self.store.settle(&mut touched);
        if let Some(findings) = &mut self.findings {
            findings.touch(objects.iter(), &touched);
        }
        let mut changes = self.touch(&touched);
        changes.diagnostics = diagnostics;
        changes
    }

    /// What became stale because clients came ([`Compiler::scope`]) or went ([`Compiler::release`])
    /// since it was asked last; the next [`Compiler::apply`] says it too.
    pub fn settle_clients(&mut self) -> Changes {
        if self.untold.is_empty() { Changes::default() } else { self.touch(&Touched::default()) }
    }

    fn touch(&mut self, touched: &Touched) -> Changes {
        let mut changes = Changes {
            scopes: touched.selectors
                || touched.keys.iter().any(|key| self.watched.contains_key(key)),
            ..Changes::default()
        };
        let untold = std::mem::take(&mut self.untold);
        let moved = self.follow_sidecars(touched);
        for task in untold.into_iter().chain(moved).chain(self.memo.touch(&touched.keys)) {
            match task {
                Task::Output(audience, name) => {
                    changes.stale.push((audience, Arc::unwrap_or_clone(name)));
                }
                Task::Roots(Audience::Scope(scope)) => changes.roots.push(scope),
                Task::Roots(Audience::Everyone) => {}
            }
        }
        changes.stale.sort();
        changes.stale.dedup();
        changes.roots.sort();
        changes.roots.dedup();
        changes
    }

    /// What follows the Sidecars of scopes that may be governed by another one now.
    fn follow_sidecars(&mut self, touched: &Touched) -> Vec<Task> {
        let namespaces: FxHashSet<&Arc<str>> = touched
            .keys
            .iter()
            .filter_map(|key| match key {
                Key::Sidecars(namespace) => Some(namespace),
                _ => None,
            })
            .collect();
        if namespaces.is_empty() {
            return Vec::new();
        }
        let query = Query::new(&self.store, &self.options);
        let is_root = namespaces.contains(query.root_namespace());
        let concerned = self
            .scopes
            .iter()
            .filter(|(_, scope)| is_root || namespaces.contains(&scope.namespace));
        let concerned: FxHashSet<Audience> = concerned.map(|(id, _)| Audience::Scope(id)).collect();
        self.memo.unsettle(|audience| concerned.contains(&audience))
    }

    /// The scope of a client, and the note that the client is there: what no object says of its workload
    /// is taken from the client. Ask again when [`Changes::scopes`] says so, and [`Compiler::release`] it
    /// when its proxy is gone.
    pub fn scope(&mut self, client: &Client) -> ScopeId {
        let key = self.note(client);
        let (scope, mut asked) = self.facts(client, &key);
        asked.insert(Key::Workload(key.clone()));
        self.watch(&key, asked);
        self.scopes.intern(scope)
    }

    /// Watches for a client what its scope was read from, instead of what it was before.
    fn watch(&mut self, client: &WorkloadKey, keys: FxHashSet<Key>) {
        for key in &keys {
            *self.watched.entry(key.clone()).or_default() += 1;
        }
        if let Some(connected) = self.clients.get_mut(client) {
            let former = std::mem::replace(&mut connected.watched, keys);
            self.unwatch(former);
        }
    }

    fn unwatch(&mut self, keys: FxHashSet<Key>) {
        for key in keys {
            if let Some(count) = self.watched.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.watched.remove(&key);
                }
            }
        }
    }

    /// What decides what a client sees, and what that was read from.
    pub(crate) fn facts(&self, client: &Client, key: &WorkloadKey) -> (Scope, FxHashSet<Key>) {
        let query = Query::new(&self.store, &self.options);
        let mut services: Vec<ServiceKey> = Vec::new();
        let mut named_ports = Arc::default();
        if client.role == Role::Gateway {
            services = link::services_of_client(&query, key, &client.addresses);
            if let Some(known) = query.workload(key) {
                named_ports = Arc::clone(&known.ports);
            }
        }
        let mut selectors: Vec<_> =
            self.store.selectors().filter(|selector| selector.matches(client)).cloned().collect();
        selectors.sort();
        let network =
            if client.network.is_empty() { &self.options.network } else { &client.network };
        let scope = Scope {
            role: client.role,
            namespace: client.namespace.as_str().into(),
            network: network.as_str().into(),
            selectors: selectors.into(),
            services: services.into(),
            named_ports,
        };
        (scope, query.into_asked())
    }

    fn note(&mut self, client: &Client) -> WorkloadKey {
        let workload = Arc::new(lower::client_workload(&self.options, client));
        let key = workload.key.clone();
        let former = self.clients.get(&key).map(|known| Arc::clone(&known.workload));
        if former.as_ref() != Some(&workload) {
            let mut touched = Touched::default();
            self.store.set_client(&workload, true, &mut touched);
            if let Some(former) = former {
                self.store.set_client(&former, false, &mut touched);
            }
            let connected = self.clients.entry(key.clone()).or_insert_with(|| Connected {
                workload: Arc::clone(&workload),
                watched: FxHashSet::default(),
            });
            connected.workload = workload;
            self.store.settle(&mut touched);
            self.untold.append(&mut self.memo.touch(&touched.keys));
        }
        key
    }

    /// Forgets a client whose proxy is gone.
    pub fn release(&mut self, namespace: &str, name: &str) {
        let key = WorkloadKey { namespace: namespace.into(), name: name.into() };
        if let Some(connected) = self.clients.remove(&key) {
            self.unwatch(connected.watched);
            let mut touched = Touched::default();
            self.store.set_client(&connected.workload, false, &mut touched);
            self.store.settle(&mut touched);
            self.untold.append(&mut self.memo.touch(&touched.keys));
        }
    }

    /// Forgets all scopes but those that `keep` names, with everything that was compiled for them.
    pub fn retain_scopes(&mut self, keep: impl Fn(ScopeId) -> bool) {
        let gone: FxHashSet<Audience> =
            self.scopes.retain(keep).into_iter().map(Audience::Scope).collect();
        if !gone.is_empty() {
            self.memo.retain(|audience| !gone.contains(&audience));
        }
    }

    /// Forgets a compiled resource that nobody wants any more, or ever had: what clients ask for
    /// takes memory no longer than they do.
    pub fn forget(&mut self, audience: Audience, name: &Name) {
        self.memo.remove(audience, Subject::Output(name));
    }

    /// For whom the resource with this name is the same: everyone, or the clients of one scope.
    #[must_use]
    pub fn audience(scope: ScopeId, name: &Name) -> Audience {
        if is_shared(name) { Audience::Everyone } else { Audience::Scope(scope) }
    }

    /// What a client takes without asking: settings, directory and its own inbound side; a gateway its
    /// listeners instead of a directory. References of these outputs (and theirs) belong to it, but for
    /// the directory, whose entries are taken on demand by [`Name::Host`]: the closure of that is the
    /// closure of the entry's [`Name::Routes`].
    ///
    /// The scope's part changes when [`Changes::roots`] says so.
    pub fn roots(&mut self, scope: ScopeId, client: &Client) -> Vec<Name> {
        let whole = client.whole_scope && client.role == Role::Sidecar;
        let (audience, subject) = (Audience::Scope(scope), Subject::Roots(whole));
        let link = |query: &Query<'_>, facts: &Arc<Scope>| {
            let (roots, aspects) = link::roots(query, facts, whole);
            (Value::Roots(roots.into()), aspects)
        };
        let Some(Value::Roots(roots)) = self.value(scope, audience, subject, link) else {
            return Vec::new();
        };
        let mut roots = roots.to_vec();
        roots
            .push(Name::Inbound { namespace: client.namespace.clone(), name: client.name.clone() });
        roots
    }

    /// One resource as a scope sees it; none if there is no such thing there. Where nothing that it was
    /// made from changed, or its bytes came out equal, it is the very same as before.
    ///
    /// `inbound/…` is for its own workload only, which the caller sees to.
    pub fn output(&mut self, scope: ScopeId, name: &Name) -> Option<Arc<Output>> {
        let (audience, subject) = (Self::audience(scope, name), Subject::Output(name));
        let link = |query: &Query<'_>, facts: &Arc<Scope>| {
            let (linked, aspects) = link::output(query, facts, name);
            (Value::Output(linked.map(finish)), aspects)
        };
        match self.value(scope, audience, subject, link)? {
            Value::Output(output) => output,
            Value::Roots(_) => None,
        }
    }

    /// What somebody has of a subject: what they had, as long as it holds; else what others have who are
    /// like them; else what `link` makes.
    fn value(
        &mut self,
        scope: ScopeId,
        audience: Audience,
        subject: Subject<'_>,
        link: impl Fn(&Query<'_>, &Arc<Scope>) -> (Value, Aspects),
    ) -> Option<Value> {
        let former = match self.memo.get(audience, subject) {
            Some((value, true)) => return Some(value.clone()),
            Some((value, false)) => Some(value.clone()),
            None => None,
        };
        let facts = self.scopes.get(scope)?;
        let query = Query::new(&self.store, &self.options);
        let found = self.memo.adopt(audience, subject, |aspects| aspects.hold(&query, facts));
        if found.is_some() {
            return found;
        }
        let query = Query::new(&self.store, &self.options);
        let (value, aspects) = link(&query, facts);
        let value = self.memo.put(audience, subject, value, aspects, query.into_asked());
        if let Value::Output(output) = &value {
            self.counters.linked += 1;
            let is_changed = |former: &Value| match former {
                Value::Output(former) => !same_bytes(former.as_ref(), output.as_ref()),
                Value::Roots(_) => true,
            };
            self.counters.changed += u64::from(former.as_ref().is_some_and(is_changed));
        }
        Some(value)
    }

    /// The closure of some names: every output that is reached by following references, sorted by name.
    /// [`Name::Host`] stands for the host's routes.
    pub fn closure(
        &mut self,
        scope: ScopeId,
        names: impl IntoIterator<Item = Name>,
    ) -> Vec<(Name, Arc<Output>)> {
        let mut open: Vec<Name> = names.into_iter().collect();
        let mut seen: FxHashSet<Name> = FxHashSet::default();
        let mut found = Vec::new();
        while let Some(name) = open.pop() {
            let name = match name {
                Name::Host(host) => Name::Routes(host),
                name => name,
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(output) = self.output(scope, &name) {
                open.extend(output.references.iter().cloned());
                found.push((name, output));
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// The workload that objects describe, as a client with the given role; none if there is no Pod
    /// or WorkloadEntry of that name.
    #[must_use]
    pub fn workload(&self, namespace: &str, name: &str, role: Role) -> Option<Client> {
        let key = WorkloadKey { namespace: namespace.into(), name: name.into() };
        let workload = self.store.described(&key)?;
        link::client_of(workload, self.store.locality(workload), role)
    }

    /// What the proxy of a workload that objects describe is there for: a Gateway's servers, when a
    /// Gateway selects it by labels or by a service; else the workload itself. A Gateway that
    /// selects by no label at all is open to every gateway and makes none.
    #[must_use]
    pub fn role(&self, namespace: &str, name: &str) -> Option<Role> {
        let client = self.workload(namespace, name, Role::Gateway)?;
        let by_labels = self.store.selectors().any(|selector| {
            selector.selects == Selects::Gateway
                && !selector.labels.is_empty()
                && selector.matches(&client)
        });
        let key = WorkloadKey { namespace: namespace.into(), name: name.into() };
        let query = Query::new(&self.store, &self.options);
        let by_service = || {
            let services = link::services_of_client(&query, &key, &client.addresses);
            services.iter().any(|service| !query.gateways_of(&service.host).is_empty())
        };
        Some(if by_labels || by_service() { Role::Gateway } else { Role::Sidecar })
    }

    /// Every workload that objects describe, as clients, sorted by name.
    #[must_use]
    pub fn workloads(&self) -> Vec<Client> {
        let mut clients: Vec<Client> = self
            .store
            .all_described()
            .filter_map(|workload| {
                link::client_of(workload, self.store.locality(workload), Role::Sidecar)
            })
            .collect();
        clients.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        clients
    }

    /// Local mode: where each workload and each service that it sees has its place, sorted by name. Workloads that all
    /// 254 places are too few for are left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<WorkloadAddresses> {
        let mut all = Vec::new();
        for client in self.workloads() {
            let key = WorkloadKey {
                namespace: client.namespace.as_str().into(),
                name: client.name.as_str().into(),
            };
            let scope = Arc::new(self.facts(&client, &key).0);
            let query = Query::new(&self.store, &self.options);
            all.extend(link::addresses(&query, &scope, &key));
        }
        all
    }

    /// How much work was done so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

/// Whether no scope influences the resource with this name.
pub(crate) fn is_shared(name: &Name) -> bool {
    matches!(name, Name::Endpoints { .. } | Name::Policy { .. } | Name::Inbound { .. })
}

fn finish(linked: Linked) -> Arc<Output> {
    let Linked { objects, body, references, diagnostics } = linked;
    let encoded = Arc::new(Encoded::new(&Resource { objects, body: Some(body) }));
    Arc::new(Output { encoded, references, diagnostics })
}

fn same_bytes(a: Option<&Arc<Output>>, b: Option<&Arc<Output>>) -> bool {
    a.map(|output| output.encoded.version) == b.map(|output| output.encoded.version)
}
