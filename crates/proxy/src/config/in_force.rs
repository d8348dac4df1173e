//! The resources that the plan was compiled from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lateen_xds::cut::Cut;

use super::compact;
use crate::handover::Resource;

/// The resources in force, by name: for the admin endpoint and for a successor. Shared with those
/// who show them; changed as one with each cut, at a cost that follows the cut.
#[derive(Debug, Clone, Default)]
pub(super) struct InForce(Arc<Mutex<Resources>>);

type Resources = BTreeMap<Arc<str>, lateen_xds::Resource>;

impl InForce {
    /// Makes the cut's bodies ones that hold no more memory than they need. To be done before
    /// anything keeps a part of them.
    pub(super) fn compact(cut: &mut Cut) {
        for resource in &mut cut.resources {
            resource.body = compact(&resource.body);
        }
    }

    /// Takes over what a cut changes.
    pub(super) fn change(&self, cut: &Cut) {
        let mut resources = self.lock();
        for name in &cut.removed {
            resources.remove(name);
        }
        for resource in &cut.resources {
            resources.insert(Arc::clone(&resource.name), resource.clone());
        }
    }

    /// A copy, in the order of the names. The bodies are shared.
    pub(super) fn copy(&self) -> Vec<Resource> {
        self.lock()
            .values()
            .map(|lateen_xds::Resource { name, version, body }| Resource {
                name: name.to_string(),
                version: version.to_string(),
                body: body.clone(),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, Resources> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
