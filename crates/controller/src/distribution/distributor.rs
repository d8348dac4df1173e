//! The state, and what each command does to it.

mod envoys;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime},
};

use lateen_api::{Diagnostic, Kind, ObjectRef, Severity};
use lateen_compiler::{Audience, Change, Changes, Client, Compiler, Output, Role, ScopeId};
use lateen_mesh::{TYPE_URL, name::Name};
use lateen_xds::server::Event;
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{mpsc, watch};
use tonic::Status;

use super::{
    Candidate, Command, ConnectionId, CutsOf, Facts, Found, Intake, Lease, Wants,
    admission::{account, admit},
    connection::{Connection, Native, Plane},
    delivery::Delivery,
    envoy::{Lowered, Lowerings},
    inventory::Inventory,
    topics::{Topics, Watcher},
    view::{Catalog, View},
};
use crate::{
    metrics::{Metrics, PushTrigger, Sent},
    node::NodeId,
    status::ProxyStatus,
};

/// Commands that are handled before something is sent, at most.
const ROUND: usize = 1024;

/// Hosts (for an Envoy: resources) that one proxy may subscribe to: more than any mesh has, few enough
/// to bound its memory.
const MAX_HOSTS: usize = 100_000;

/// Scopes without a client that are kept for the next one that comes with their facts.
const SPARE_SCOPES: usize = 16;

/// Compiled resources that nobody wants and that are kept for who comes back: what a few hundred
/// proxies that connect anew have in common.
const SPARE_OUTPUTS: usize = 16_384;

/// See the module above.
pub(super) struct Distributor {
    compiler: Compiler,
    topics: Topics,
    connections: BTreeMap<ConnectionId, Connection>,
    /// What is lowered for Envoys, and when the oldest change was noticed that is not in it.
    lowerings: Lowerings,
    unlowered_since: Option<Instant>,
    /// Bytes on their way to Envoys.
    in_flight: usize,
    /// How many connections a workload has, and how many a scope.
    workloads: FxHashMap<(String, String), usize>,
    scopes: FxHashMap<ScopeId, usize>,
    /// Connections for which there may be something to do.
    awake: BTreeSet<ConnectionId>,
    next: u64,
    /// Counts batches.
    sequence: u64,
    inventory: Inventory,
    standing: Vec<Diagnostic>,
    lowered: FxHashMap<ObjectRef, Vec<Diagnostic>>,
    /// It is something else than when it was asked for last.
    lowered_changed: bool,
    chunk_bytes: usize,
    metrics: Arc<Metrics>,
    facts: watch::Sender<Facts>,
    /// For leases to say that they ended; weak, since the thread ends with the last handle.
    leases: mpsc::WeakSender<Command>,
    runtime: tokio::runtime::Handle,
}

impl Distributor {
    pub(super) fn new(
        compiler: Compiler,
        chunk_bytes: usize,
        metrics: Arc<Metrics>,
        facts: watch::Sender<Facts>,
        leases: mpsc::WeakSender<Command>,
    ) -> Self {
        let inventory = Inventory::new(&compiler.options().root_namespace);
        Self {
            compiler,
            topics: Topics::default(),
            connections: BTreeMap::new(),
            lowerings: Lowerings::default(),
            unlowered_since: None,
            in_flight: 0,
            workloads: FxHashMap::default(),
            scopes: FxHashMap::default(),
            awake: BTreeSet::new(),
            next: 0,
            sequence: 0,
            inventory,
            standing: Vec::new(),
            lowered: FxHashMap::default(),
            lowered_changed: true,
            chunk_bytes,
            metrics,
            facts,
            leases,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Runs until it is stopped, or nobody is left to command it.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            let (mut next, mut room) = (Some(command), ROUND);
            while let Some(command) = next.take() {
                if matches!(command, Command::Stop) {
                    return self.stop();
                }
                self.handle(command);
                room -= 1;
                next = if room > 0 { commands.try_recv().ok() } else { None };
            }
            self.flush();
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Objects(intake) => self.take_in(intake),
            Command::Open(candidate, answer) => {
                let Some(commands) = self.leases.upgrade() else { return };
                let opened = self.open(*candidate);
                let opened = opened.map(|connection| Lease { connection, commands });
                let connection = opened.as_ref().ok().map(Lease::connection);
                // A caller that is gone by now; the lease was dropped here, where no task can wait
                // for room in the queue.
                if answer.send(opened).is_err()
                    && let Some(connection) = connection
                {
                    self.close(connection);
                }
            }
            Command::Heard(id, event) => self.hear(id, event),
            Command::Closed(id) => self.close(id),
            Command::Status(answer) => drop(answer.send(self.status())),
            Command::Diagnostics(answer) => drop(answer.send(self.diagnostics())),
            Command::Find { most, selections, answer } => {
                drop(answer.send(self.find(most, selections)));
            }
            Command::StopFinding => {
                self.compiler.stop_finding();
                self.lowered_changed = true;
            }
            Command::Stop => {}
        }
    }

