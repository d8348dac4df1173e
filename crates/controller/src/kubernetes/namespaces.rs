//! The namespaces of the mesh, as the source's batches tell them.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_api::{Kind, Spec};
use lateen_sources::kubernetes::selection::Selection;
use lateen_sources::{Batch, Change};
use tokio::sync::watch;

/// Namespaces in which no workload of a mesh is, as in Istio.
const IGNORED: [&str; 3] = ["kube-public", "kube-node-lease", "local-path-storage"];

/// Follows the namespaces.
#[derive(Debug)]
pub(crate) struct Namespaces {
    selection: Selection,
    known: watch::Sender<Arc<BTreeSet<String>>>,
}

impl Namespaces {
    pub(crate) fn new() -> Self {
        Self { selection: Selection::default(), known: watch::Sender::default() }
    }

    /// The namespaces of the mesh, as they are and as they change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<BTreeSet<String>>> {
        self.known.subscribe()
    }

    /// Takes in what a batch says of them.
    pub(crate) fn take(&mut self, batch: &Batch) {
        let mut concerned = false;
        for change in &batch.changes {
            let reference = change.reference();
            let object = match change {
                Change::Upsert(object) => Some(object),
                Change::Remove(_) => None,
            };
            match reference.kind {
                Kind::Namespace => {
                    let is_leaving =
                        |it: &&Arc<lateen_api::Object>| it.meta.deletion_timestamp.is_some();
                    let labels = object.filter(|it| !is_leaving(it)).map(|it| &it.meta.labels);
                    self.selection.set_namespace(&reference.name, labels);
                }
                Kind::ConfigMap => {
                    let selectors = match object.map(|object| &object.spec) {
                        Some(Spec::MeshConfig(mesh)) => mesh.discovery_selectors.clone(),
                        _ => Vec::new(),
                    };
                    self.selection.set_selectors(selectors);
                }
                _ => continue,
            }
            concerned = true;
        }
        if concerned {
            let known = self.selection.namespaces();
            let known: BTreeSet<String> = known
                .filter(|name| !IGNORED.contains(name) && self.selection.sees(name))
                .map(str::to_owned)
                .collect();
            self.known.send_if_modified(|before| {
                let changed = **before != known;
                if changed {
                    *before = Arc::new(known);
                }
                changed
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(yaml: &str) -> Batch {
        let parsed = lateen_api::parse(yaml, "test.yaml");
        assert!(parsed.rejected.is_empty(), "{:?}", parsed.diagnostics);
        let changes = parsed.objects.into_iter().map(|it| Change::Upsert(Arc::new(it))).collect();
        Batch { changes, ..Batch::default() }
    }

    #[test]
    fn namespaces_of_the_mesh_are_those_that_are_selected() {
        let mut namespaces = Namespaces::new();
        let known = namespaces.subscribe();
        let mut take = |yaml: &str| {
            namespaces.take(&batch(yaml));
            known.borrow().iter().cloned().collect::<Vec<_>>()
        };
        let two = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {mesh: 'on'}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-public}
";
        assert_eq!(take(two), ["other", "shop"]);
        let selectors = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    discoverySelectors: [{matchLabels: {mesh: 'on'}}]
";
        assert_eq!(take(selectors), ["shop"]);
        let leaving = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {mesh: 'on'}, deletionTimestamp: '2026-01-01T00:00:00Z'}
";
        assert!(take(leaving).is_empty());
    }
}
