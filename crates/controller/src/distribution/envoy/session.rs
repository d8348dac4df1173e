//! One Envoy's stream: six kinds of resources in the order in which Envoy wants them.
//!
//! What is new goes down, what is old goes up. Clusters come first, then the endpoints that new or
//! changed clusters wait for, then listeners, routes, virtual hosts, each when the client has taken
//! all of the kinds before. Clusters and endpoints that went are taken away when nothing names them
//! any more: when the client has taken everything else. Endpoints that change while their cluster
//! stays wait for nobody.
//!
//! Virtual hosts are taken with their route configuration; nobody asks for them by name:
//! - Envoy asks for the kind once on a stream, naming nothing. Whenever a route configuration is
//!   answered that Envoy did not have, its virtual hosts are sent after it, again if need be.
//! - When they are put back into their route configuration, they are taken away right before it comes.
//! - Where there are none, `<route configuration>/~none` is said to be gone, which ends the
//!   listener's warming; an empty response does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_envoy::{Kind, Part, Resource};
use lateen_xds::server::Update;

use super::{
    bits::Bits,
    lane::{Item, Lane, PARTS, Tables},
    lowered::{Lowered, routes_of},
};
use crate::status::SyncState;

/// What a client takes is in these two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) scope: &'a Lowered,
    pub(crate) workload: &'a Lowered,
}

impl<'a> Parts<'a> {
    fn tables(self, kind: Kind) -> Tables<'a> {
        [self.scope.table(kind), self.workload.table(kind)]
    }

    fn find(self, kind: Kind, name: &str) -> Option<Item> {
        let tables = self.tables(kind);
        PARTS.into_iter().find_map(|part| {
            let number = tables[part as usize].find(name)?;
            Some(Item { part, number })
        })
    }

    /// Whether a route configuration's virtual hosts are resources of their own.
    fn uses_virtual_hosts(self, routes: &str) -> bool {
        self.routes(routes).is_some_and(|table| has_virtual_host_source(&table.body))
    }

    /// A route configuration.
    fn routes(self, name: &str) -> Option<&'a Resource> {
        let item = self.find(Kind::Routes, name)?;
        self.tables(Kind::Routes)[item.part as usize].get(item.number).map(Arc::as_ref)
    }

    /// The virtual hosts of a route configuration.
    fn hosts(self, routes: &str) -> Vec<Item> {
        let of = |part: Part| {
            let lowered = if part == Part::Scope { self.scope } else { self.workload };
            lowered.hosts(routes).map(move |number| Item { part, number })
        };
        PARTS.into_iter().flat_map(of).collect()
    }
}