    fn take_in(&mut self, intake: Intake) {
        let Intake { changes, diagnostics, at } = intake;
        self.report(&diagnostics);
        self.standing = diagnostics;
        let mut workloads = Vec::new();
        for change in &changes {
            self.inventory.apply(change);
            let reference = match change {
                Change::Upsert(object) => object.reference(),
                Change::Remove(reference) => reference.clone(),
            };
            self.metrics.pushes_triggered(PushTrigger::of(reference.kind));
            self.lowered_changed |= self.lowered.remove(&reference).is_some();
            if matches!(reference.kind, Kind::Pod | Kind::WorkloadEntry) {
                workloads.push((reference.namespace, reference.name));
            }
        }
        let count = changes.len();
        if count > 0 {
            self.sequence += 1;
        }
        let changes = self.compiler.apply(changes);
        self.take_accounts(workloads);
        if count > 0 {
            let (stale, cut) = (changes.stale.len(), self.sequence);
            tracing::info!(objects = count, stale, cut, "objects changed");
        }
        self.mark(changes, at);
        self.publish();
    }

    /// Takes in the service accounts of workloads that may have changed: those that admission will
    /// demand.
    fn take_accounts(&mut self, workloads: Vec<(String, String)>) {
        for (namespace, name) in workloads {
            let client = self.compiler.workload(&namespace, &name, Role::Sidecar);
            self.inventory.set_account((namespace, name), client.as_ref().map(account));
        }
    }

    /// Logs what is refused now and was not before.
    fn report(&self, diagnostics: &[Diagnostic]) {
        let errors = |all: &[Diagnostic]| -> BTreeSet<String> {
            let errors = all.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
            errors.map(ToString::to_string).collect()
        };
        for error in errors(diagnostics).difference(&errors(&self.standing)) {
            tracing::warn!("{error}");
        }
    }

    /// Tells the connections what may have changed for them.
    fn mark(&mut self, changes: Changes, at: Instant) {
        for diagnostic in changes.diagnostics {
            if let Some(object) = diagnostic.object.clone() {
                self.lowered.entry(object).or_default().push(diagnostic);
                self.lowered_changed = true;
            }
        }
        for (audience, name) in changes.stale {
            let Some(topic) = self.topics.find(audience, &name) else { continue };
            for watcher in self.topics.watchers(topic) {
                let id = ConnectionId(watcher.0);
                match self.connections.get_mut(&id) {
                    Some(Connection { plane: Plane::Native(native), stale_since, .. }) => {
                        native.view.mark(topic);
                        stale_since.get_or_insert(at);
                        self.awake.insert(id);
                    }
                    _ => {
                        self.lowerings.mark(*watcher, topic);
                        self.unlowered_since.get_or_insert(at);
                    }
                }
            }
        }
        if changes.scopes {
            for (id, connection) in &mut self.connections {
                connection.is_rescoped = true;
                connection.stale_since.get_or_insert(at);
                self.awake.insert(*id);
            }
        }
        if !changes.roots.is_empty() {
            let roots: FxHashSet<ScopeId> = changes.roots.into_iter().collect();
            for (id, connection) in &mut self.connections {
                if let Plane::Native(native) = &mut connection.plane
                    && roots.contains(&connection.scope)
                {
                    native.view.mark_roots();
                    connection.stale_since.get_or_insert(at);
                    self.awake.insert(*id);
                }
            }
            if self.lowerings.mark_roots(|scope| roots.contains(&scope)) {
                self.unlowered_since.get_or_insert(at);
            }
        }
    }

    fn publish(&mut self) {
        self.metrics.set_objects(
            self.inventory.count(Kind::Service),
            self.inventory.count(Kind::VirtualService),
        );
        let accounts = self.inventory.accounts_if_changed();
        let trust_domains = self.inventory.trust_domains();
        self.facts.send_if_modified(|facts| {
            let is_same =
                facts.is_loaded && accounts.is_none() && facts.trust_domains == *trust_domains;
            if !is_same {
                let accounts = accounts.unwrap_or_else(|| facts.accounts.clone());
                let trust_domains = trust_domains.clone();
                *facts = Facts { accounts, trust_domains, is_loaded: true };
            }
            !is_same
        });
    }

