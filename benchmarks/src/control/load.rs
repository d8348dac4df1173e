//! The objects, and who writes them: sixteen clients at once.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use lateen_scale_tests::mesh::{Size, namespace};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::fleet::Change;

/// Clients that write at once.
const WRITERS: usize = 16;

/// Requests that follow each other.
type Task = Vec<(http::Method, String, Value)>;

/// Writes to the API server.
#[derive(Clone)]
pub struct Writer {
    client: kube::Client,
}

impl Writer {
    /// With the rights of a kubeconfig.
    pub async fn connect(kubeconfig: &Path) -> anyhow::Result<Self> {
        let (read, options) = (Kubeconfig::read_from(kubeconfig)?, KubeConfigOptions::default());
        let config = kube::Config::from_custom_kubeconfig(read, &options).await?;
        Ok(Self { client: kube::Client::try_from(config)? })
    }

    /// Writes namespaces, services, pods and endpoint slices.
    pub async fn fill(&self, size: Size) -> anyhow::Result<()> {
        let root = "istio-system".to_owned();
        let namespaces = (0..size.namespaces).map(namespace).chain([root]).map(|name| {
            let object = json!({"metadata": {"name": name}});
            let account = json!({"metadata": {"name": "default"}});
            vec![
                (http::Method::POST, "/api/v1/namespaces".to_owned(), object),
                (http::Method::POST, format!("/api/v1/namespaces/{name}/serviceaccounts"), account),
            ]
        });
        self.write(namespaces.collect()).await?;
        let services = (0..size.services).map(|service| of_service(size, service));
        self.write(services.collect()).await
    }

    async fn write(&self, tasks: VecDeque<Task>) -> anyhow::Result<()> {
        let tasks = Arc::new(Mutex::new(tasks));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let (writer, tasks) = (self.clone(), Arc::clone(&tasks));
            let next = move || tasks.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            writers.spawn(async move {
                while let Some(task) = next() {
                    for (method, path, body) in task {
                        writer.send(method, &path, &body).await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        while let Some(written) = writers.join_next().await {
            written??;
        }
        Ok(())
    }

    /// Sends a request; what is answered.
    pub async fn send(
        &self,
        method: http::Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let is_patch = method == http::Method::PATCH;
        let kind = if is_patch { "application/merge-patch+json" } else { "application/json" };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind)
            .body(serde_json::to_vec(body)?)?;
        self.client.request(request).await.with_context(|| format!("the API server and {path}"))
    }

    /// A token for a pod, as the kubelet asks for it.
    pub async fn token(&self, namespace: &str, pod: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": pod});
        let spec =
            json!({"audiences": ["istio-ca"], "expirationSeconds": 3600, "boundObjectRef": bound});
        let answer = self.send(http::Method::POST, &path, &json!({"spec": spec})).await?;
        Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
    }

    /// The root that the pods of a namespace mount; waits until it is there.
    pub async fn root(&self, namespace: &str) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert");
        let deadline = tokio::time::Instant::now() + super::fleet::PATIENCE;
        loop {
            match self.send(http::Method::GET, &path, &Value::Null).await {
                Ok(map) => {
                    let root = map["data"]["root-cert.pem"].as_str().context("no root in it")?;
                    return Ok(root.to_owned());
                }
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
    }

    /// Writes what is changed later.
    pub async fn prepare(&self, change: Change, size: Size, service: usize) -> anyhow::Result<()> {
        if change == Change::Route {
            let path = routes_path(&size.namespace(service));
            let own = format!("{path}/service-{service}");
            if self.send(http::Method::GET, &own, &Value::Null).await.is_err() {
                let object = route(size, service, "first");
                self.send(http::Method::POST, &path, &object).await?;
            }
        }
        Ok(())
    }

    /// Makes the change; comes back when the API server has it.
    pub async fn change(
        &self,
        change: Change,
        size: Size,
        service: usize,
        number: usize,
    ) -> anyhow::Result<()> {
        let namespace = size.namespace(service);
        let (path, patch) = match change {
            Change::Endpoint => {
                // One goes and comes back.
                let count = size.endpoints - (number + 1) % 2;
                let path = format!("{}/service-{service}-1", slices_path(&namespace));
                (path, json!({"endpoints": endpoints(size, service, count)}))
            }
            Change::Route => {
                let path = format!("{}/service-{service}", routes_path(&namespace));
                (path, json!({"spec": route(size, service, &format!("edit-{number}"))["spec"]}))
            }
        };
        self.send(http::Method::PATCH, &path, &patch).await?;
        Ok(())
    }
}

fn slices_path(namespace: &str) -> String {
    format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
}

fn routes_path(namespace: &str) -> String {
    format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices")
}

/// The name of a pod behind a service.
pub fn pod_name(service: usize, pod: usize) -> String {
    format!("service-{service}-{pod}")
}

fn address(size: Size, service: usize, pod: usize) -> String {
    let number = service * size.endpoints + pod;
    format!("10.{}.{}.{}", 128 + number / 62_500, number / 250 % 250, number % 250 + 1)
}

/// A service with its pods and its slice.
fn of_service(size: Size, service: usize) -> Task {
    let (namespace, name) = (size.namespace(service), format!("service-{service}"));
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let object = json!({
        "metadata": {"name": name},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080}]
        }
    });
    let mut task =
        vec![(http::Method::POST, format!("/api/v1/namespaces/{namespace}/services"), object)];
    for pod in 0..size.endpoints {
        let pod_name = pod_name(service, pod);
        let object = json!({
            "metadata": {
                "name": pod_name,
                "labels": {"app": name, "security.istio.io/tlsMode": "istio"}
            },
            "spec": {
                "nodeName": format!("node-{}", pod % 10),
                "containers": [{"name": "app", "image": "app"}]
            }
        });
        let address = address(size, service, pod);
        let status = json!({"status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}]
        }});
        task.push((http::Method::POST, pods.clone(), object));
        task.push((http::Method::PATCH, format!("{pods}/{pod_name}/status"), status));
    }
    let slice = json!({
        "metadata": {
            "name": format!("{name}-1"),
            "labels": {"kubernetes.io/service-name": name}
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints(size, service, size.endpoints)
    });
    task.push((http::Method::POST, slices_path(&namespace), slice));
    task
}

fn endpoints(size: Size, service: usize, count: usize) -> Vec<Value> {
    let namespace = size.namespace(service);
    let endpoint = |pod| {
        json!({
            "addresses": [address(size, service, pod)],
            "conditions": {"ready": true, "serving": true},
            "nodeName": format!("node-{}", pod % 10),
            "targetRef": {"kind": "Pod", "name": pod_name(service, pod), "namespace": namespace}
        })
    };
    (0..count).map(endpoint).collect()
}

fn route(size: Size, service: usize, value: &str) -> Value {
    let host = size.host(service);
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": format!("service-{service}")},
        "spec": {
            "hosts": [host],
            "http": [{
                "name": "only",
                "headers": {"request": {"set": {"x-edited": value}}},
                "route": [{"destination": {"host": host, "port": {"number": 80}}}]
            }]
        }
    })
}
