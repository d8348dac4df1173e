//! What the control plane itself reads from the objects: accounts, trust domains, counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use lateen_api::{Kind, Object, ObjectRef, Spec};
use lateen_compiler::Change;
use rustc_hash::{FxHashMap, FxHashSet};

/// Istio's default.
pub(crate) const DEFAULT_TRUST_DOMAIN: &str = "cluster.local";

/// The ConfigMap with the mesh's configuration, in the root namespace.
const MESH_CONFIG: &str = "istio";

/// The service account of a workload that names none.
pub(super) const DEFAULT_ACCOUNT: &str = "default";

/// See the module.
#[derive(Debug)]
pub(super) struct Inventory {
    root_namespace: String,
    /// Namespace and service account of each workload.
    workloads: FxHashMap<ObjectRef, (String, String)>,
    /// How many workloads have an account.
    accounts: BTreeMap<(String, String), usize>,
    accounts_changed: bool,
    counted: FxHashMap<Kind, FxHashSet<ObjectRef>>,
    trust_domains: Arc<[String]>,
}

impl Inventory {
    pub(super) fn new(root_namespace: &str) -> Self {
        Self {
            root_namespace: root_namespace.to_owned(),
            workloads: FxHashMap::default(),
            accounts: BTreeMap::new(),
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
            Kind::Pod | Kind::WorkloadEntry => {
                self.set_account(reference, object.and_then(account));
            }
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

    /// Namespace and service account of every workload, unless they are what they were when this
    /// was asked last.
    pub(super) fn accounts_if_changed(&mut self) -> Option<BTreeSet<(String, String)>> {
        std::mem::take(&mut self.accounts_changed).then(|| self.accounts.keys().cloned().collect())
    }

    /// The trust domain, then its aliases.
    pub(super) fn trust_domains(&self) -> &Arc<[String]> {
        &self.trust_domains
    }

    /// How many objects of a kind there are; services and virtual services are counted.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.counted.get(&kind).map_or(0, FxHashSet::len)
    }

    fn set_account(&mut self, workload: ObjectRef, account: Option<(String, String)>) {
        let former = match &account {
            Some(account) => self.workloads.insert(workload, account.clone()),
            None => self.workloads.remove(&workload),
        };
        if let Some(account) = account {
            let count = self.accounts.entry(account).or_default();
            *count += 1;
            self.accounts_changed |= *count == 1;
        }
        if let Some(former) = former
            && let Some(count) = self.accounts.get_mut(&former)
        {
            *count -= 1;
            if *count == 0 {
                self.accounts.remove(&former);
                self.accounts_changed = true;
            }
        }
    }
}

fn default_trust_domains() -> Arc<[String]> {
    Arc::new([DEFAULT_TRUST_DOMAIN.to_owned()])
}

fn account(object: &Object) -> Option<(String, String)> {
    let account = match &object.spec {
        Spec::Pod(pod) => &pod.spec.as_ref()?.service_account_name,
        Spec::WorkloadEntry(entry) => &entry.service_account,
        _ => return None,
    };
    let account = if account.is_empty() { DEFAULT_ACCOUNT } else { account };
    Some((object.meta.namespace.clone(), account.to_owned()))
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

    fn accounts(inventory: &mut Inventory) -> Vec<String> {
        let changed = inventory.accounts_if_changed().expect("they changed");
        changed.into_iter().map(|(ns, account)| format!("{ns}/{account}")).collect()
    }

    #[test]
    fn an_account_is_there_while_a_workload_has_it() {
        let mut inventory = Inventory::new("istio-system");
        let pods = upserts(
            "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: shop}
spec: {serviceAccountName: web}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: shop}
spec: {serviceAccountName: web}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop}
spec: {address: 10.0.0.1}
",
        );
        for change in &pods {
            inventory.apply(change);
        }
        assert_eq!(accounts(&mut inventory), ["shop/default", "shop/web"]);
        inventory.apply(&Change::Remove(ObjectRef::new(Kind::Pod, "shop", "a")));
        assert_eq!(inventory.accounts_if_changed(), None);
        inventory.apply(&Change::Remove(ObjectRef::new(Kind::Pod, "shop", "b")));
        inventory.apply(&pods[2]);
        assert_eq!(accounts(&mut inventory), ["shop/default"]);
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
