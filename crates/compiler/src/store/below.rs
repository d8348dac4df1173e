//! Which hosts lie below a wildcard.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::Touched;
use crate::key::Key;
use crate::node::parent_wildcards;

/// Hosts under each wildcard above them, with the number of nodes that name them.
#[derive(Debug, Default)]
pub(super) struct Below(FxHashMap<Arc<str>, BTreeMap<Arc<str>, usize>>);

impl Below {
    pub fn add(&mut self, host: &Arc<str>, key: fn(Arc<str>) -> Key, touched: &mut Touched) {
        for wildcard in parent_wildcards(host) {
            let wildcard: Arc<str> = wildcard.into();
            *self.0.entry(wildcard.clone()).or_default().entry(host.clone()).or_default() += 1;
            touched.key(key(wildcard));
        }
    }

    pub fn remove(&mut self, host: &Arc<str>, key: fn(Arc<str>) -> Key, touched: &mut Touched) {
        for wildcard in parent_wildcards(host) {
            let wildcard: Arc<str> = wildcard.into();
            if let Some(hosts) = self.0.get_mut(&wildcard) {
                if let Some(count) = hosts.get_mut(host) {
                    *count -= 1;
                    if *count == 0 {
                        hosts.remove(host);
                    }
                }
                if hosts.is_empty() {
                    self.0.remove(&wildcard);
                }
            }
            touched.key(key(wildcard));
        }
    }

    /// Hosts below a wildcard, sorted.
    pub fn get<'a>(&'a self, wildcard: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        self.0.get(wildcard).into_iter().flat_map(BTreeMap::keys)
    }
}