/// Names that a client asks for, or has.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) subscribe: Vec<String>,
    pub(crate) unsubscribe: Vec<String>,
    /// Name and version.
    pub(crate) known: BTreeMap<String, String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    lanes: [Lane; 6],
    /// Whether the client may have keys.
    has_secrets: bool,
    /// Virtual hosts that the client has from an earlier stream, until it says which route
    /// configurations it takes.
    known_hosts: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn new(has_secrets: bool) -> Self {
        Self { lanes: Kind::ALL.map(Lane::new), has_secrets, known_hosts: BTreeMap::new() }
    }

    /// The client asks for resources of a kind. Every name that it asks for has a number by now.
    pub(crate) fn ask(&mut self, kind: Kind, request: Request, parts: Parts<'_>) {
        let Request { subscribe, unsubscribe, mut known } = request;
        let is_first = !self.lane(kind).is_open();
        self.lane_mut(kind).open();
        if kind == Kind::VirtualHost {
            if is_first {
                self.open_hosts(known, parts);
            }
            return;
        }
        if kind == Kind::Secret && !self.has_secrets {
            subscribe.into_iter().for_each(|name| self.lane_mut(kind).deny(name.into()));
            return;
        }
        for name in unsubscribe {
            if let Some(item) = parts.find(kind, &name) {
                self.give_back(kind, item, &name, parts);
            }
        }
        // A first message that names nothing is xDS' older way to say `*`, of these kinds.
        let is_legacy = is_first && matches!(kind, Kind::Cluster | Kind::Listener);
        let takes_all =
            is_legacy && subscribe.is_empty() || subscribe.iter().any(|name| name == "*");
        for name in subscribe {
            if let Some(item) = parts.find(kind, &name).filter(|_| name != "*") {
                let has = known.remove(&name);
                self.lane_mut(kind).retract(&name);
                self.lane_mut(kind).take(parts.tables(kind), item, has.as_deref());
                if kind == Kind::Routes {
                    self.take_hosts(&name, has.is_some(), parts);
                }
            }
        }
        if takes_all && !self.lane(kind).takes_all() {
            self.lane_mut(kind).take_all(parts.tables(kind), known);
        } else {
            known.into_keys().for_each(|name| self.lane_mut(kind).deny(name.into()));
        }
    }

    /// A resource came, changed or went. Whether that is anything to this client.
    pub(crate) fn mark(&mut self, kind: Kind, part: Part, number: u32, parts: Parts<'_>) -> bool {
        let item = Item { part, number };
        let table = parts.tables(kind)[part as usize];
        let is_present = table.get(number).is_some();
        if is_present {
            self.lane_mut(kind).retract(table.name(number));
        }
        if kind == Kind::VirtualHost && is_present && !self.lane(kind).is_taken(item) {
            let routes = routes_of(table.name(number));
            let routes = routes.and_then(|routes| parts.find(Kind::Routes, routes));
            if !routes.is_some_and(|routes| self.lane(Kind::Routes).is_taken(routes)) {
                return false;
            }
            self.lane_mut(kind).follow(item);
        }
        self.lane_mut(kind).mark(item, is_present)
    }

    /// The next responses, in the order in which they are to be sent.
    pub(crate) fn advance(&mut self, parts: Parts<'_>, limit: usize) -> Vec<Update> {
        let mut updates = Vec::new();
        for kind in [
            Kind::Cluster,
            Kind::Endpoints,
            Kind::Secret,
            Kind::Listener,
            Kind::Routes,
            Kind::VirtualHost,
        ] {
            if !self.may_follow(kind) {
                break;
            }
            if kind == Kind::Routes && self.joins_hosts(parts) {
                // What Envoy has of them it would keep, and find twice when they are parted again.
                if self.lane(Kind::VirtualHost).is_in_flight() {
                    break;
                }
                let tables = parts.tables(Kind::VirtualHost);
                updates.extend(self.lane_mut(Kind::VirtualHost).next_removals(tables));
            }
            let with_removals = !matches!(kind, Kind::Cluster | Kind::Endpoints);
            let tables = parts.tables(kind);
            let Some(update) = self.lane_mut(kind).next(tables, limit, with_removals) else {
                continue;
            };
            updates.push(update);
            if kind == Kind::Cluster {
                self.warm(parts);
            }
        }
        for kind in [Kind::Endpoints, Kind::Cluster] {
            updates.extend(self.take_away(kind, parts, limit));
        }
        updates
    }

    /// The client took the response of that kind.
    pub(crate) fn acknowledged(&mut self, kind: Kind) {
        self.lane_mut(kind).acknowledged();
    }

    /// The client refused the response of that kind.
    pub(crate) fn refused(&mut self, kind: Kind, reason: &str, parts: Parts<'_>) {
        self.lane_mut(kind).refused(parts.tables(kind), reason);
    }

    /// How far the client is with a kind; `None`: it never asked for it.
    pub(crate) fn state(&self, kind: Kind) -> Option<SyncState> {
        self.lane(kind).state()
    }

    /// Whether the client has all that it should have, but for what it refused.
    pub(crate) fn is_settled(&self) -> bool {
        self.lanes.iter().all(Lane::is_settled)
    }

    /// Whether an answer of the client is awaited.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.lanes.iter().any(Lane::is_in_flight)
    }

    /// How many resources the client has to be told of, or has not answered.
    pub(crate) fn pending(&self) -> usize {
        self.lanes.iter().map(Lane::pending).sum()
    }

    /// How many names the client asked for.
    pub(crate) fn names(&self) -> usize {
        self.lanes.iter().map(Lane::names).sum()
    }

    /// Bytes on their way.
    pub(crate) fn bytes_in_flight(&self, kind: Kind) -> usize {
        self.lane(kind).bytes_in_flight()
    }

    /// Numbers of one part that this client has to do with.
    pub(super) fn uses(&self, kind: Kind, part: Part, used: &mut Bits) {
        self.lane(kind).uses(part, used);
    }

    /// What the client would say if it came back: for a session with other parts. With nothing in
    /// flight.
    pub(crate) fn remains(&self, parts: Parts<'_>) -> Vec<(Kind, Request)> {
        let open = Kind::ALL.into_iter().filter(|kind| self.lane(*kind).is_open());
        open.map(|kind| {
            let lane = self.lane(kind);
            let name =
                |item: Item| parts.tables(kind)[item.part as usize].name(item.number).to_string();
            let mut subscribe: Vec<String> = match kind {
                Kind::VirtualHost => Vec::new(),
                _ => lane.taken().map(name).collect(),
            };
            if lane.takes_all() {
                subscribe.push("*".to_owned());
            }
            let known = lane.known(parts.tables(kind));
            (kind, Request { subscribe, unsubscribe: Vec::new(), known })
        })
        .collect()
    }

    /// Whether the client has taken what a response of this kind may name.
    fn may_follow(&self, kind: Kind) -> bool {
        let are_current = |kinds: &[Kind]| kinds.iter().all(|kind| self.lane(*kind).is_current());
        let is_warm = || are_current(&[Kind::Cluster]) && self.lane(Kind::Endpoints).owes_nothing();
        match kind {
            Kind::Cluster | Kind::Endpoints | Kind::Secret => true,
            Kind::Listener => is_warm(),
            Kind::Routes => is_warm() && are_current(&[Kind::Listener]),
            Kind::VirtualHost => is_warm() && are_current(&[Kind::Listener, Kind::Routes]),
        }
    }

    /// Takes away clusters or endpoints that went, once nothing that the client has names them. A
    /// client that comes back says kind by kind what it has; only when it has answered something is
    /// it sure to have said all.
    fn take_away(&mut self, kind: Kind, parts: Parts<'_>, limit: usize) -> Option<Update> {
        if !self.lane(kind).has_removals() {
            return None;
        }
        let tables = parts.tables(kind);
        if !self.lane(kind).has_answered() {
            self.lane_mut(kind).probe();
            return self.lane_mut(kind).next(tables, limit, false);
        }
        let users = [Kind::Listener, Kind::Routes, Kind::VirtualHost];
        let is_unnamed = self.lane(Kind::Cluster).is_current()
            && users.into_iter().all(|kind| self.lane(kind).is_settled());
        is_unnamed.then(|| self.lane_mut(kind).next_removals(tables)).flatten()
    }

    /// Whether virtual hosts that the client has are a part of their route configuration now.
    fn joins_hosts(&self, parts: Parts<'_>) -> bool {
        let lane = self.lane(Kind::VirtualHost);
        lane.is_open()
            && lane.removals(parts.tables(Kind::VirtualHost)).any(|name| {
                let routes = routes_of(name).and_then(|routes| parts.routes(routes));
                routes.is_some_and(|table| !has_virtual_host_source(&table.body))
            })
    }

    /// New or changed clusters wait for their endpoints, though these are as they were.
    fn warm(&mut self, parts: Parts<'_>) {
        if self.lane(Kind::Endpoints).names() == 0 {
            return;
        }
        let clusters = parts.tables(Kind::Cluster);
        let sent: Vec<Item> = self.lane(Kind::Cluster).in_flight().collect();
        for item in sent {
            let table = clusters[item.part as usize];
            let endpoints = endpoints_of(table.name(item.number));
            let endpoints = parts.find(Kind::Endpoints, endpoints);
            if table.get(item.number).is_some()
                && let Some(endpoints) = endpoints
                && self.lane(Kind::Endpoints).is_taken(endpoints)
            {
                self.lane_mut(Kind::Endpoints).owe(endpoints);
            }
        }
    }

    /// Envoy asks for virtual hosts.
    fn open_hosts(&mut self, known: BTreeMap<String, String>, parts: Parts<'_>) {
        self.known_hosts = known;
        let tables = parts.tables(Kind::Routes);
        let routes: Vec<Arc<str>> = self
            .lane(Kind::Routes)
            .taken()
            .map(|item| tables[item.part as usize].name(item.number).clone())
            .collect();
        for name in routes {
            self.compare_hosts(&name, parts);
        }
    }

    /// A route configuration is asked for, and its virtual hosts with it.
    fn take_hosts(&mut self, routes: &str, is_known: bool, parts: Parts<'_>) {
        if !is_known {
            drop(self.known_hosts_of(routes));
            let items = parts.hosts(routes);
            if items.is_empty() && parts.uses_virtual_hosts(routes) {
                self.lane_mut(Kind::VirtualHost).deny(format!("{routes}/~none").into());
            }
            for item in items {
                self.lane_mut(Kind::VirtualHost).follow(item);
                self.lane_mut(Kind::VirtualHost).owe(item);
            }
        } else if self.lane(Kind::VirtualHost).is_open() {
            self.compare_hosts(routes, parts);
        } else {
            for item in parts.hosts(routes) {
                self.lane_mut(Kind::VirtualHost).follow(item);
            }
        }
    }

    /// Sends of a route configuration's virtual hosts what differs from what the client has.
    fn compare_hosts(&mut self, routes: &str, parts: Parts<'_>) {
        let mut known = self.known_hosts_of(routes);
        let tables = parts.tables(Kind::VirtualHost);
        for item in parts.hosts(routes) {
            let has = known.remove(&**tables[item.part as usize].name(item.number));
            self.lane_mut(Kind::VirtualHost).take(tables, item, has.as_deref());
        }
        known.into_keys().for_each(|name| self.lane_mut(Kind::VirtualHost).deny(name.into()));
    }

    /// What the client has of a route configuration's virtual hosts, taken out.
    fn known_hosts_of(&mut self, routes: &str) -> BTreeMap<String, String> {
        let of_routes = |name: &String, _: &mut String| routes_of(name) == Some(routes);
        self.known_hosts.extract_if(.., of_routes).collect()
    }

    fn give_back(&mut self, kind: Kind, item: Item, name: &str, parts: Parts<'_>) {
        self.lane_mut(kind).drop(item);
        if kind == Kind::Routes {
            for item in parts.hosts(name) {
                self.lane_mut(Kind::VirtualHost).drop(item);
            }
        }
    }

    fn lane(&self, kind: Kind) -> &Lane {
        &self.lanes[kind.index()]
    }

    fn lane_mut(&mut self, kind: Kind) -> &mut Lane {
        &mut self.lanes[kind.index()]
    }
}

/// The endpoints of a cluster, by its name: clusters for several uses of a destination share them.
fn endpoints_of(cluster: &str) -> &str {
    cluster.split_once(';').map_or(cluster, |(destination, _)| destination)
}

/// Whether a RouteConfiguration has the field `vhds`.
fn has_virtual_host_source(routes: &[u8]) -> bool {
    use prost::encoding::{DecodeContext, decode_key, skip_field};

    const VHDS: u32 = 9;
    let mut rest = routes;
    while let Ok((field, wire_type)) = decode_key(&mut rest) {
        if field == VHDS {
            return true;
        }
        if skip_field(wire_type, field, &mut rest, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests;
