//! Who is an endpoint of what: the join of services, what lists their endpoints, and workloads.
//!
//! It is kept up entry by entry, so that a change of one endpoint or workload costs as much as the services
//! that it belongs to, and touches only the bucket that it falls into.

mod set;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use lateen_api::object::ObjectRef;

use self::set::EntryId;
pub(super) use self::set::Set;
pub(crate) use self::set::{EndpointEntry, Entry, Lister};
use super::Touched;
use super::few::{Counted, Few};
use crate::key::Key;
use crate::lower::Selecting;
use crate::node::{
    EndpointPorts, Listed, RawEndpoint, ServiceKey, Workload, WorkloadKey, WorkloadSource,
};

type Users = Few<(ServiceKey, EntryId)>;

#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// What is known of each workload, the most trusted first.
    workloads: FxHashMap<WorkloadKey, Vec<Arc<Workload>>>,
    /// Pods (`true`) and WorkloadEntries of a namespace.
    in_namespace: FxHashMap<(Arc<str>, bool), BTreeSet<WorkloadKey>>,
    by_address: FxHashMap<IpAddr, Few<WorkloadKey>>,
    /// Services that select pods (`true`) or WorkloadEntries of a namespace by labels.
    selecting: FxHashMap<(Arc<str>, bool), Vec<Arc<Selecting>>>,
    sets: FxHashMap<ServiceKey, Set>,
    /// Entries that name a workload.
    by_workload: FxHashMap<WorkloadKey, Users>,
    /// Entries that may be a workload with the address.
    by_listed_address: FxHashMap<IpAddr, Users>,
    services_of: FxHashMap<WorkloadKey, Counted<ServiceKey>>,
    services_at: FxHashMap<IpAddr, Counted<ServiceKey>>,
    /// Services whose endpoints changed since the last settling.
    changed: FxHashSet<ServiceKey>,
}

impl Endpoints {
    pub fn workload(&self, key: &WorkloadKey) -> Option<&Arc<Workload>> {
        self.workloads.get(key)?.first()
    }

    pub fn workloads(&self) -> impl Iterator<Item = &Arc<Workload>> {
        self.workloads.values().filter_map(|known| known.first())
    }

    pub fn set(&self, service: &ServiceKey) -> Option<&Set> {
        self.sets.get(service)
    }

