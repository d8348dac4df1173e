//! Local mode: numbers for workloads and services, from which their addresses follow
//! ([`lateen_mesh::local`]).
//!
//! Both a workload's number and a service's offset start from a hash of the name and go on to the next free
//! number, names in order, so that every process that knows the same objects comes to the same addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use lateen_mesh::local::{FIRST_OFFSET, shift_port};
use rustc_hash::FxHashSet;
use xxhash_rust::xxh3::xxh3_64;

use crate::key::Key;
use crate::node::WorkloadKey;
use crate::store::Touched;

/// A port, and the socket that stands for it where privileged ports cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortAddress {
    /// The port as objects name it.
    pub port: u16,
    /// The port of the socket.
    pub socket: u16,
}

impl PortAddress {
    /// The port with its socket.
    #[must_use]
    pub fn new(port: u16) -> Self {
        Self { port, socket: shift_port(port) }
    }
}

/// Where a service is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The service's host.
    pub host: String,
    /// Its address as this workload sees it.
    pub address: Ipv4Addr,
    /// Its ports.
    pub ports: Vec<PortAddress>,
}

/// The place of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadAddresses {
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's name.
    pub name: String,
    /// First address of its /16.
    pub base: Ipv4Addr,
    /// Where the application listens.
    pub application: Ipv4Addr,
    /// Where the sidecar takes inbound connections; none for a workload without one.
    pub sidecar: Option<Ipv4Addr>,
    /// The application's ports, as services declare them.
    pub ports: Vec<PortAddress>,
    /// What it sees, sorted by host.
    pub services: Vec<ServiceAddress>,
}

/// Numbers for everything that has an address.
#[derive(Debug, Default)]
pub(crate) struct Local {
    hosts: BTreeMap<Arc<str>, usize>,
    workloads: BTreeMap<WorkloadKey, usize>,
    offsets: BTreeMap<Arc<str>, u16>,
    bases: BTreeMap<WorkloadKey, u16>,
    changed: bool,
}

impl Local {
    pub fn add_host(&mut self, host: &Arc<str>) {
        *self.hosts.entry(host.clone()).or_default() += 1;
        self.changed = true;
    }

    pub fn remove_host(&mut self, host: &Arc<str>) {
        remove(&mut self.hosts, host);
        self.changed = true;
    }

    pub fn add_workload(&mut self, workload: &WorkloadKey) {
        *self.workloads.entry(workload.clone()).or_default() += 1;
        self.changed = true;
    }

    pub fn remove_workload(&mut self, workload: &WorkloadKey) {
        remove(&mut self.workloads, workload);
        self.changed = true;
    }

    /// Gives out the numbers again, if anything came or went.
    pub fn settle(&mut self, touched: &mut Touched) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        // Wildcards are no names that anybody dials.
        let hosts = self.hosts.keys().filter(|host| !host.starts_with('*')).cloned();
        let offsets = assign(hosts, |host| xxh3_64(host.as_bytes()), FIRST_OFFSET, u16::MAX);
        let bases = assign(
            self.workloads.keys().cloned(),
            |key| xxh3_64(format!("{}/{}", key.namespace, key.name).as_bytes()),
            1,
            254,
        );
        for host in differing(&self.offsets, &offsets) {
            touched.keys.insert(Key::LocalOffset(host));
        }
        for workload in differing(&self.bases, &bases) {
            touched.keys.insert(Key::LocalBase(workload));
        }
        self.offsets = offsets;
        self.bases = bases;
    }

    pub fn offset(&self, host: &Arc<str>) -> Option<u16> {
        self.offsets.get(host).copied()
    }

    /// First address of the workload's /16; none when all 254 are taken.
    pub fn base(&self, workload: &WorkloadKey) -> Option<Ipv4Addr> {
        let number = u8::try_from(*self.bases.get(workload)?).ok()?;
        Some(Ipv4Addr::new(127, number, 0, 0))
    }
}

fn remove<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

fn assign<K: Ord + Clone>(
    names: impl Iterator<Item = K>,
    hash: impl Fn(&K) -> u64,
    first: u16,
    last: u16,
) -> BTreeMap<K, u16> {
    let size = u64::from(last - first) + 1;
    let mut taken = FxHashSet::default();
    let mut numbers = BTreeMap::new();
    for name in names {
        let start = hash(&name) % size;
        let free = (0..size).map(|step| (start + step) % size).find(|at| !taken.contains(at));
        let Some(free) = free else { break };
        taken.insert(free);
        let number = u16::try_from(free).expect("invariant: below `size`, which fits");
        numbers.insert(name, first + number);
    }
    numbers
}

fn differing<K: Ord + Clone>(before: &BTreeMap<K, u16>, after: &BTreeMap<K, u16>) -> Vec<K> {
    let gone_or_moved = before.iter().filter(|(name, number)| after.get(name) != Some(number));
    let new = after.iter().filter(|(name, _)| !before.contains_key(name));
    gone_or_moved.chain(new).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_the_names_alone() {
        let names: Vec<Arc<str>> = (0..200).map(|n| format!("host-{n}").into()).collect();
        let hash = |name: &Arc<str>| xxh3_64(name.as_bytes());
        let numbers = assign(names.iter().cloned(), hash, 1, 254);
        assert_eq!(numbers.len(), 200);
        let distinct: FxHashSet<u16> = numbers.values().copied().collect();
        assert_eq!(distinct.len(), 200);
        assert!(distinct.iter().all(|number| (1..=254).contains(number)));
        let full = assign((0..300u16).map(|n| n.to_string()), |n| xxh3_64(n.as_bytes()), 1, 254);
        assert_eq!(full.len(), 254, "the rest goes without");
    }
}
