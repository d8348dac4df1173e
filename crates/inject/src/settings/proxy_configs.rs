//! ProxyConfig objects: settings of proxies for the mesh, for a namespace, for some workloads.

use std::collections::BTreeMap;

use lateen_api::{Object, Spec};
use serde_json::{Map, Value, json};

use super::ProxySettings;
use crate::decide::Labels;

/// The ProxyConfig objects of a cluster.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProxyConfigs {
    root_namespace: String,
    /// By namespace, the oldest first: of several that apply it is the one that counts.
    by_namespace: BTreeMap<String, Vec<Entry>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    /// Whom it selects; an empty selector selects nobody. None: all workloads.
    labels: Option<Labels>,
    settings: Value,
}

impl ProxyConfigs {
    /// Takes the ProxyConfigs among some objects. Those of the root namespace are for the whole mesh.
    pub fn new<'o>(root_namespace: &str, objects: impl IntoIterator<Item = &'o Object>) -> Self {
        let mut objects: Vec<&Object> = objects.into_iter().collect();
        objects.sort_by_key(|object| (object.meta.creation_timestamp, &object.meta.name));
        let mut by_namespace: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for object in objects {
            let Spec::ProxyConfig(config) = &object.spec else { continue };
            let mut settings = Map::new();
            if let Some(workers) = config.concurrency {
                settings.insert("concurrency".to_owned(), json!(workers));
            }
            if !config.environment_variables.is_empty() {
                settings.insert("proxyMetadata".to_owned(), json!(config.environment_variables));
            }
            let entry = Entry {
                labels: config.selector.as_ref().map(|selector| selector.match_labels.clone()),
                settings: Value::Object(settings),
            };
            by_namespace.entry(object.meta.namespace.clone()).or_default().push(entry);
        }
        Self { root_namespace: root_namespace.to_owned(), by_namespace }
    }

    /// A proxy's settings: those of the mesh, under those of the root namespace, of the pod's namespace, of
    /// the pod's annotation, and of what selects the pod, in this order; of each the oldest alone (Istio:
    /// `EffectiveProxyConfig`).
    #[must_use]
    pub fn effective(
        &self,
        mesh: &ProxySettings,
        namespace: &str,
        labels: &Labels,
        annotation: &Value,
    ) -> ProxySettings {
        let selects = |wanted: &Labels| {
            let has = |(name, value): (&String, &String)| labels.get(name) == Some(value);
            !wanted.is_empty() && wanted.iter().all(has)
        };
        let oldest = |namespace: &str, applies: &dyn Fn(&Entry) -> bool| {
            let mut entries = self.by_namespace.get(namespace).into_iter().flatten();
            entries.find(|entry| applies(entry)).map_or(&Value::Null, |entry| &entry.settings)
        };
        let for_all = |entry: &Entry| entry.labels.is_none();
        let mut settings = mesh.with(oldest(&self.root_namespace, &for_all));
        if namespace != self.root_namespace {
            settings = settings.with(oldest(namespace, &for_all));
        }
        let selecting = |entry: &Entry| entry.labels.as_ref().is_some_and(selects);
        settings.with(annotation).with(oldest(namespace, &selecting))
    }
}