    fn open(&mut self, candidate: Candidate) -> Result<ConnectionId, Status> {
        let Candidate { caller, node, version, wants, outlet } = candidate;
        let (whole_scope, names) = match &wants {
            Wants::Cuts { of, subscribe, .. } => (*of == CutsOf::WholeScope, subscribe.len()),
            Wants::Kinds { request, .. } => (true, request.subscribe.len()),
        };
        let client = admit(&self.compiler, &caller, &node, whole_scope)?;
        if names > MAX_HOSTS {
            return Err(too_many_hosts());
        }
        let id = ConnectionId(self.number());
        *self.workloads.entry((client.namespace.clone(), client.name.clone())).or_default() += 1;
        let scope = self.compiler.scope(&client);
        *self.scopes.entry(scope).or_default() += 1;
        tracing::info!(proxy = %node, identity = %caller, connection = id.0, "a proxy connected");
        let plane = match wants {
            Wants::Cuts { of, subscribe, known } => {
                let mut catalog = Scoped {
                    compiler: &mut self.compiler,
                    scope,
                    client: &client,
                    of,
                    has_secrets: caller.is_proven(),
                };
                let view = view(id, known, subscribe, &mut self.topics, &mut catalog);
                Plane::Native(Box::new(Native { of, view, delivery: Delivery::new(outlet) }))
            }
            Wants::Kinds { kind, request, beside } => {
                let has_secrets = caller.is_proven();
                self.open_envoy(id, scope, &client, has_secrets, beside, outlet, (kind, request))
            }
        };
        let connection = Connection {
            caller,
            node,
            client,
            scope,
            is_rescoped: false,
            plane,
            stale_since: None,
            version,
            since: SystemTime::now(),
            acknowledged: 0,
            refusal: None,
        };
        self.connections.insert(id, connection);
        self.awake.insert(id);
        self.count_proxies();
        Ok(id)
    }

    /// The next number for a connection, or for what is lowered.
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn hear(&mut self, id: ConnectionId, event: Event) {
        match self.connections.get(&id).map(|connection| &connection.plane) {
            Some(Plane::Native(_)) => self.hear_native(id, event),
            Some(Plane::Envoy(_)) => self.hear_envoy(id, event),
            None => return,
        }
        if self.connections.contains_key(&id) {
            self.awake.insert(id);
        }
    }

