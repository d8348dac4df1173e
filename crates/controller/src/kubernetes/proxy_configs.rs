//! The ProxyConfig objects of the mesh, as the source's batches tell them, for injection.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_api::{Kind, Object, ObjectRef};
use lateen_inject::settings::ProxyConfigs;
use lateen_sources::{Batch, Change};
use tokio::sync::watch;

/// The label that gives an object to a revision.
const REVISION: &str = "istio.io/rev";

/// Follows the ProxyConfigs.
#[derive(Debug)]
pub(crate) struct FollowedProxyConfigs {
    root_namespace: String,
    /// This control plane's revision; empty: all objects are its business.
    revision: String,
    objects: BTreeMap<ObjectRef, Arc<Object>>,
    known: watch::Sender<Arc<ProxyConfigs>>,
}

impl FollowedProxyConfigs {
    pub(crate) fn new(root_namespace: &str, revision: &str) -> Self {
        Self {
            root_namespace: root_namespace.to_owned(),
            revision: revision.to_owned(),
            objects: BTreeMap::new(),
            known: watch::Sender::default(),
        }
    }

    /// The ProxyConfigs, as they are and as they change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ProxyConfigs>> {
        self.known.subscribe()
    }

    /// Takes in what a batch says of them.
    pub(crate) fn take(&mut self, batch: &Batch) {
        let mut concerned = false;
        for change in &batch.changes {
            let reference = change.reference();
            if reference.kind != Kind::ProxyConfig {
                continue;
            }
            concerned = true;
            match change {
                Change::Upsert(object) if self.is_ours(object) => {
                    self.objects.insert(reference, object.clone());
                }
                Change::Upsert(_) | Change::Remove(_) => drop(self.objects.remove(&reference)),
            }
        }
        if concerned {
            let objects = self.objects.values().map(|object| &**object);
            let known = ProxyConfigs::new(&self.root_namespace, objects);
            self.known.send_replace(Arc::new(known));
        }
    }

    fn is_ours(&self, object: &Object) -> bool {
        let revision = object.meta.labels.get(REVISION);
        self.revision.is_empty() || revision.is_none_or(|revision| *revision == self.revision)
    }
}
