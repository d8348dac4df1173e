//! Talking to a port of a pod that only listens on its loopback, through the API server.

use http_body_util::{BodyExt, Empty, Limited};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::cluster::{Cluster, ClusterError, refused};

/// The longest answer that is taken, in bytes.
const LONGEST: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// A cluster that refuses.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// No pod that could answer.
    #[error("no running pod in {namespace} has the labels {labels}")]
    NoPod {
        /// Where it was looked for.
        namespace: String,
        /// What it was looked for by.
        labels: String,
    },
    /// A connection that broke, or an answer that is none.
    #[error("{pod}:{port}{path}: {message}")]
    Broken {
        /// NAMESPACE/NAME of the pod.
        pod: String,
        /// The port.
        port: u16,
        /// What was asked for.
        path: String,
        /// What went wrong.
        message: String,
    },
}

/// The running pods with some labels, by name.
///
/// # Errors
/// When the API server refuses, or there is none.
pub async fn running_pods(
    cluster: &Cluster,
    namespace: &str,
    labels: &str,
) -> Result<Vec<String>, ForwardError> {
    let api: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let parameters = ListParams::default().labels(labels).fields("status.phase=Running");
    let pods = api
        .list(&parameters)
        .await
        .map_err(|error| refused(format!("the pods of {namespace}"), error))?;
    let pods: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    if pods.is_empty() {
        return Err(ForwardError::NoPod {
            namespace: namespace.to_owned(),
            labels: labels.to_owned(),
        });
    }
    Ok(pods)
}

/// What a pod answers to `GET path` on a port of its loopback: status and body.
///
/// # Errors
/// When the API server refuses, nobody listens there, or the answer breaks off.
pub async fn get(
    cluster: &Cluster,
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<(u16, Vec<u8>), ForwardError> {
    let broken = |message: String| ForwardError::Broken {
        pod: format!("{namespace}/{pod}"),
        port,
        path: path.to_owned(),
        message,
    };
    let api: Api<Pod> = Api::namespaced(cluster.client().clone(), namespace);
    let mut forward = api.portforward(pod, &[port]).await.map_err(|error| {
        refused(format!("a way to the port {port} of {namespace}/{pod}"), error)
    })?;
    let stream =
        forward.take_stream(port).ok_or_else(|| broken("no stream was opened".to_owned()))?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(|error| broken(error.to_string()))?;
    let driver = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header(http::header::HOST, "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| broken(error.to_string()))?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok::<_, String>((status, body.to_vec()))
    };
    let answer = answer.await.map_err(broken);
    driver.abort();
    forward.abort();
    answer
}
