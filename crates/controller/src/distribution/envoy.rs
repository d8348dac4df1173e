//! Envoys: the model lowered to their language, once for all who see the same, and what each of
//! them has of it.
//!
//! A client takes from two [`Lowered`] parts: its scope's, shared with everybody in the scope, and
//! its workload's own, which is small. Both number their resources, so that what a client has, takes
//! and waits for is a set of numbers ([`bits`]); resources themselves exist once and are sent by
//! reference.
//!
//! - [`lowered`]: one part, kept up to date with the compiler; [`table`]: its numbered resources.
//! - [`session`]: one client's stream, and the order of what it is sent; [`lane`]: one kind on it.
//! - [`search`]: which resource of a refused response is the bad one.

mod bits;
mod lane;
mod lowered;
mod search;
mod session;
mod table;

use std::net::IpAddr;

use lateen_compiler::{Client, Compiler, Role, ScopeId};
use lateen_envoy::{Capture, Kind, Part, Placement, Problem};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    ConnectionId,
    topics::{TopicId, Topics, Watcher},
};
use bits::Bits;
pub(super) use lowered::Lowered;
use lowered::{Changed, Shared};
pub(crate) use session::Request;
pub(super) use session::{Parts, Session};

/// What a part is lowered for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    scope: ScopeId,
    placement: Placement,
    /// Namespace and name, for a workload's own part.
    workload: Option<(String, String)>,
}

/// The two parts that a client takes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartIds {
    pub(super) scope: Watcher,
    pub(super) workload: Watcher,
}

/// All parts that some client takes from.
#[derive(Debug, Default)]
pub(super) struct Lowerings {
    ids: FxHashMap<Key, Watcher>,
    parts: FxHashMap<Watcher, Lowered>,
    /// Those in whose closure something may have changed.
    stale: FxHashSet<Watcher>,
    shared: Shared,
}

/// What a client says of itself beside its workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Our agent stands beside Envoy.
    pub(crate) agent: bool,
    /// The agent makes metrics from Envoy's access log.
    pub(crate) telemetry: bool,
}

impl Lowerings {
    /// The parts of a client, made if need be with the numbers that `number` gives. The client takes
    /// from them from now on.
    pub(super) fn join(
        &mut self,
        connection: ConnectionId,
        scope: ScopeId,
        client: &Client,
        beside: Beside,
        is_local: bool,
        mut number: impl FnMut() -> Watcher,
    ) -> PartIds {
        let mut join = |part: Part| {
            let key = key(scope, client, beside, is_local, part);
            let id = *self.ids.entry(key).or_insert_with_key(|key| {
                let id = number();
                let client = Client { whole_scope: true, ..client.clone() };
                self.parts.insert(id, Lowered::new(id, scope, client, key.placement));
                self.stale.insert(id);
                id
            });
            if let Some(lowered) = self.parts.get_mut(&id) {
                lowered.users_mut().insert(connection);
            }
            id
        };
        PartIds { scope: join(Part::Scope), workload: join(Part::Workload) }
    }

    /// A client takes from its parts no more. Those that nobody takes from are forgotten.
    pub(super) fn leave(&mut self, connection: ConnectionId, ids: PartIds, topics: &mut Topics) {
        for id in [ids.scope, ids.workload] {
            let Some(lowered) = self.parts.get_mut(&id) else { continue };
            lowered.users_mut().remove(&connection);
            if lowered.users().is_empty()
                && let Some(lowered) = self.parts.remove(&id)
            {
                lowered.close(topics);
                self.ids.retain(|_, other| *other != id);
                self.stale.remove(&id);
            }
        }
    }

    /// Both parts of a client.
    pub(super) fn parts(&self, ids: PartIds) -> Option<Parts<'_>> {
        Some(Parts { scope: self.parts.get(&ids.scope)?, workload: self.parts.get(&ids.workload)? })
    }

    /// An output in a part's closure may have changed.
    pub(super) fn mark(&mut self, id: Watcher, topic: TopicId) {
        if let Some(lowered) = self.parts.get_mut(&id) {
            lowered.mark(topic);
            self.stale.insert(id);
        }
    }

    /// What the compiler gives as roots for these scopes may have changed. Whether any part is one of
    /// theirs.
    pub(super) fn mark_roots(&mut self, is_marked: impl Fn(ScopeId) -> bool) -> bool {
        let mut any = false;
        for (id, lowered) in &mut self.parts {
            if is_marked(lowered.scope()) {
                lowered.mark_roots();
                self.stale.insert(*id);
                any = true;
            }
        }
        any
    }

    /// Those that have to be brought up to date.
    pub(super) fn take_stale(&mut self) -> Vec<Watcher> {
        let mut stale: Vec<Watcher> = self.stale.drain().collect();
        stale.sort_unstable();
        stale
    }

    /// Brings one up to date; what that changed, and for whom.
    pub(super) fn advance(
        &mut self,
        id: Watcher,
        topics: &mut Topics,
        compiler: &mut Compiler,
    ) -> Vec<Changed> {
        self.stale.remove(&id);
        let Some(lowered) = self.parts.get_mut(&id) else { return Vec::new() };
        lowered.advance(topics, compiler, &mut self.shared)
    }

    pub(super) fn get(&self, id: Watcher) -> Option<&Lowered> {
        self.parts.get(&id)
    }

    /// Gives every name that a client asks for a number.
    pub(super) fn reserve(&mut self, ids: PartIds, kind: Kind, names: &[String]) {
        if kind == Kind::VirtualHost {
            return;
        }
        for name in names.iter().filter(|name| *name != "*") {
            let own = self.parts.get(&ids.workload).map(|lowered| lowered.table(kind).find(name));
            if let (Some(None), Some(shared)) = (own, self.parts.get_mut(&ids.scope)) {
                shared.reserve(kind, name);
            }
        }
    }

    /// Frees the numbers of a part that none of its clients uses, when there are many.
    pub(super) fn tidy<'a>(
        &mut self,
        id: Watcher,
        session: impl Fn(ConnectionId) -> Option<&'a Session>,
    ) {
        let Some(lowered) = self.parts.get_mut(&id) else { return };
        for kind in Kind::ALL {
            if !lowered.table(kind).is_sparse() {
                continue;
            }
            let mut used = Bits::default();
            for session in lowered.users().iter().filter_map(|id| session(*id)) {
                session.uses(kind, lowered.part(), &mut used);
            }
            lowered.table_mut(kind).retire(&used);
        }
    }

    /// Everything that is lowered.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lowered> {
        self.parts.values()
    }

    /// What Envoy cannot be told, of all parts.
    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.parts.values().flat_map(Lowered::problems)
    }
}

fn key(scope: ScopeId, client: &Client, beside: Beside, is_local: bool, part: Part) -> Key {
    let role = match client.role {
        Role::Sidecar => lateen_envoy::Role::Sidecar,
        Role::Gateway => lateen_envoy::Role::Gateway,
    };
    let capture = if is_local { Capture::Local } else { Capture::Redirect };
    let ipv6 = client.addresses.iter().any(IpAddr::is_ipv6);
    let Beside { agent, telemetry } = beside;
    let workload =
        (part == Part::Workload).then(|| (client.namespace.clone(), client.name.clone()));
    Key { scope, placement: Placement { role, part, capture, ipv6, agent, telemetry }, workload }
}
