//! The endpoints of one service, in buckets of bounded size.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lateen_api::object::ObjectRef;

use crate::key::Key;
use crate::node::{Account, EndpointPorts, RawEndpoint, ServiceKey, WorkloadKey};
use crate::store::Touched;
use crate::store::directory::bucket_of;
use crate::store::few::Few;

/// How many endpoints a bucket holds at most.
const BUCKET_SIZE: usize = 64;

/// What made an entry. What an object lists comes before what labels select.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Lister {
    Object(Arc<ObjectRef>),
    Selected(WorkloadKey),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub lister: Lister,
    /// What distinguishes it among the lister's.
    pub name: Arc<str>,
}

impl EntryId {
    pub fn selected(workload: &WorkloadKey) -> Self {
        Self { lister: Lister::Selected(workload.clone()), name: "".into() }
    }
}

/// A listed endpoint, and who it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub raw: Arc<RawEndpoint>,
    pub workload: Option<WorkloadKey>,
    pub account: Option<Account>,
    pub mesh_tls: bool,
}

impl Entry {
    /// What is the same for all entries of one endpoint: the workload, or else the address.
    pub fn uid(&self) -> String {
        if let Some(workload) = &self.workload {
            return format!("{}/{}", workload.namespace, workload.name);
        }
        if let Some(path) = &self.raw.unix_path {
            return path.to_string();
        }
        let address = self.raw.addresses.first().map(ToString::to_string).unwrap_or_default();
        match &self.raw.ports {
            // One address may stand for several endpoints that differ in their ports.
            EndpointPorts::Overrides(ports) if !ports.is_empty() => {
                let ports: Vec<String> =
                    ports.iter().map(|(name, number)| format!("{name}={number}")).collect();
                format!("{address} {}", ports.join(","))
            }
            EndpointPorts::Overrides(_) | EndpointPorts::Listed(_) => address,
        }
    }
}

/// An entry of a set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndpointEntry<'a> {
    pub id: &'a EntryId,
    pub entry: &'a Entry,
}

/// Endpoints by UID, each with the entries that list it.
#[derive(Debug)]
pub(crate) struct Set {
    entries: BTreeMap<EntryId, Entry>,
    buckets: Vec<BTreeMap<Arc<str>, Few<EntryId>>>,
    accounts: BTreeMap<Option<Account>, usize>,
    /// Entries where no mesh TLS is spoken.
    plain: usize,
    addresses: BTreeMap<IpAddr, usize>,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            buckets: vec![BTreeMap::new()],
            accounts: BTreeMap::new(),
            plain: 0,
            addresses: BTreeMap::new(),
        }
    }
}

