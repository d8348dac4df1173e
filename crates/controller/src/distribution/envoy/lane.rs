//! One kind of resource on one client's stream: what it takes, what it has to be told, what is on
//! its way.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_envoy::{Kind, Part};
use lateen_xds::{Resource, server::Update};
use prost::encoding::string;
use rustc_hash::FxHashMap;

use super::{
    bits::Bits,
    search::{Search, Sent, Verdict},
    table::Table,
};
use crate::status::SyncState;

/// A resource by its number in the table of one of a client's two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) part: Part,
    pub(super) number: u32,
}

/// A client's two parts, the scope's and the workload's own.
pub(super) const PARTS: [Part; 2] = [Part::Scope, Part::Workload];

/// The tables of one kind, by part.
pub(super) type Tables<'a> = [&'a Table; 2];

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    kind: Kind,
    /// The client has asked for this kind.
    is_open: bool,
    /// It takes all there are, as Envoy does with clusters and listeners.
    takes_all: bool,
    marks: [Marks; 2],
    /// Names of no number that the client has to be told are not there.
    gone: Vec<Arc<str>>,
    /// An answer is due even if it is empty: the client waits for one.
    is_awaited: bool,
    /// The client has answered a response of the kind.
    has_answered: bool,
    /// What the client refused, and in which state.
    held_back: FxHashMap<Item, u64>,
    search: Search,
    flight: Option<Flight>,
}

/// Numbers of one part.
#[derive(Debug, Default)]
struct Marks {
    /// Taken by name.
    subscribed: Bits,
    /// Came or changed.
    changed: Bits,
    /// To be sent whether changed or not: a subscription's answer, or what a cluster waits for.
    owed: Bits,
    /// Went.
    removed: Bits,
}

/// A response that the client has not answered.
#[derive(Debug)]
struct Flight {
    items: Vec<Sent>,
    gone: Vec<Arc<str>>,
    holds_owed: bool,
    is_trial: bool,
    bytes: usize,
}

/// What a response is made of.
#[derive(Default)]
struct Load {
    resources: Vec<Resource>,
    removed: Vec<Arc<str>>,
    items: Vec<Sent>,
    bytes: usize,
    holds_owed: bool,
}

