//! What one client wants, what it has, and the difference.
//!
//! A client wants its *roots* (what the compiler says it takes without asking, and the routes of the
//! hosts that it subscribed to) and whatever these reference, directly or not. Uses are counted: a
//! resource that nothing references any more is removed from the client. References go strictly
//! down (routes, destinations, endpoints), so that counting finds all that is unreachable.
//!
//! What is lowered for Envoys is such a client too, one that takes every cut at once
//! ([`View::take`]).
//!
//! One cut is in flight at a time. What changes meanwhile is a set of names, however often it
//! changes; the next cut is made from the state that is then current.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_compiler::{Audience, Output};
use lateen_mesh::{encoded::Version, name::Name};
use lateen_xds::Resource;
use rustc_hash::{FxHashMap, FxHashSet};

use super::topics::{TopicId, Topics, Watcher};

/// The compiler, as the client's scope sees it.
pub(crate) trait Catalog {
    /// What the client takes without asking.
    fn roots(&mut self) -> Vec<Name>;
    /// A resource; `None` if there is no such thing.
    fn output(&mut self, name: &Name) -> Option<Arc<Output>>;
    /// Who shares the resource of this name.
    fn audience(&self, name: &Name) -> Audience;
}

/// The difference between what a client wants and what it has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What came or changed, sorted by name.
    pub(crate) resources: Vec<Resource>,
    /// What went, and the subscriptions that name nothing (`host/…`); sorted.
    pub(crate) removed: Vec<Arc<str>>,
}

/// One client's state. See the module.
#[derive(Debug)]
pub(crate) struct View {
    watcher: Watcher,
    /// Whether it subscribed to `*`.
    eager: bool,
    hosts: BTreeMap<String, Host>,
    roots: FxHashSet<TopicId>,
    roots_stale: bool,
    items: FxHashMap<TopicId, Item>,
    /// May have changed since the last cut was made.
    dirty: FxHashSet<TopicId>,
    /// What the client refused, and is not sent again before something of it changes.
    held_back: FxHashMap<TopicId, Option<Version>>,
    /// Names that the client has and that mean nothing here.
    strangers: Vec<Arc<str>>,
    in_flight: Option<Vec<(TopicId, Option<Version>)>>,
}

/// A host that the client subscribed to.
#[derive(Debug, Default)]
struct Host {
    /// The client was told that there is no such host.
    told_missing: bool,
}

/// A resource that the client wants, or has, or both.
#[derive(Debug, Default)]
struct Item {
    /// How many roots and wanted resources name it.
    uses: u32,
    /// What the client has.
    has: Option<Version>,
    /// What it should have, as of the last cut.
    output: Option<Arc<Output>>,
}

impl Item {
    fn target(&self) -> Option<Version> {
        let output = self.output.as_ref().filter(|_| self.uses > 0)?;
        Some(output.encoded.version)
    }
}

/// Work inside one [`View::advance`].
#[derive(Default)]
struct Round {
    /// Whose target may have changed.
    touched: FxHashSet<TopicId>,
    /// To be evaluated.
    open: Vec<TopicId>,
    /// To be used once less, when everything is evaluated: what moves from one user to another is
    /// never dropped in between.
    dropped: Vec<TopicId>,
}

impl View {
    /// The view of a client that has nothing and wants nothing yet.
    pub(crate) fn new(watcher: Watcher) -> Self {
        Self {
            watcher,
            eager: false,
            hosts: BTreeMap::new(),
            roots: FxHashSet::default(),
            roots_stale: true,
            items: FxHashMap::default(),
            dirty: FxHashSet::default(),
            held_back: FxHashMap::default(),
            strangers: Vec::new(),
            in_flight: None,
        }
    }