    fn hear_native(&mut self, id: ConnectionId, event: Event) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Plane::Native(native) = &mut connection.plane else { return };
        let Native { view, delivery, .. } = &mut **native;
        match event {
            Event::Subscriptions { type_url, subscribe, unsubscribe, .. } => {
                if &*type_url != TYPE_URL {
                    tracing::warn!(proxy = %connection.node, %type_url, "a type that is not served");
                    return;
                }
                if view.hosts() + subscribe.len() > MAX_HOSTS {
                    return self.expel(id, too_many_hosts());
                }
                view.subscribe(subscribe, &unsubscribe);
            }
            Event::Acknowledged { .. } => {
                let Some(delivered) = delivery.acknowledged() else { return };
                connection.acknowledged = delivered.sequence;
                view.acknowledge(&mut self.topics);
                if let Some(since) = delivered.since {
                    self.metrics.converged(since.elapsed());
                }
            }
            Event::Rejected { tag, reason, .. } => {
                delivery.refused();
                view.refuse();
                self.metrics.rejected(Sent::Native);
                tracing::warn!(
                    proxy = %connection.node, cut = tag, reason,
                    "a proxy refused its configuration and stays with what it has"
                );
                connection.refusal = Some((reason, SystemTime::now()));
            }
        }
    }

    fn close(&mut self, id: ConnectionId) {
        if let Some(connection) = self.remove(id) {
            tracing::info!(proxy = %connection.node, connection = id.0, "a proxy disconnected");
        }
    }

    fn expel(&mut self, id: ConnectionId, status: Status) {
        if let Some(connection) = self.remove(id) {
            tracing::warn!(proxy = %connection.node, reason = status.message(), "a stream is ended");
            connection.plane.close(status, &self.runtime);
        }
    }

    fn remove(&mut self, id: ConnectionId) -> Option<Removed> {
        let connection = self.connections.remove(&id)?;
        self.awake.remove(&id);
        let Connection { node, client, scope, mut plane, .. } = connection;
        match &mut plane {
            Plane::Native(native) => {
                let view = std::mem::replace(&mut native.view, View::new(Watcher(id.0)));
                view.close(&mut self.topics);
            }
            Plane::Envoy(envoy) => self.leave_lowerings(id, envoy),
        }
        self.leave_scope(scope);
        let workload = (client.namespace, client.name);
        if let Some(count) = self.workloads.get_mut(&workload) {
            *count -= 1;
            if *count == 0 {
                self.compiler.release(&workload.0, &workload.1);
                self.workloads.remove(&workload);
            }
        }
        self.count_proxies();
        Some(Removed { node, plane })
    }

    fn count_proxies(&self) {
        let proxies = self.connections.values().filter(|connection| connection.is_proxy());
        self.metrics.set_connections(proxies.count());
    }

    /// One connection less in a scope. Scopes without any are forgotten when there are many.
    fn leave_scope(&mut self, scope: ScopeId) {
        if let Some(count) = self.scopes.get_mut(&scope) {
            *count -= 1;
        }
        let spare = self.scopes.values().filter(|count| **count == 0).count();
        if spare > SPARE_SCOPES {
            self.scopes.retain(|_, count| *count > 0);
            let scopes = &self.scopes;
            self.compiler.retain_scopes(|scope| scopes.contains_key(&scope));
        }
    }

    /// Sends to every connection what it should have and does not, unless it has not answered yet.
    fn flush(&mut self) {
        let started = Instant::now();
        let mut is_sent = false;
        loop {
            // Clients that came or went may have changed something for others.
            let changes = self.compiler.settle_clients();
            self.mark(changes, started);
            self.lower();
            let awake = std::mem::take(&mut self.awake);
            if awake.is_empty() {
                break;
            }
            for id in awake {
                is_sent |= self.settle(id);
            }
        }
        if is_sent {
            self.metrics.round(started.elapsed());
        }
        while let Some((audience, name)) = self.topics.retire(SPARE_OUTPUTS) {
            self.compiler.forget(audience, &name);
        }
    }

    /// Brings one connection to where it should be. Whether a cut was sent.
    fn settle(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get(&id) else { return false };
        let is_native = match &connection.plane {
            Plane::Native(native) if native.view.is_in_flight() => return false,
            Plane::Native(_) => true,
            // Nothing more is sent of a scope that may not be its own.
            Plane::Envoy(envoy) if connection.is_rescoped && envoy.session.is_in_flight() => {
                return false;
            }
            Plane::Envoy(_) => false,
        };
        if connection.is_rescoped
            && let Err(status) = self.rescope(id)
        {
            self.expel(id, status);
            return false;
        }
        if is_native { self.push(id) } else { self.push_envoy(id) }
    }

    fn push(&mut self, id: ConnectionId) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let Plane::Native(native) = &mut connection.plane else { return false };
        let Native { of, view, delivery } = &mut **native;
        if !view.is_stale() {
            return false;
        }
        let mut catalog = Scoped {
            compiler: &mut self.compiler,
            scope: connection.scope,
            client: &connection.client,
            of: *of,
            has_secrets: connection.caller.is_proven(),
        };
        let difference = view.advance(&mut self.topics, &mut catalog);
        let since = connection.stale_since.take();
        let Some(difference) = difference else { return false };
        tracing::debug!(
            proxy = %connection.node,
            cut = self.sequence,
            resources = difference.resources.len(),
            removed = difference.removed.len(),
            "a cut is sent"
        );
        let size = delivery.start(difference, self.sequence, since, self.chunk_bytes);
        self.metrics.cut_size(size);
        self.metrics.pushed(Sent::Native);
        true
    }

    /// Looks the client up again. What it is sent from another scope begins with what it has.
    fn rescope(&mut self, id: ConnectionId) -> Result<(), Status> {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        connection.is_rescoped = false;
        let whole_scope = connection.client.whole_scope;
        let client = admit(&self.compiler, &connection.caller, &connection.node, whole_scope)?;
        let former = connection.scope;
        let scope = self.compiler.scope(&client);
        connection.client = client;
        match &mut connection.plane {
            Plane::Native(native) => {
                // Roots depend on facts of the client that are not the scope's.
                native.view.mark_roots();
                if scope == former {
                    return Ok(());
                }
                let view_of = std::mem::replace(&mut native.view, View::new(Watcher(id.0)));
                let remains = view_of.close(&mut self.topics);
                let mut catalog = Scoped {
                    compiler: &mut self.compiler,
                    scope,
                    client: &connection.client,
                    of: native.of,
                    has_secrets: connection.caller.is_proven(),
                };
                let (known, subscribe) = (remains.known, remains.subscriptions);
                native.view = view(id, known, subscribe, &mut self.topics, &mut catalog);
                connection.scope = scope;
            }
            Plane::Envoy(_) if scope == former => return Ok(()),
            Plane::Envoy(_) => {
                connection.scope = scope;
                self.move_envoy(id);
            }
        }
        *self.scopes.entry(scope).or_default() += 1;
        self.leave_scope(former);
        Ok(())
    }

    fn status(&self) -> Vec<ProxyStatus> {
        let proxies = self.connections.values().filter(|connection| connection.is_proxy());
        let mut all: Vec<ProxyStatus> = proxies.map(Connection::status).collect();
        all.sort_by(|a, b| a.proxy.cmp(&b.proxy));
        all
    }

    /// What reading said, what lowering said of each object, and what linking said of the outputs
    /// that somebody wants.
    fn diagnostics(&self) -> Vec<Diagnostic> {
        let mut all = self.standing.clone();
        all.extend(self.lowered.values().flatten().cloned());
        let mut seen: FxHashSet<*const Output> = FxHashSet::default();
        let views = self.connections.values().filter_map(|connection| match &connection.plane {
            Plane::Native(native) => Some(&native.view),
            Plane::Envoy(_) => None,
        });
        let lowered = self.lowerings.all().flat_map(Lowered::outputs);
        for output in views.flat_map(View::outputs).chain(lowered) {
            if seen.insert(Arc::as_ptr(output)) {
                all.extend(output.diagnostics.iter().cloned());
            }
        }
        all.extend(self.problems());
        all.sort_by(|a, b| {
            let key = |d: &Diagnostic| (d.file.clone(), d.line, d.column, d.code, d.field.clone());
            key(a).cmp(&key(b)).then_with(|| a.message.cmp(&b.message))
        });
        all.dedup();
        all
    }

    fn find(&mut self, most: usize, selections: bool) -> Found {
        let lateen_compiler::Found { changed, is_more } = self.compiler.find(most, selections);
        let all = || self.lowered.iter().map(|(object, said)| (object.clone(), said.clone()));
        let lowered = std::mem::take(&mut self.lowered_changed).then(|| all().collect());
        Found { changed, lowered, is_more }
    }

    fn stop(mut self) {
        for connection in std::mem::take(&mut self.connections).into_values() {
            let status = Status::unavailable("the control plane is stopping");
            connection.plane.close(status, &self.runtime);
        }
    }
}

