//! What the control plane reads and writes in a cluster, beside the objects of the mesh.
//!
//! - [`access`]: which gateways may have keys.
//! - [`authority`]: the key of the certificate authority, in Istio's secrets.
//! - [`proxy_configs`]: settings of proxies, for injection.
//! - [`renewal`]: that key and its root as time goes by.
//! - [`reviews`]: who a token belongs to, by the API server's word.
//! - [`lease`]: which of several control planes writes.
//! - [`roots`]: the root certificate in every namespace.
//! - [`namespaces`]: which namespaces those are.
//! - [`findings`]: what is wrong with objects as they work together.
//! - [`status`]: what became of an object, in its status.

pub(crate) mod access;
pub(crate) mod authority;
pub(crate) mod findings;
pub(crate) mod lease;
pub(crate) mod namespaces;
pub(crate) mod proxy_configs;
pub(crate) mod renewal;
pub(crate) mod reviews;
pub(crate) mod roots;
pub(crate) mod status;

/// What this control plane writes is marked as its own: field manager and `app.kubernetes.io/managed-by`.
pub(crate) const MANAGER: &str = "lateen";

/// The label of what is managed by somebody.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// The HTTP status of an API server's refusal; none for what is no refusal.
pub(crate) fn refusal(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// How long the API server may take to answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Asks the API server something, and does not wait forever: one that stalls holds its connections open.
pub(crate) async fn asked<T>(question: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    let answer = tokio::time::timeout(PATIENCE, question).await;
    answer.unwrap_or_else(|late| Err(kube::Error::Service(late.into())))
}
