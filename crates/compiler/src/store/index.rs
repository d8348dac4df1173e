//! Nodes under a key, the oldest first.

use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::node::{
    Alias, Authorization, Gateway, PeerAuthentication, Policy, Route, Rule, Secret, Service,
    Sidecar, Source,
};

/// A node that knows its object.
pub(crate) trait Sourced {
    fn source(&self) -> &Source;
}

macro_rules! sourced {
    ($($node:ty),*) => {$(
        impl Sourced for $node {
            fn source(&self) -> &Source {
                &self.source
            }
        }
    )*};
}

sourced!(
    Alias,
    Authorization,
    Gateway,
    PeerAuthentication,
    Policy,
    Route,
    Rule,
    Secret,
    Service,
    Sidecar
);

#[derive(Debug)]
pub(super) struct Index<K, V>(FxHashMap<K, Vec<Arc<V>>>);

impl<K, V> Default for Index<K, V> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<K: Hash + Eq, V: Sourced + PartialEq> Index<K, V> {
    /// The nodes under a key, the oldest first.
    pub fn get(&self, key: &K) -> &[Arc<V>] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }

    pub fn insert(&mut self, key: K, node: &Arc<V>) {
        let row = self.0.entry(key).or_default();
        let at = row.partition_point(|other| other.source() <= node.source());
        row.insert(at, Arc::clone(node));
    }

    pub fn remove(&mut self, key: &K, node: &Arc<V>) {
        let Some(row) = self.0.get_mut(key) else { return };
        if let Some(at) = row.iter().position(|other| other == node) {
            row.remove(at);
        }
        if row.is_empty() {
            self.0.remove(key);
        }
    }
}
