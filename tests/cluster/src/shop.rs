//! What runs in the mesh while it is operated on: two replicas of NGINX behind a service and the gateway.

use std::time::Duration;

use anyhow::Context;
use lateen_testkit::cluster::Node;
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(180);

const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { LABEL } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
          # Endpoints are told to go before the application does.
          lifecycle: { preStop: { exec: { command: [sleep, "5"] } } }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: web, namespace: shop }
spec:
  maxUnavailable: 1
  selector: { matchLabels: { app: web } }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80 }]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web, namespace: shop }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [shop.example] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web, namespace: shop }
spec:
  hosts: [shop.example]
  gateways: [web]
  http: [{ route: [{ destination: { host: web } }] }]
"#;

/// Opens it in a namespace with this label (`name: value`), and waits until it serves.
///
/// # Errors
/// When it does not come up.
pub fn open(node: &Node, label: &str) -> anyhow::Result<()> {
    node.kubectl().apply(&SHOP.replace("LABEL", label))?;
    node.wait("shop", "deployment/web", "condition=Available", PATIENCE)
}

/// What of the mesh has pods that may be replaced: namespace, Deployment, and the selector of its pods.
pub const PARTS: [(&str, &str, &str); 3] = [
    ("shop", "web", "app=web"),
    ("istio-system", "istio-ingressgateway", "istio=ingressgateway"),
    ("istio-system", "istiod", "app=istiod"),
];

/// The names of the pods that a selector chooses, those that are ending too.
///
/// # Errors
/// When the API server does not say.
pub fn pods(node: &Node, namespace: &str, selector: &str) -> anyhow::Result<Vec<String>> {
    let pods = node.kubectl().json(["get", "pods", "-n", namespace, "-l", selector])?;
    let pods = pods["items"].as_array().context("pods")?;
    pods.iter()
        .map(|pod| Ok(pod["metadata"]["name"].as_str().context("a name")?.to_owned()))
        .collect()
}

/// Waits until none of these pods is there any more.
///
/// # Errors
/// When one of them stays.
pub fn gone(node: &Node, namespace: &str, pods: &[String]) -> anyhow::Result<()> {
    let limit = format!("--timeout={}s", PATIENCE.as_secs());
    for pod in pods {
        let pod = format!("pod/{pod}");
        node.kubectl().run(["wait", "--for=delete", "-n", namespace, &pod, &limit])?;
    }
    Ok(())
}

/// Waits until a Deployment has all its pods, ready, by its present template.
///
/// # Errors
/// When it does not get there.
pub fn rolled_out(node: &Node, namespace: &str, name: &str) -> anyhow::Result<()> {
    let (deployment, limit) =
        (format!("deployment/{name}"), format!("--timeout={}s", PATIENCE.as_secs()));
    node.kubectl().run(["rollout", "status", "-n", namespace, &deployment, &limit])?;
    Ok(())
}

/// Restarts a Deployment, and waits until all former pods (`selector`) have ended.
///
/// # Errors
/// When it does not get there.
pub fn restart(node: &Node, namespace: &str, name: &str, selector: &str) -> anyhow::Result<()> {
    let before = pods(node, namespace, selector)?;
    anyhow::ensure!(before.len() >= 2, "{} pods of {name}", before.len());
    let deployment = format!("deployment/{name}");
    node.kubectl().run(["rollout", "restart", "-n", namespace, &deployment])?;
    rolled_out(node, namespace, name)?;
    gone(node, namespace, &before)
}

/// Has a pod evicted by the Eviction API, as soon as disruption budgets allow.
///
/// # Errors
/// When it may not go.
pub fn evict(node: &Node, namespace: &str, pod: &str) -> anyhow::Result<()> {
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": { "name": pod, "namespace": namespace },
    });
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/eviction");
    wait::until("the pod may be evicted", PATIENCE, || {
        let arguments = ["create", "--raw", &path, "--filename", "-"];
        node.kubectl().with_input(arguments, &eviction.to_string())
    })?;
    Ok(())
}