impl Lane {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            is_open: false,
            takes_all: false,
            marks: Default::default(),
            gone: Vec::new(),
            is_awaited: false,
            has_answered: false,
            held_back: FxHashMap::default(),
            search: Search::new(kind),
            flight: None,
        }
    }

    /// The client asks for the kind for the first time on its stream.
    pub(super) fn open(&mut self) {
        self.is_open = true;
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn takes_all(&self) -> bool {
        self.takes_all
    }

    /// The client takes all there are, and has some of them (name and version).
    pub(super) fn take_all(&mut self, tables: Tables<'_>, mut known: BTreeMap<String, String>) {
        self.is_awaited |= known.is_empty();
        self.takes_all = true;
        for part in PARTS {
            for number in tables[part as usize].present() {
                let item = Item { part, number };
                let name = tables[part as usize].name(number);
                let has = known.remove(&**name);
                self.compare(tables, item, has.as_deref());
            }
        }
        self.gone.extend(known.into_keys().map(Arc::from));
    }

    /// The client takes one, and may have a version of it already. It is answered in any case,
    /// unless it has what there is.
    pub(super) fn take(&mut self, tables: Tables<'_>, item: Item, has: Option<&str>) {
        self.follow(item);
        self.compare(tables, item, has);
    }

    /// The client takes one from now on; there is nothing to tell about it yet.
    pub(super) fn follow(&mut self, item: Item) {
        self.marks_mut(item.part).subscribed.insert(item.number);
    }

    /// The client gives one back.
    pub(super) fn drop(&mut self, item: Item) {
        let marks = self.marks_mut(item.part);
        marks.subscribed.remove(item.number);
        marks.changed.remove(item.number);
        marks.owed.remove(item.number);
        marks.removed.remove(item.number);
        self.held_back.remove(&item);
    }

    /// Whether the client asked for this one by name.
    pub(super) fn is_taken(&self, item: Item) -> bool {
        self.marks[item.part as usize].subscribed.contains(item.number)
    }

    /// How many are taken by name.
    pub(super) fn names(&self) -> usize {
        self.marks.iter().map(|marks| marks.subscribed.len()).sum()
    }

    /// All that is taken by name.
    pub(super) fn taken(&self) -> impl Iterator<Item = Item> {
        PARTS.into_iter().flat_map(|part| {
            let numbers = self.marks[part as usize].subscribed.iter();
            numbers.map(move |number| Item { part, number })
        })
    }

    /// It has to be sent, changed or not.
    pub(super) fn owe(&mut self, item: Item) {
        self.marks_mut(item.part).owed.insert(item.number);
    }

    /// The client has to be told that there is no such thing.
    pub(super) fn deny(&mut self, name: Arc<str>) {
        self.gone.push(name);
    }

    /// There is such a thing now.
    pub(super) fn retract(&mut self, name: &str) {
        self.gone.retain(|gone| &**gone != name);
    }

    /// A resource changed. Whether that is anything to this client.
    pub(super) fn mark(&mut self, item: Item, is_present: bool) -> bool {
        let takes_all = self.takes_all;
        let marks = self.marks_mut(item.part);
        if !takes_all && !marks.subscribed.contains(item.number) {
            return false;
        }
        if is_present {
            marks.removed.remove(item.number);
            marks.changed.insert(item.number);
        } else if !marks.owed.contains(item.number) {
            marks.changed.remove(item.number);
            marks.removed.insert(item.number);
        }
        true
    }

    /// Whether everything but removals was sent and acknowledged.
    pub(super) fn is_current(&self) -> bool {
        self.flight.is_none()
            && self.search.is_over()
            && (!self.is_open || self.marks.iter().all(Marks::is_current) && !self.is_awaited)
    }

    /// Whether everything was sent and acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        self.is_current() && (!self.has_removals() || !self.is_open)
    }

    /// Whether nothing that somebody waits for is on its way, or will be.
    pub(super) fn owes_nothing(&self) -> bool {
        self.marks.iter().all(|marks| marks.owed.is_empty())
            && self.flight.as_ref().is_none_or(|flight| !flight.holds_owed)
    }

    /// How far the client is; `None`: it never asked for the kind.
    pub(super) fn state(&self) -> Option<SyncState> {
        self.is_open.then(|| match (self.is_settled(), self.held_back.is_empty()) {
            (false, _) => SyncState::Pending,
            (true, false) => SyncState::Refused,
            (true, true) => SyncState::Synced,
        })
    }

    /// How many resources the client has to be told of, or has not answered.
    pub(super) fn pending(&self) -> usize {
        if !self.is_open {
            return 0;
        }
        let marked = |marks: &Marks| marks.changed.len() + marks.owed.len() + marks.removed.len();
        let flight = self.flight.as_ref().map_or(0, |flight| flight.items.len());
        self.marks.iter().map(marked).sum::<usize>() + self.gone.len() + flight
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flight.is_some()
    }

    /// Bytes of bodies on their way.
    pub(super) fn bytes_in_flight(&self) -> usize {
        self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    /// The next response of about `limit` bytes, which then is in flight.
    pub(super) fn next(
        &mut self,
        tables: Tables<'_>,
        limit: usize,
        with_removals: bool,
    ) -> Option<Update> {
        if self.flight.is_some() || !self.is_open {
            return None;
        }
        let trial = self.search.next(|sent| is_current(tables, sent));
        let is_trial = trial.is_some();
        let mut load = Load::default();
        match trial {
            Some(group) => {
                for sent in group {
                    load.add(self.kind, tables, sent.item, false);
                }
            }
            None => self.fill(tables, limit, &mut load),
        }
        let gone = if with_removals && !is_trial {
            self.fill_removals(tables, &mut load);
            std::mem::take(&mut self.gone)
        } else {
            Vec::new()
        };
        if load.is_empty() && gone.is_empty() && !self.is_awaited {
            return None;
        }
        self.is_awaited = false;
        Some(self.depart(load, gone, is_trial))
    }

    /// A response that only takes away, which then is in flight.
    pub(super) fn next_removals(&mut self, tables: Tables<'_>) -> Option<Update> {
        if self.flight.is_some() || !self.is_open {
            return None;
        }
        let mut load = Load::default();
        self.fill_removals(tables, &mut load);
        let gone = std::mem::take(&mut self.gone);
        (!load.is_empty() || !gone.is_empty()).then(|| self.depart(load, gone, false))
    }

    /// Names of what is to be taken away.
    pub(super) fn removals<'a>(&'a self, tables: Tables<'a>) -> impl Iterator<Item = &'a Arc<str>> {
        let numbered = PARTS.into_iter().flat_map(move |part| {
            let numbers = self.marks[part as usize].removed.iter();
            numbers.map(move |number| tables[part as usize].name(number))
        });
        numbered.chain(&self.gone)
    }

    fn depart(&mut self, load: Load, gone: Vec<Arc<str>>, is_trial: bool) -> Update {
        let Load { resources, mut removed, items, bytes, holds_owed } = load;
        removed.extend(gone.iter().cloned());
        self.flight = Some(Flight { items, gone, holds_owed, is_trial, bytes });
        Update {
            type_url: self.kind.type_url().into(),
            resources,
            removed,
            system_version: Arc::default(),
            tag: 0,
        }
    }

    /// What is in flight and is there.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = Item> {
        self.flight.iter().flat_map(|flight| &flight.items).map(|sent| sent.item)
    }

    /// Whether the client is to be told that something is gone.
    pub(super) fn has_removals(&self) -> bool {
        !self.gone.is_empty() || self.marks.iter().any(|marks| !marks.removed.is_empty())
    }

    /// Whether the client has answered a response of the kind on this stream.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Sends a response even if there is nothing to say: its answer tells that the client has said
    /// all that it had to say before.
    pub(super) fn probe(&mut self) {
        self.is_awaited = true;
    }

    /// The client took what is in flight.
    pub(super) fn acknowledged(&mut self) {
        let Some(flight) = self.flight.take() else { return };
        self.has_answered = true;
        if flight.is_trial {
            self.search.accepted();
            self.conclude();
        } else if self.search.may_depend() && !flight.items.is_empty() {
            // What was refused may have been in conflict with what changed now.
            self.search.begin(self.held_back.drain().map(|(item, at)| Sent { item, at }).collect());
        }
    }

    /// The client refused what is in flight.
    pub(super) fn refused(&mut self, tables: Tables<'_>, reason: &str) {
        let Some(Flight { items, gone, .. }) = self.flight.take() else { return };
        self.has_answered = true;
        if !items.is_empty() {
            let is_absent = |name: &Arc<str>| {
                let is_present = |table: &&Table| {
                    table.find(name).is_some_and(|number| table.get(number).is_some())
                };
                !tables.iter().any(is_present)
            };
            self.gone.extend(gone.into_iter().filter(is_absent));
        }
        let name = |sent: &Sent| tables[sent.item.part as usize].name(sent.item.number);
        self.search.refused(items, |sent| reason.contains(&**name(sent)));
        self.conclude();
    }

    /// What this client has or is to be told of, for those who free numbers.
    pub(super) fn uses(&self, part: Part, used: &mut Bits) {
        let Marks { subscribed, changed, owed, removed } = &self.marks[part as usize];
        for bits in [subscribed, changed, owed, removed] {
            used.extend(bits.iter());
        }
    }

    /// What the client has, by name: the version, or an empty one where it is not sure to be what
    /// is there. With nothing in flight.
    pub(super) fn known(&self, tables: Tables<'_>) -> BTreeMap<String, String> {
        let mut known = BTreeMap::new();
        for part in PARTS {
            let (table, marks) = (tables[part as usize], &self.marks[part as usize]);
            let sent = table.present().filter(|number| {
                (self.takes_all || marks.subscribed.contains(*number))
                    && !marks.owed.contains(*number)
            });
            for number in sent {
                let is_sure = !marks.changed.contains(number)
                    && !self.held_back.contains_key(&Item { part, number });
                let version = table.get(number).filter(|_| is_sure);
                let version = version.map_or("", |resource| &resource.version_text);
                known.insert(table.name(number).to_string(), version.to_owned());
            }
            let removed = marks.removed.iter();
            known.extend(removed.map(|number| (table.name(number).to_string(), String::new())));
        }
        let in_doubt = self.search.suspects().map(|sent| sent.item);
        known.extend(
            in_doubt.map(|item| {
                (tables[item.part as usize].name(item.number).to_string(), String::new())
            }),
        );
        known.extend(self.gone.iter().map(|name| (name.to_string(), String::new())));
        known
    }

    /// Marks what has to be told of one resource, of which the client has that version.
    fn compare(&mut self, tables: Tables<'_>, item: Item, has: Option<&str>) {
        let resource = tables[item.part as usize].get(item.number);
        let marks = self.marks_mut(item.part);
        match (resource, has) {
            (Some(resource), Some(version)) if *resource.version_text == *version => {}
            (Some(_), Some(_)) => {
                marks.changed.insert(item.number);
            }
            (None, Some(_)) => {
                marks.removed.insert(item.number);
            }
            (_, None) => {
                marks.owed.insert(item.number);
            }
        }
    }

    /// Whether a response has to hold everything that changed: a domain that moves from one virtual
    /// host to another must not be in both, nor an address in two listeners.
    fn is_atomic(&self) -> bool {
        self.search.may_depend()
    }

    fn fill(&mut self, tables: Tables<'_>, limit: usize, load: &mut Load) {
        let changes_limit = if self.is_atomic() { usize::MAX } else { limit };
        for part in PARTS {
            let numbers: Vec<u32> = self.marks[part as usize].changed.iter().collect();
            self.fill_with(tables, part, numbers, changes_limit, false, load);
        }
        for part in PARTS {
            // Only as many as may fit are looked at: a client that takes all comes here often.
            while load.bytes < limit && !self.marks[part as usize].owed.is_empty() {
                let owed = self.marks[part as usize].owed.iter();
                let numbers: Vec<u32> = owed.take(1 + limit / SMALLEST).collect();
                self.fill_with(tables, part, numbers, limit, true, load);
            }
        }
    }

    fn fill_with(
        &mut self,
        tables: Tables<'_>,
        part: Part,
        numbers: Vec<u32>,
        limit: usize,
        is_owed: bool,
        load: &mut Load,
    ) {
        for number in numbers {
            if load.bytes >= limit {
                return;
            }
            let marks = self.marks_mut(part);
            marks.changed.remove(number);
            marks.owed.remove(number);
            let item = Item { part, number };
            match self.held_back.get(&item) {
                Some(at) if *at == tables[part as usize].changed_at(number) => continue,
                Some(_) => drop(self.held_back.remove(&item)),
                None => {}
            }
            load.add(self.kind, tables, item, is_owed);
        }
    }

    fn fill_removals(&mut self, tables: Tables<'_>, load: &mut Load) {
        for part in PARTS {
            let marks = &mut self.marks[part as usize];
            for number in std::mem::take(&mut marks.removed).iter() {
                if self.kind == Kind::VirtualHost {
                    marks.subscribed.remove(number);
                }
                self.held_back.remove(&Item { part, number });
                load.add(self.kind, tables, Item { part, number }, false);
            }
        }
    }

    fn conclude(&mut self) {
        if let Verdict::HeldBack(items) = self.search.conclude() {
            self.held_back.extend(items.into_iter().map(|sent| (sent.item, sent.at)));
        }
    }

    fn marks_mut(&mut self, part: Part) -> &mut Marks {
        &mut self.marks[part as usize]
    }
}