    /// The client says what it has.
    pub(crate) fn knows(
        &mut self,
        known: impl IntoIterator<Item = (String, String)>,
        topics: &mut Topics,
        catalog: &impl Catalog,
    ) {
        for (text, version) in known {
            let Some(name) = Name::parse(&text) else {
                self.strangers.push(text.into());
                continue;
            };
            // A version that is none of ours equals no version of ours.
            let version =
                Version::parse(&version).unwrap_or_else(|| Version::of(version.as_bytes()));
            let id = self.item(&name, topics, catalog);
            self.items.entry(id).or_default().has = Some(version);
            self.dirty.insert(id);
        }
    }

    /// The client's subscriptions change: `*`, and hosts by `host/<host>`. Other names are answered
    /// like unknown hosts.
    pub(crate) fn subscribe(&mut self, subscribe: Vec<String>, unsubscribe: &[String]) {
        for name in subscribe {
            if name == "*" {
                self.eager = true;
            } else if let Some(Name::Host(host)) = Name::parse(&name) {
                self.hosts.entry(host).or_default();
            } else {
                self.strangers.push(name.into());
            }
        }
        for name in unsubscribe {
            if name == "*" {
                self.eager = false;
            } else if let Some(Name::Host(host)) = Name::parse(name) {
                self.hosts.remove(&host);
            }
        }
        self.roots_stale = true;
    }

    /// How many hosts are subscribed to.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// The topic's output may have changed.
    pub(crate) fn mark(&mut self, topic: TopicId) {
        self.dirty.insert(topic);
    }

    /// What the compiler gives as roots may have changed.
    pub(crate) fn mark_roots(&mut self) {
        self.roots_stale = true;
    }

    /// Whether the client has not answered the last cut.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Whether there may be something to send.
    pub(crate) fn is_stale(&self) -> bool {
        self.roots_stale || !self.dirty.is_empty() || !self.strangers.is_empty()
    }

    /// How many names may have changed since the last cut.
    pub(crate) fn pending(&self) -> usize {
        self.dirty.len() + self.in_flight.as_ref().map_or(0, Vec::len)
    }

    /// How many resources the client refused and therefore does not have.
    pub(crate) fn held_back(&self) -> usize {
        self.held_back.len()
    }

