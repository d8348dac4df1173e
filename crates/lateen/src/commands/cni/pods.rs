//! Pods, asked of the API server.

use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

/// How long the API server may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pods of a cluster.
#[derive(Clone)]
pub(super) struct Pods {
    client: kube::Client,
}

/// The kind.
fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod"))
}

impl Pods {
    pub(super) fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// All of them, for a watch.
    pub(super) fn all(&self) -> Api<DynamicObject> {
        Api::all_with(self.client.clone(), &resource())
    }

    fn of(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource())
    }

    /// A pod, if there is one of this name; or what the API server says instead.
    pub(super) async fn get(&self, namespace: &str, name: &str) -> Result<Option<Value>, String> {
        let asked = tokio::time::timeout(PATIENCE, async {
            self.of(namespace).get_opt(name).await.map_err(|error| error.to_string())
        });
        let found = asked.await.map_err(|_| format!("no answer within {PATIENCE:?}"))??;
        Ok(found.map(|pod| value(&pod)))
    }

    /// Deletes a pod of this identity, and no other that has its name since.
    pub(super) async fn delete(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> anyhow::Result<()> {
        let parameters = DeleteParams {
            preconditions: Some(kube::api::Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        self.of(namespace).delete(name, &parameters).await?;
        Ok(())
    }

    /// Gives a pod a label.
    pub(super) async fn label(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"labels": {key: text}}});
        self.of(namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }
}

/// An object as JSON.
pub(super) fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