/// What is left of a connection.
struct Removed {
    node: NodeId,
    plane: Plane,
}

/// A view of what a client has and subscribes to.
fn view(
    id: ConnectionId,
    known: Vec<(String, String)>,
    subscribe: Vec<String>,
    topics: &mut Topics,
    catalog: &mut Scoped<'_>,
) -> View {
    let mut view = View::new(Watcher(id.0));
    view.knows(known, topics, catalog);
    view.subscribe(subscribe, &[]);
    view
}

fn too_many_hosts() -> Status {
    Status::resource_exhausted(format!("a proxy may subscribe to {MAX_HOSTS} hosts, not to more"))
}

/// The compiler, as one client sees it.
struct Scoped<'a> {
    compiler: &'a mut Compiler,
    scope: ScopeId,
    client: &'a Client,
    of: CutsOf,
    has_secrets: bool,
}

impl Catalog for Scoped<'_> {
    fn roots(&mut self) -> Vec<Name> {
        let mut roots = self.compiler.roots(self.scope, self.client);
        if self.of == CutsOf::Workload {
            let is_own = |name: &Name| {
                matches!(name, Name::Settings | Name::Inbound { .. } | Name::Gateway(_))
            };
            roots.retain(is_own);
        }
        roots
    }

    fn output(&mut self, name: &Name) -> Option<Arc<Output>> {
        if matches!(name, Name::Secret { .. }) && !self.has_secrets {
            return None;
        }
        let output = self.compiler.output(self.scope, name)?;
        if self.of == CutsOf::Workload && !output.references.is_empty() {
            return Some(Arc::new(Output { references: Vec::new(), ..(*output).clone() }));
        }
        Some(output)
    }

    fn audience(&self, name: &Name) -> Audience {
        Compiler::audience(self.scope, name)
    }
}
