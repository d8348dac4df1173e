//! What the control plane itself reads from the objects: accounts, trust domains, counts.

use std::sync::Arc;

use lateen_api::{Kind, Object, ObjectRef, Spec};
use lateen_compiler::Change;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Accounts;

/// Istio's default.
pub(crate) const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// The ConfigMap with the mesh's configuration, in the root namespace.
const MESH_CONFIG: &str = "istio";

/// See the module.
#[derive(Debug)]
pub(super) struct Inventory {
    root_namespace: String,
    /// Shared with who follows them; copied when they change while somebody has them.
    accounts: Arc<Accounts>,
    accounts_changed: bool,
    counted: FxHashMap<Kind, FxHashSet<ObjectRef>>,
    trust_domains: Arc<[String]>,
}

impl Inventory {
    pub(super) fn new(root_namespace: &str) -> Self {
        Self {
            root_namespace: root_namespace.to_owned(),
            accounts: Arc::default(),
            accounts_changed: true,
            counted: FxHashMap::default(),
            trust_domains: default_trust_domains(),
        }
    }

    /// Takes a change in.
    pub(super) fn apply(&mut self, change: &Change) {
        let (reference, object) = match change {
            Change::Upsert(object) => (object.reference(), Some(&**object)),
            Change::Remove(reference) => (reference.clone(), None),
        };
        match reference.kind {
            Kind::Service | Kind::VirtualService => {
                let counted = self.counted.entry(reference.kind).or_default();
                if object.is_some() {
                    counted.insert(reference);
                } else {
                    counted.remove(&reference);
                }
            }
            Kind::ConfigMap
                if reference.name == MESH_CONFIG && reference.namespace == self.root_namespace =>
            {
                self.trust_domains =
                    object.and_then(trust_domains).unwrap_or_else(default_trust_domains);
            }
            _ => {}
        }
    }

    /// Takes in which service account a workload has now; `None`: the workload is gone.
    pub(super) fn set_account(&mut self, workload: (String, String), account: Option<&str>) {
        if self.accounts.get(&workload).map(String::as_str) == account {
            return;
        }
        self.accounts_changed = true;
        let accounts = Arc::make_mut(&mut self.accounts);
        match account {
            Some(account) => drop(accounts.insert(workload, account.to_owned())),
            None => drop(accounts.remove(&workload)),
        }
    }

    /// The service account of every workload, unless they are what they were when this was asked
    /// last.
    pub(super) fn accounts_if_changed(&mut self) -> Option<Arc<Accounts>> {
        std::mem::take(&mut self.accounts_changed).then(|| Arc::clone(&self.accounts))
    }

    /// The trust domain, then its aliases.
    pub(super) fn trust_domains(&self) -> &Arc<[String]> {
        &self.trust_domains
    }

    /// How many objects of a kind there are; services and virtual services are counted.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counted.get(&kind).map_or(0, FxHashSet::len)
    }
}

fn default_trust_domains() -> Arc<[String]> {
    Arc::new([DEFAULT_TRUST_DOMAIN.to_owned()])
}

fn trust_domains(object: &Object) -> Option<Arc<[String]>> {
    let Spec::MeshConfig(mesh) = &object.spec else { return None };
    let own = std::iter::once(mesh.trust_domain.clone());
    Some(own.chain(mesh.trust_domain_aliases.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upserts(yaml: &str) -> Vec<Change> {
        let parsed = lateen_api::parse(yaml, "test.yaml");
        assert!(parsed.rejected.is_empty(), "{:?}", parsed.diagnostics);
        parsed.objects.into_iter().map(|object| Change::Upsert(Arc::new(object))).collect()
    }

    #[test]
    fn accounts_are_told_when_they_changed() {
        let mut inventory = Inventory::new("istio-system");
        let mut set = |account: Option<&str>| {
            let workload = ("shop".to_owned(), "web-1".to_owned());
            inventory.set_account(workload, account);
            let accounts = inventory.accounts_if_changed()?;
            Some(accounts.values().cloned().collect::<Vec<_>>())
        };
        assert_eq!(set(None), Some(vec![]), "asked for the first time");
        assert_eq!(set(Some("web")), Some(vec!["web".to_owned()]));
        assert_eq!(set(Some("web")), None);
        assert_eq!(set(Some("api")), Some(vec!["api".to_owned()]));
        assert_eq!(set(None), Some(vec![]));
        assert_eq!(set(None), None);
    }

    #[test]
    fn trust_domains_follow_the_mesh_config_of_the_root_namespace() {
        let mut inventory = Inventory::new("istio-system");
        assert_eq!(**inventory.trust_domains(), ["cluster.local"]);
        let config = |namespace: &str| {
            upserts(&format!(
                "
apiVersion: v1
kind: ConfigMap
metadata: {{name: istio, namespace: {namespace}}}
data:
  mesh: |
    trustDomain: example.org
"
            ))
        };
        inventory.apply(&config("elsewhere")[0]);
        assert_eq!(**inventory.trust_domains(), ["cluster.local"]);
        inventory.apply(&config("istio-system")[0]);
        assert_eq!(inventory.trust_domains()[0], "example.org");
        let gone = ObjectRef::new(Kind::ConfigMap, "istio-system", "istio");
        inventory.apply(&Change::Remove(gone));
        assert_eq!(**inventory.trust_domains(), ["cluster.local"]);
    }
}