    pub fn services_of<'a>(
        &'a self,
        workload: &WorkloadKey,
    ) -> impl Iterator<Item = &'a ServiceKey> + use<'a> {
        self.services_of.get(workload).into_iter().flat_map(Counted::things)
    }

    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &ServiceKey> {
        self.services_at.get(&address).into_iter().flat_map(Counted::things)
    }

    /// Takes what an object lists for a service, instead of what it listed before.
    pub fn list(
        &mut self,
        service: &ServiceKey,
        object: &ObjectRef,
        listed: &Listed,
        touched: &mut Touched,
    ) {
        let lister = Lister::Object(Arc::new(object.clone()));
        for (name, raw) in &listed.0 {
            let id = EntryId { lister: lister.clone(), name: name.clone() };
            self.put(service, &id, Some(raw), touched);
        }
        for name in self.listed_by(service, &lister) {
            if !listed.0.contains_key(&name) {
                let id = EntryId { lister: lister.clone(), name };
                self.put(service, &id, None, touched);
            }
        }
    }

    fn listed_by(&self, service: &ServiceKey, lister: &Lister) -> Vec<Arc<str>> {
        self.sets.get(service).map(|set| set.names(lister).collect()).unwrap_or_default()
    }

    pub fn unlist(&mut self, service: &ServiceKey, object: &ObjectRef, touched: &mut Touched) {
        self.list(service, object, &Listed::default(), touched);
    }

    pub fn add_selecting(&mut self, selecting: &Arc<Selecting>, touched: &mut Touched) {
        for (_, workload) in self.selected(selecting) {
            let id = EntryId::selected(&workload.key);
            self.put(&selecting.service, &id, Some(&selected(&workload)), touched);
        }
        for pods in selecting.kinds() {
            let key = (selecting.service.namespace.clone(), pods);
            self.selecting.entry(key).or_default().push(Arc::clone(selecting));
        }
    }

    pub fn remove_selecting(&mut self, selecting: &Arc<Selecting>, touched: &mut Touched) {
        for pods in selecting.kinds() {
            let key = (selecting.service.namespace.clone(), pods);
            if let Some(row) = self.selecting.get_mut(&key) {
                if let Some(at) = row.iter().position(|other| other == selecting) {
                    row.remove(at);
                }
                if row.is_empty() {
                    self.selecting.remove(&key);
                }
            }
        }
        for (pods, workload) in self.selected(selecting) {
            if !self.is_selected(&selecting.service, &workload, pods) {
                self.put(&selecting.service, &EntryId::selected(&workload.key), None, touched);
            }
        }
    }

    /// The workloads that a service selects, and whether they are pods.
    fn selected(&self, selecting: &Selecting) -> Vec<(bool, Arc<Workload>)> {
        let mut found = Vec::new();
        for pods in selecting.kinds() {
            let key = (selecting.service.namespace.clone(), pods);
            for workload in self.in_namespace.get(&key).into_iter().flatten() {
                if let Some(workload) = self.workload(workload)
                    && selecting.labels.select_labels(&workload.labels)
                {
                    found.push((pods, Arc::clone(workload)));
                }
            }
        }
        found
    }

    /// Whether any object still selects the workload for the service.
    fn is_selected(&self, service: &ServiceKey, workload: &Workload, pods: bool) -> bool {
        let row = self.selecting.get(&(service.namespace.clone(), pods));
        row.into_iter().flatten().any(|selecting| {
            selecting.service == *service && selecting.labels.select_labels(&workload.labels)
        })
    }

    pub fn add_workload(&mut self, workload: &Arc<Workload>, touched: &mut Touched) {
        let before = self.workload(&workload.key).cloned();
        let known = self.workloads.entry(workload.key.clone()).or_default();
        let at = known.partition_point(|other| other.from <= workload.from);
        known.insert(at, Arc::clone(workload));
        self.workload_changed(&workload.key, before.as_ref(), touched);
    }

    pub fn remove_workload(&mut self, workload: &Arc<Workload>, touched: &mut Touched) {
        let before = self.workload(&workload.key).cloned();
        if let Some(known) = self.workloads.get_mut(&workload.key) {
            if let Some(at) = known.iter().position(|other| other == workload) {
                known.remove(at);
            }
            if known.is_empty() {
                self.workloads.remove(&workload.key);
            }
        }
        self.workload_changed(&workload.key, before.as_ref(), touched);
    }

    fn workload_changed(
        &mut self,
        key: &WorkloadKey,
        before: Option<&Arc<Workload>>,
        touched: &mut Touched,
    ) {
        let after = self.workload(key).cloned();
        if before == after.as_ref() {
            return;
        }
        touched.key(Key::Workload(key.clone()));
        let users = self.by_workload.get(key).into_iter().flatten();
        let mut users: BTreeSet<(ServiceKey, EntryId)> = users.cloned().collect();
        for (workload, known) in [(before, false), (after.as_ref(), true)] {
            let Some(workload) = workload else { continue };
            self.place(workload, known);
            for address in &*workload.addresses {
                users.extend(self.by_listed_address.get(address).into_iter().flatten().cloned());
            }
        }
        self.select_again(key, before.map(Arc::as_ref), after.as_deref(), touched);
        for (service, id) in users {
            self.resolve_again(&service, &id, touched);
        }
    }

    /// Files a workload under its namespace and addresses, or takes it out. A client that no object
    /// describes is nobody's endpoint by that alone.
    fn place(&mut self, workload: &Workload, known: bool) {
        if workload.from == WorkloadSource::Client {
            return;
        }
        let pods = workload.from == WorkloadSource::Pod;
        let namespace = (workload.key.namespace.clone(), pods);
        change_set(&mut self.in_namespace, namespace, workload.key.clone(), known);
        for address in &*workload.addresses {
            change_few(&mut self.by_address, *address, workload.key.clone(), known);
        }
    }

    /// Asks all services that select by labels whether they select the workload.
    fn select_again(
        &mut self,
        key: &WorkloadKey,
        before: Option<&Workload>,
        after: Option<&Workload>,
        touched: &mut Touched,
    ) {
        let selectors_of = |workload: Option<&Workload>| -> BTreeSet<ServiceKey> {
            let Some(workload) = workload else { return BTreeSet::new() };
            if workload.from == WorkloadSource::Client {
                return BTreeSet::new();
            }
            let pods = workload.from == WorkloadSource::Pod;
            let row = self.selecting.get(&(key.namespace.clone(), pods));
            row.into_iter()
                .flatten()
                .filter(|selecting| selecting.labels.select_labels(&workload.labels))
                .map(|selecting| selecting.service.clone())
                .collect()
        };
        let (former, now) = (selectors_of(before), selectors_of(after));
        for service in former.difference(&now) {
            self.put(service, &EntryId::selected(key), None, touched);
        }
        let Some(after) = after else { return };
        for service in &now {
            self.put(service, &EntryId::selected(key), Some(&selected(after)), touched);
        }
    }

    fn resolve_again(&mut self, service: &ServiceKey, id: &EntryId, touched: &mut Touched) {
        let raw = self.sets.get(service).and_then(|set| set.raw(id)).cloned();
        if let Some(raw) = raw {
            self.put(service, id, Some(&raw), touched);
        }
    }

    /// Sets or removes one entry of a service.
    fn put(
        &mut self,
        service: &ServiceKey,
        id: &EntryId,
        raw: Option<&Arc<RawEndpoint>>,
        touched: &mut Touched,
    ) {
        let after = raw.map(|raw| self.resolve(service, raw));
        let set = self.sets.entry(service.clone()).or_default();
        let before = set.entry(id).cloned();
        if before == after {
            return;
        }
        set.replace(service, id, after.clone(), touched);
        if set.is_empty() {
            self.sets.remove(service);
        }
        // What is new is noted before what was is forgotten, so that nothing seems to go and come.
        if let Some(after) = &after {
            self.note(service, id, after, true, touched);
        }
        if let Some(before) = &before {
            self.note(service, id, before, false, touched);
            if let Some(after) = &after {
                self.restore_users(service, id, after);
            }
        }
        self.changed.insert(service.clone());
    }

    fn note(
        &mut self,
        service: &ServiceKey,
        id: &EntryId,
        entry: &Entry,
        known: bool,
        touched: &mut Touched,
    ) {
        self.note_user(service, id, entry, known);
        if let Some(workload) = &entry.workload
            && change_count(&mut self.services_of, workload.clone(), service, known)
        {
            touched.key(Key::ServicesOf(workload.clone()));
        }
        for address in &*entry.raw.addresses {
            if change_count(&mut self.services_at, *address, service, known) {
                touched.key(Key::ServicesAt(*address));
            }
        }
    }

    fn note_user(&mut self, service: &ServiceKey, id: &EntryId, entry: &Entry, known: bool) {
        let user = (service.clone(), id.clone());
        match &entry.raw.workload {
            Some(workload) => change_few(&mut self.by_workload, workload.clone(), user, known),
            None if entry.raw.inline.is_none() => {
                for address in &*entry.raw.addresses {
                    change_few(&mut self.by_listed_address, *address, user.clone(), known);
                }
            }
            None => {}
        }
    }

    /// Users are a set: forgetting the former entry may have taken out what the new one needs.
    fn restore_users(&mut self, service: &ServiceKey, id: &EntryId, entry: &Entry) {
        self.note_user(service, id, entry, true);
    }

    /// Finds the workload of an entry.
    fn resolve(&self, service: &ServiceKey, raw: &Arc<RawEndpoint>) -> Entry {
        let key = match &raw.workload {
            Some(key) => Some(key.clone()),
            None if raw.inline.is_none() => self.at_address(service, &raw.addresses),
            None => None,
        };
        let workload = key.as_ref().and_then(|key| self.workload(key));
        let workload = workload.filter(|workload| workload.from != WorkloadSource::Client);
        let (account, mesh_tls) = match (&raw.inline, workload) {
            (Some(inline), _) => (inline.account.clone(), inline.mesh_tls),
            (None, Some(workload)) => {
                let account = (workload.key.namespace.clone(), workload.service_account.clone());
                ((!account.1.is_empty()).then_some(account), workload.mesh_tls)
            }
            (None, None) => (None, false),
        };
        Entry { raw: Arc::clone(raw), workload: key, account, mesh_tls }
    }

    /// The workload with one of the addresses, if there is no doubt: the only one of the service's
    /// namespace, else the only one. (Pods on their node's network share its address.)
    fn at_address(&self, service: &ServiceKey, addresses: &[IpAddr]) -> Option<WorkloadKey> {
        let found: BTreeSet<&WorkloadKey> =
            addresses.iter().filter_map(|address| self.by_address.get(address)).flatten().collect();
        let mut own = found.iter().filter(|key| key.namespace == service.namespace);
        match (own.next(), own.next()) {
            (Some(only), None) => Some((*only).clone()),
            (None, _) if found.len() == 1 => found.first().map(|key| (*key).clone()),
            _ => None,
        }
    }

    /// Fits the number of buckets of what changed.
    pub fn settle(&mut self, touched: &mut Touched) {
        for service in std::mem::take(&mut self.changed) {
            if let Some(set) = self.sets.get_mut(&service) {
                set.fit(&service, touched);
            }
        }
    }
}