/// Bytes of the smallest resources, about: bounds how many are looked at for one response.
const SMALLEST: usize = 64;

impl Marks {
    fn is_current(&self) -> bool {
        self.changed.is_empty() && self.owed.is_empty()
    }
}

impl Load {
    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn add(&mut self, kind: Kind, tables: Tables<'_>, item: Item, is_owed: bool) {
        let table = tables[item.part as usize];
        let name = table.name(item.number).clone();
        self.items.push(Sent { item, at: table.changed_at(item.number) });
        self.holds_owed |= is_owed;
        let resource = match table.get(item.number) {
            Some(resource) => sent(resource),
            // Asked for by name, these are waited for.
            None if is_owed && matches!(kind, Kind::Endpoints | Kind::Routes) => sent(&empty(name)),
            None => return self.removed.push(name),
        };
        self.bytes += resource.body.len();
        self.resources.push(resource);
    }
}

/// A ClusterLoadAssignment without endpoints, a RouteConfiguration without virtual hosts: in both
/// the first field is the name.
fn empty(name: Arc<str>) -> lateen_envoy::Resource {
    let mut body = Vec::new();
    string::encode(1, &name.to_string(), &mut body);
    lateen_envoy::Resource::new(name, body)
}

/// A resource as it goes to the stream, by reference.
fn sent(resource: &lateen_envoy::Resource) -> Resource {
    Resource {
        name: resource.name.clone(),
        version: resource.version_text.clone(),
        body: resource.body.clone(),
    }
}

fn is_current(tables: Tables<'_>, sent: &Sent) -> bool {
    tables[sent.item.part as usize].changed_at(sent.item.number) == sent.at
}