impl Set {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.entries.get(id)
    }

    pub fn raw(&self, id: &EntryId) -> Option<&Arc<RawEndpoint>> {
        self.entries.get(id).map(|entry| &entry.raw)
    }

    /// Names of the entries of one lister.
    pub fn names(&self, lister: &Lister) -> impl Iterator<Item = Arc<str>> {
        let from = EntryId { lister: lister.clone(), name: "".into() };
        self.entries
            .range(from..)
            .take_while(move |(id, _)| id.lister == *lister)
            .map(|(id, _)| id.name.clone())
    }

    pub fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The endpoints of a bucket by UID, each with its entries, what objects list first.
    pub fn bucket(&self, bucket: u32) -> impl Iterator<Item = (&Arc<str>, Vec<EndpointEntry<'_>>)> {
        let bucket = self.buckets.get(bucket as usize);
        bucket.into_iter().flatten().map(|(uid, ids)| {
            let entries = ids.iter().filter_map(|id| {
                let entry = self.entries.get(id)?;
                Some(EndpointEntry { id, entry })
            });
            (uid, entries.collect())
        })
    }

    /// Namespaces and names of all known service accounts.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.accounts.keys().flatten()
    }

    /// Whether mesh TLS is spoken everywhere, and there is anywhere.
    pub fn all_mesh_tls(&self) -> bool {
        self.plain == 0 && !self.entries.is_empty()
    }

    /// Addresses of all endpoints, sorted.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().copied()
    }

    /// Sets or removes an entry, and touches what that changes.
    pub fn replace(
        &mut self,
        service: &ServiceKey,
        id: &EntryId,
        entry: Option<Entry>,
        touched: &mut Touched,
    ) {
        let all_mesh_tls = self.all_mesh_tls();
        // What is new is counted before what was, so that nothing seems to go and come.
        if let Some(entry) = &entry {
            self.count(service, entry, true, touched);
        }
        let uid: Option<Arc<str>> = entry.as_ref().map(|entry| entry.uid().into());
        let former = match entry {
            Some(entry) => self.entries.insert(id.clone(), entry),
            None => self.entries.remove(id),
        };
        if let Some(former) = &former {
            self.leave(service, id, &former.uid(), touched);
            self.count(service, former, false, touched);
        }
        if let Some(uid) = uid {
            let bucket = bucket_of(&uid, self.buckets.len());
            self.buckets[bucket].entry(uid).or_default().insert(id.clone());
            touched.key(endpoints_key(service, bucket));
        }
        if self.all_mesh_tls() != all_mesh_tls {
            touched.key(Key::Accounts(service.clone()));
        }
    }

    fn leave(&mut self, service: &ServiceKey, id: &EntryId, uid: &str, touched: &mut Touched) {
        let bucket = bucket_of(uid, self.buckets.len());
        if let Some(ids) = self.buckets[bucket].get_mut(uid) {
            ids.remove(id);
            if ids.is_empty() {
                self.buckets[bucket].remove(uid);
            }
        }
        touched.key(endpoints_key(service, bucket));
    }

    fn count(&mut self, service: &ServiceKey, entry: &Entry, known: bool, touched: &mut Touched) {
        if !entry.mesh_tls {
            self.plain = if known { self.plain + 1 } else { self.plain - 1 };
        }
        if change(&mut self.accounts, entry.account.clone(), known) {
            touched.key(Key::Accounts(service.clone()));
        }
        for address in &*entry.raw.addresses {
            if change(&mut self.addresses, *address, known) {
                touched.key(Key::Addresses(service.clone()));
            }
        }
    }

    /// Takes the smallest number of buckets of which none is too large.
    pub fn fit(&mut self, service: &ServiceKey, touched: &mut Touched) {
        let before = self.buckets.len();
        while self.buckets.iter().any(|bucket| bucket.len() > BUCKET_SIZE) {
            self.divide(self.buckets.len() * 2);
        }
        while self.could_halve() {
            self.divide(self.buckets.len() / 2);
        }
        if self.buckets.len() != before {
            for bucket in 0..before.max(self.buckets.len()) {
                touched.key(endpoints_key(service, bucket));
            }
            touched.key(Key::EndpointBuckets(service.clone()));
        }
    }

    fn could_halve(&self) -> bool {
        let half = self.buckets.len() / 2;
        half > 0
            && (0..half)
                .all(|at| self.buckets[at].len() + self.buckets[at + half].len() <= BUCKET_SIZE)
    }

    fn divide(&mut self, buckets: usize) {
        let former = std::mem::replace(&mut self.buckets, vec![BTreeMap::new(); buckets]);
        for (uid, ids) in former.into_iter().flatten() {
            self.buckets[bucket_of(&uid, buckets)].insert(uid, ids);
        }
    }
}

fn endpoints_key(service: &ServiceKey, bucket: usize) -> Key {
    let bucket = u32::try_from(bucket).expect("invariant: fewer than 2^32 endpoints");
    Key::Endpoints(service.clone(), bucket)
}

/// Whether the value came or went.
fn change<V: Ord>(counts: &mut BTreeMap<V, usize>, value: V, known: bool) -> bool {
    if known {
        let count = counts.entry(value).or_default();
        *count += 1;
        return *count == 1;
    }
    let Some(count) = counts.get_mut(&value) else { return false };
    *count -= 1;
    let gone = *count == 0;
    if gone {
        counts.remove(&value);
    }
    gone
}