/// The entry that a workload makes by being selected.
fn selected(workload: &Workload) -> Arc<RawEndpoint> {
    Arc::new(RawEndpoint {
        workload: Some(workload.key.clone()),
        addresses: workload.addresses.clone(),
        unix_path: None,
        ports: EndpointPorts::Overrides(Arc::default()),
        ready: workload.ready,
        terminating: false,
        inline: None,
    })
}

fn change_set<K: std::hash::Hash + Eq, V: Ord>(
    sets: &mut FxHashMap<K, BTreeSet<V>>,
    key: K,
    value: V,
    known: bool,
) {
    if known {
        sets.entry(key).or_default().insert(value);
    } else if let Some(set) = sets.get_mut(&key) {
        set.remove(&value);
        if set.is_empty() {
            sets.remove(&key);
        }
    }
}

fn change_few<K: std::hash::Hash + Eq, V: Ord>(
    sets: &mut FxHashMap<K, Few<V>>,
    key: K,
    value: V,
    known: bool,
) {
    if known {
        sets.entry(key).or_default().insert(value);
    } else if let Some(few) = sets.get_mut(&key) {
        few.remove(&value);
        if few.is_empty() {
            sets.remove(&key);
        }
    }
}

/// Whether the service came or went.
fn change_count<K: std::hash::Hash + Eq>(
    counts: &mut FxHashMap<K, Counted<ServiceKey>>,
    key: K,
    service: &ServiceKey,
    known: bool,
) -> bool {
    if known {
        return counts.entry(key).or_default().change(service, true);
    }
    let Some(services) = counts.get_mut(&key) else { return false };
    let gone = services.change(service, false);
    if services.is_empty() {
        counts.remove(&key);
    }
    gone
}