    /// The outputs that the client wants.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &Arc<Output>> {
        self.items.values().filter_map(|item| item.output.as_ref())
    }

    /// Makes the next cut, which then is in flight; `None` when the client has all that it wants.
    /// Not to be called while a cut is in flight.
    pub(crate) fn advance(
        &mut self,
        topics: &mut Topics,
        catalog: &mut impl Catalog,
    ) -> Option<Difference> {
        let changed = self.step(topics, catalog);
        let missing = self.missing_hosts(topics, catalog);
        let mut difference = Difference::default();
        difference.removed.append(&mut self.strangers);
        difference.removed.extend(missing);
        for (id, target) in &changed {
            let name = topics.text(*id).clone();
            let output = self.items.get(id).and_then(|item| item.output.as_ref());
            match (target, output) {
                (Some(version), Some(output)) => difference.resources.push(Resource {
                    name,
                    version: version.to_string().into(),
                    body: output.encoded.bytes.clone(),
                }),
                _ => difference.removed.push(name),
            }
        }
        if difference == Difference::default() {
            return None;
        }
        difference.resources.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        difference.removed.sort_unstable();
        difference.removed.dedup();
        self.in_flight = Some(changed);
        Some(difference)
    }

    /// Like [`View::advance`], for a client that takes the cut at once: what came or changed, and
    /// the names of what went.
    pub(crate) fn take(
        &mut self,
        topics: &mut Topics,
        catalog: &mut impl Catalog,
    ) -> Vec<(Name, Option<Arc<Output>>)> {
        let changed = self.step(topics, catalog);
        let output = |(id, target): &(TopicId, Option<Version>)| {
            let output = self.items.get(id).and_then(|item| item.output.clone());
            (Name::clone(topics.name(*id)), target.and(output))
        };
        let outputs = changed.iter().map(output).collect();
        self.in_flight = Some(changed);
        self.acknowledge(topics);
        outputs
    }

    /// Finds out what the client should have and does not.
    fn step(
        &mut self,
        topics: &mut Topics,
        catalog: &mut impl Catalog,
    ) -> Vec<(TopicId, Option<Version>)> {
        debug_assert!(self.in_flight.is_none(), "one cut is in flight at a time");
        let mut round = Round { touched: std::mem::take(&mut self.dirty), ..Round::default() };
        round.open.extend(round.touched.iter().copied());
        if std::mem::take(&mut self.roots_stale) {
            self.replace_roots(topics, catalog, &mut round);
        }
        self.evaluate(topics, catalog, &mut round);
        self.drop_unused(topics, catalog, &mut round);
        let changed = self.changed(topics, catalog, &round.touched);
        self.forget_unused(round.touched.iter().copied(), &changed, topics);

        changed
    }

    /// The client took the cut in flight.
    pub(crate) fn acknowledge(&mut self, topics: &mut Topics) {
        let changed = self.in_flight.take().unwrap_or_default();
        for (id, version) in &changed {
            if let Some(item) = self.items.get_mut(id) {
                item.has = *version;
            }
        }
        self.forget_unused(changed.iter().map(|(id, _)| *id), &[], topics);
    }

    /// The client refused the cut in flight, and has what it had before.
    pub(crate) fn refuse(&mut self) {
        self.held_back.extend(self.in_flight.take().unwrap_or_default());
    }

    /// Gives back whatever is held. With what the client has and wants, for another view of it.
    pub(crate) fn close(self, topics: &mut Topics) -> Remains {
        let mut known = Vec::new();
        for (id, item) in self.items {
            if let Some(version) = item.has {
                known.push((topics.text(id).to_string(), version.to_string()));
            }
            if item.uses > 0 {
                topics.unwatch(id, self.watcher);
            }
            topics.release(id);
        }
        let mut subscriptions: Vec<String> =
            self.hosts.into_keys().map(|host| Name::Host(host).to_string()).collect();
        if self.eager {
            subscriptions.push("*".to_owned());
        }
        Remains { known, subscriptions }
    }

    fn replace_roots(
        &mut self,
        topics: &mut Topics,
        catalog: &mut impl Catalog,
        round: &mut Round,
    ) {
        let mut names = if self.eager { catalog.roots() } else { Vec::new() };
        names.extend(self.hosts.keys().cloned().map(Name::Routes));
        let roots: FxHashSet<TopicId> =
            names.iter().map(|name| self.item(name, topics, catalog)).collect();
        let former = std::mem::take(&mut self.roots);
        for id in roots.difference(&former) {
            self.acquire(*id, topics, round);
        }
        round.dropped.extend(former.difference(&roots));
        self.roots = roots;
    }

    fn evaluate(&mut self, topics: &mut Topics, catalog: &mut impl Catalog, round: &mut Round) {
        while let Some(id) = round.open.pop() {
            let Some(item) = self.items.get_mut(&id).filter(|item| item.uses > 0) else { continue };
            let output = catalog.output(topics.name(id));
            let former = std::mem::replace(&mut item.output, output.clone());
            let same = match (&former, &output) {
                (Some(former), Some(output)) => former.references == output.references,
                (None, None) => true,
                _ => false,
            };
            if same {
                continue;
            }
            for name in output.iter().flat_map(|output| &output.references) {
                let id = self.item(name, topics, catalog);
                self.acquire(id, topics, round);
            }
            for name in former.iter().flat_map(|output| &output.references) {
                round.dropped.push(self.item(name, topics, catalog));
            }
        }
    }

    fn drop_unused(&mut self, topics: &mut Topics, catalog: &impl Catalog, round: &mut Round) {
        while let Some(id) = round.dropped.pop() {
            let Some(item) = self.items.get_mut(&id) else { continue };
            item.uses -= 1;
            if item.uses > 0 {
                continue;
            }
            let output = item.output.take();
            topics.unwatch(id, self.watcher);
            round.touched.insert(id);
            for name in output.iter().flat_map(|output| &output.references) {
                round.dropped.push(self.item(name, topics, catalog));
            }
        }
    }

    /// What differs from what the client has, as far as it is to be sent now.
    ///
    /// What the client refused is held back until something of it changes, or something that
    /// references it is to be sent; then all of it goes along again, since it may belong together.
    fn changed(
        &mut self,
        topics: &Topics,
        catalog: &impl Catalog,
        touched: &FxHashSet<TopicId>,
    ) -> Vec<(TopicId, Option<Version>)> {
        let mut changed = Vec::new();
        let mut rejoin = false;
        for id in touched {
            let Some(item) = self.items.get(id) else { continue };
            let target = item.target();
            match self.held_back.get(id) {
                Some(refused) if *refused == target => continue,
                Some(_) => {
                    self.held_back.remove(id);
                    rejoin = true;
                }
                None => {}
            }
            if target != item.has {
                changed.push((*id, target));
            }
        }
        if self.held_back.is_empty() {
            return changed;
        }
        let references = changed.iter().filter_map(|(id, _)| self.items.get(id)?.output.as_ref());
        rejoin |= references.flat_map(|output| &output.references).any(|name| {
            topics
                .find(catalog.audience(name), name)
                .is_some_and(|id| self.held_back.contains_key(&id))
        });
        if rejoin {
            for (id, _) in self.held_back.drain() {
                let Some(item) = self.items.get(&id) else { continue };
                if item.target() != item.has {
                    changed.push((id, item.target()));
                }
            }
        }
        changed
    }

    /// Names of subscriptions to hosts that do not exist, as far as the client does not know yet.
    fn missing_hosts(&mut self, topics: &Topics, catalog: &impl Catalog) -> Vec<Arc<str>> {
        let mut missing = Vec::new();
        for (host, state) in &mut self.hosts {
            let routes = Name::Routes(host.clone());
            let exists = topics
                .find(catalog.audience(&routes), &routes)
                .and_then(|id| self.items.get(&id))
                .is_some_and(|item| item.output.is_some());
            if !exists && !state.told_missing {
                missing.push(Name::Host(host.clone()).to_string().into());
            }
            state.told_missing = !exists;
        }
        missing
    }

    /// Forgets those that the client neither has nor wants nor is being sent.
    fn forget_unused(
        &mut self,
        ids: impl Iterator<Item = TopicId>,
        in_flight: &[(TopicId, Option<Version>)],
        topics: &mut Topics,
    ) {
        for id in ids {
            let unused =
                self.items.get(&id).is_some_and(|item| item.uses == 0 && item.has.is_none());
            if unused && !in_flight.iter().any(|(other, _)| *other == id) {
                self.items.remove(&id);
                self.held_back.remove(&id);
                topics.release(id);
            }
        }
    }

    /// The item of this name, made if need be.
    fn item(&mut self, name: &Name, topics: &mut Topics, catalog: &impl Catalog) -> TopicId {
        let audience = catalog.audience(name);
        if let Some(id) = topics.find(audience, name)
            && self.items.contains_key(&id)
        {
            return id;
        }
        let id = topics.hold(audience, name);
        self.items.insert(id, Item::default());
        id
    }

    fn acquire(&mut self, id: TopicId, topics: &mut Topics, round: &mut Round) {
        let item = self.items.entry(id).or_default();
        item.uses += 1;
        if item.uses == 1 {
            topics.watch(id, self.watcher);
            round.touched.insert(id);
            round.open.push(id);
        }
    }
}

/// What is left of a closed view.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// What the client has: name and version.
    pub(crate) known: Vec<(String, String)>,
    /// What it subscribed to.
    pub(crate) subscriptions: Vec<String>,
}

#[cfg(test)]
mod tests;
