//! Which hosts the directory of each namespace lists, and in which bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::Touched;
use crate::key::Key;

/// How many hosts a bucket holds on average, at most.
const BUCKET_SIZE: usize = 64;

/// Hosts by namespace and bucket, whatever any scope sees of them. The number of buckets is a power
/// of two that follows from the number of hosts alone.
#[derive(Debug, Default)]
pub(super) struct Directory {
    namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Hosts added or removed since the last time that the directory was settled.
    pending: BTreeMap<(Arc<str>, Arc<str>), i64>,
}

#[derive(Debug, Default)]
struct Namespace {
    hosts: FxHashMap<Arc<str>, i64>,
    buckets: Vec<BTreeSet<Arc<str>>>,
}

impl Directory {
    pub fn add(&mut self, namespace: &Arc<str>, host: &Arc<str>) {
        *self.pending.entry((namespace.clone(), host.clone())).or_default() += 1;
    }

    pub fn remove(&mut self, namespace: &Arc<str>, host: &Arc<str>) {
        *self.pending.entry((namespace.clone(), host.clone())).or_default() -= 1;
    }

    /// Applies what is pending, and touches what it changed.
    pub fn settle(&mut self, touched: &mut Touched) {
        for ((name, host), change) in std::mem::take(&mut self.pending) {
            if change == 0 {
                continue;
            }
            let is_new = !self.namespaces.contains_key(&name);
            let namespace = self.namespaces.entry(name.clone()).or_default();
            if namespace.change(&name, &host, change, touched) || is_new {
                touched.key(Key::Directory);
            }
            if namespace.hosts.is_empty() {
                self.namespaces.remove(&name);
                touched.key(Key::Directory);
            }
        }
    }

    /// Namespaces that have hosts, each with its number of buckets.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Arc<str>, usize)> {
        self.namespaces.iter().map(|(name, namespace)| (name, namespace.buckets.len()))
    }

    /// Number of buckets of a namespace; 0 if it has no hosts.
    pub fn buckets(&self, namespace: &str) -> usize {
        self.namespaces.get(namespace).map_or(0, |namespace| namespace.buckets.len())
    }

    /// Hosts in a bucket, sorted.
    pub fn bucket<'a>(
        &'a self,
        namespace: &str,
        bucket: u32,
    ) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        let namespace = self.namespaces.get(namespace);
        namespace.and_then(|each| each.buckets.get(bucket as usize)).into_iter().flatten()
    }
}

impl Namespace {
    /// Whether the number of buckets changed.
    fn change(
        &mut self,
        name: &Arc<str>,
        host: &Arc<str>,
        change: i64,
        touched: &mut Touched,
    ) -> bool {
        let count = self.hosts.entry(host.clone()).or_default();
        let before = *count > 0;
        *count += change;
        let after = *count > 0;
        if !after {
            self.hosts.remove(host);
        }
        if before == after {
            return false;
        }
        let buckets = bucket_count(self.hosts.len());
        if buckets != self.buckets.len() {
            let most = buckets.max(self.buckets.len());
            self.buckets = vec![BTreeSet::new(); buckets];
            for host in self.hosts.keys() {
                self.buckets[bucket_of(host, buckets)].insert(host.clone());
            }
            for bucket in 0..most {
                touched.key(Key::DirectoryBucket(name.clone(), number(bucket)));
            }
            touched.key(Key::DirectoryBuckets(name.clone()));
            return true;
        }
        let bucket = bucket_of(host, buckets);
        if after {
            self.buckets[bucket].insert(host.clone());
        } else {
            self.buckets[bucket].remove(host);
        }
        touched.key(Key::DirectoryBucket(name.clone(), number(bucket)));
        false
    }
}

fn bucket_count(hosts: usize) -> usize {
    hosts.div_ceil(BUCKET_SIZE).max(1).next_power_of_two()
}

/// The bucket of a name among a power of two of them.
pub(super) fn bucket_of(name: &str, buckets: usize) -> usize {
    // The low bits decide, so that doubling the number splits every bucket in two.
    usize::try_from(xxh3_64(name.as_bytes()) & (buckets as u64 - 1))
        .expect("invariant: less than `buckets`, which is a usize")
}

fn number(bucket: usize) -> u32 {
    u32::try_from(bucket).expect("invariant: fewer than 2^32 hosts")
}
