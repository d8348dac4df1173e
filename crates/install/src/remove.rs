//! Taking an installation away, with what its control plane wrote.

use serde_json::Value;

use crate::cluster::{Cluster, ClusterError};
use crate::install::Done;
use crate::kinds::Kind;
use crate::record::{Owned, Record};

/// What to take away.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The namespace of the control plane.
    pub namespace: String,
    /// The revision; empty for the default one.
    pub revision: String,
    /// Whether the root's key, the definitions of kinds (and with them every object of theirs), and the
    /// namespace go as well, as far as they are Lateen's. They only go with the last revision.
    pub purge: bool,
}

fn kind(api_version: &str, kind: &str) -> &'static Kind {
    Kind::find(api_version, kind).expect("invariant: the kind is in the table")
}

fn label<'o>(object: &'o Value, name: &str) -> &'o str {
    object["metadata"]["labels"][name].as_str().unwrap_or_default()
}

fn is_lateens(object: &Value) -> bool {
    label(object, "app.kubernetes.io/managed-by") == "lateen"
        || label(object, "app.kubernetes.io/part-of") == "lateen"
}

impl Removal {
    /// Takes it away; whether there was anything.
    ///
    /// # Errors
    /// When the API server refuses something; what is gone is gone, and the removal can be repeated.
    pub async fn carry_out(
        &self,
        cluster: &Cluster,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<bool, ClusterError> {
        let record = Record::read(cluster, &self.namespace, &self.revision).await?;
        let found = record.is_some();
        for owned in record.unwrap_or_default().objects.iter().rev() {
            self.delete(cluster, owned, progress).await?;
        }
        let lease = match self.revision.as_str() {
            "" => "lateen-leader".to_owned(),
            revision => format!("lateen-leader-{revision}"),
        };
        let lease = Owned {
            kind: kind("coordination.k8s.io/v1", "Lease"),
            namespace: self.namespace.clone(),
            name: lease,
        };
        self.delete(cluster, &lease, progress).await?;
        if found {
            Record::delete(cluster, &self.namespace, &self.revision).await?;
        }
        if Record::all(cluster).await?.is_empty() && !helm_remains(cluster).await? {
            self.last(cluster, progress).await?;
        }
        Ok(found)
    }

    /// What goes with the last control plane of Lateen.
    async fn last(
        &self,
        cluster: &Cluster,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<(), ClusterError> {
        if !istio_remains(cluster).await? {
            let roots = cluster.named(kind("v1", "ConfigMap"), "istio-ca-root-cert").await?;
            for root in roots.iter().filter(|root| is_lateens(root)).filter_map(Owned::of) {
                self.delete(cluster, &root, progress).await?;
            }
        }
        if !self.purge {
            return Ok(());
        }
        let secrets = kind("v1", "Secret");
        let secret = cluster.get(secrets, &self.namespace, "istio-ca-secret").await?;
        for secret in secret.iter().filter(|secret| is_lateens(secret)).filter_map(Owned::of) {
            self.delete(cluster, &secret, progress).await?;
        }
        let definitions = kind("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let ours = cluster.list(definitions, "", "app.kubernetes.io/part-of=lateen").await?;
        for definition in ours.iter().filter_map(Owned::of) {
            self.delete(cluster, &definition, progress).await?;
        }
        let namespaces = kind("v1", "Namespace");
        let namespace = cluster.get(namespaces, "", &self.namespace).await?;
        for namespace in namespace.iter().filter(|it| is_lateens(it)).filter_map(Owned::of) {
            self.delete(cluster, &namespace, progress).await?;
        }
        Ok(())
    }

    async fn delete(
        &self,
        cluster: &Cluster,
        owned: &Owned,
        progress: &mut dyn FnMut(&Done),
    ) -> Result<(), ClusterError> {
        if cluster.delete(owned.kind, &owned.namespace, &owned.name).await? {
            progress(&Done::Deleted(owned.to_string()));
        }
        Ok(())
    }
}

async fn injectors(cluster: &Cluster) -> Result<Vec<Value>, ClusterError> {
    let webhooks = kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration");
    cluster.list(webhooks, "", "app=sidecar-injector").await
}

/// Whether Helm keeps a control plane of ours.
async fn helm_remains(cluster: &Cluster) -> Result<bool, ClusterError> {
    Ok(injectors(cluster).await?.iter().any(is_lateens))
}

/// Whether there is an Istio.
pub(crate) async fn istio_remains(cluster: &Cluster) -> Result<bool, ClusterError> {
    Ok(injectors(cluster).await?.iter().any(|webhook| !is_lateens(webhook)))
}

/// The installations of a cluster that this program made: namespace and revision.
///
/// # Errors
/// When the API server refuses to list them.
pub async fn installations(cluster: &Cluster) -> Result<Vec<(String, String)>, ClusterError> {
    Record::all(cluster).await
}
