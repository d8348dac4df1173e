//! The CNI plugin on a node: pods are captured without a privileged container, those that raced it are
//! repaired, and taking it away leaves the node as it was.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_cluster_tests::images;
use lateen_cluster_tests::mesh::{self, Engine};
use lateen_testkit::cluster::Node;
use lateen_testkit::mesh::binary;
use lateen_testkit::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);

/// The node's network configuration.
const CONFLIST: &str = "/etc/cni/net.d/10-bridge.conflist";

/// A namespace that refuses pods with `NET_ADMIN`, a web server and a client in it, mutual TLS only; and a
/// client outside.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: { istio-injection: enabled, pod-security.kubernetes.io/enforce: baseline }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: shop }
spec: { mtls: { mode: STRICT } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          ports: [{ containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  selector: { app: web }
  ports: [{ name: http, port: 80 }]
"#;

/// A web server that answers with its client's address.
const OPEN: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: open, labels: { istio-injection: enabled } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: who, namespace: open }
data:
  who.conf: |
    server { listen 80; location / { return 200 "$remote_addr\n"; } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: transparent, namespace: open }
spec:
  selector: { matchLabels: { app: transparent } }
  template:
    metadata:
      labels: { app: transparent }
      annotations: { sidecar.istio.io/interceptionMode: TPROXY }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          ports: [{ containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
          volumeMounts: [{ name: settings, mountPath: /etc/nginx/conf.d }]
      volumes: [{ name: settings, configMap: { name: who } }]
---
apiVersion: v1
kind: Service
metadata: { name: transparent, namespace: open }
spec:
  selector: { app: transparent }
  ports: [{ name: http, port: 80 }]
"#;

/// A pod with curl.
fn client(namespace: &str, name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, namespace: {namespace} }}\nspec:\n  \
         containers:\n    - {{ name: curl, image: \"curlimages/curl:8.16.0\", command: [sleep, infinity] }}\n"
    )
}

#[test]
fn pods_are_captured_repaired_and_let_go() -> anyhow::Result<()> {
    let node = mesh::node()?;
    let folder = std::env::var("LATEEN_IMAGES")?;
    images::import_cni(&node, Path::new(&folder))?;
    let before = configuration(&node)?;
    mesh::install(&node, Engine::Native, &["cni.enabled=true"])?;
    let outcome = agents_are_ready(&node)
        .and_then(|()| captures(&node))
        .and_then(|()| waits_and_repairs(&node, &before))
        .and_then(|()| leaves_no_trace(&node, &before));
    outcome.map_err(|error| error.context(diagnosis(&node)))
}

/// The web server is reached by mutual TLS from within, and by nothing from outside.
fn captures(node: &Node) -> anyhow::Result<()> {
    let plugins = configuration(node)?["plugins"].clone();
    let last = plugins.as_array().and_then(|plugins| plugins.last()).context("plugins")?;
    anyhow::ensure!(last["type"] == "lateen-cni", "{plugins}");
    let pods = [client("shop", "client"), client("default", "outsider")].concat();
    node.kubectl().apply(&[SHOP, &pods].concat())?;
    node.wait("shop", "deployment/web", "condition=Available", PATIENCE)?;
    node.wait("shop", "pod/client", "condition=Ready", PATIENCE)?;
    node.wait("default", "pod/outsider", "condition=Ready", PATIENCE)?;
    let pod = node.kubectl().json(["get", "pod", "client", "--namespace", "shop"])?;
    let inits: Vec<&str> = pod["spec"]["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|container| container["name"].as_str())
        .collect();
    assert_eq!(inits, ["istio-validation", "istio-proxy"]);
    assert!(!pod["spec"].to_string().contains("NET_ADMIN"));
    reaches(node, "shop", "client", "200")?;
    let mut lateen = Command::new(binary());
    mesh::prepare(node, lateen.arg("check"));
    let checked = String::from_utf8_lossy(&lateen.output()?.stdout).into_owned();
    let finding = "ok CNI plugin, istio-system/istio-cni-node: 1 of 1 nodes have it";
    anyhow::ensure!(checked.contains(finding), "{checked}");
    keeps_addresses(node)?;
    // Not let in without a certificate: the connection is closed, whatever curl calls that.
    reaches(node, "default", "outsider", "000")
}

/// In TPROXY mode the application sees who asks: the proxy has `NET_ADMIN` for it, and the namespace lets it.
fn keeps_addresses(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(OPEN)?;
    node.wait("open", "deployment/transparent", "condition=Available", PATIENCE)?;
    let client = node.kubectl().json(["get", "pod", "client", "--namespace", "shop"])?;
    let address = client["status"]["podIP"].as_str().context("an address")?;
    let curl = "curl -s -m 5 http://transparent.open/ || true";
    let ask =
        ["exec", "--namespace", "shop", "client", "--container", "curl", "--", "sh", "-c", curl];
    wait::until("the application says who asks", PATIENCE, || {
        let seen = node.kubectl().run(ask)?;
        anyhow::ensure!(seen.trim() == address, "{seen:?}, not {address}");
        Ok(())
    })
}

/// Without an agent a pod of the mesh waits, and another starts; one that starts while the plugin is not
/// in place does not run uncaptured. When the agent is back, both do, captured.
fn waits_and_repairs(node: &Node, original: &Value) -> anyhow::Result<()> {
    let place = |selector: &str| {
        let patch =
            format!(r#"{{"spec":{{"template":{{"spec":{{"nodeSelector":{selector}}}}}}}}}"#);
        let daemon_set = ["patch", "daemonset", "istio-cni-node", "--namespace", "istio-system"];
        node.kubectl().run(daemon_set.into_iter().chain(["--patch", &patch]))
    };
    place(r#"{"nowhere":"true"}"#)?;
    let agents =
        ["get", "pods", "--namespace", "istio-system", "--selector", "k8s-app=istio-cni-node"];
    wait::until("the agent is gone", PATIENCE, || {
        let pods = node.kubectl().json(agents)?;
        anyhow::ensure!(pods["items"].as_array().is_some_and(Vec::is_empty), "it is there");
        Ok(())
    })?;
    anyhow::ensure!(configuration(node)? != *original, "the plugin stays for the next agent");

    node.kubectl().apply(&[client("shop", "waiting"), client("default", "plain")].concat())?;
    node.wait("default", "pod/plain", "condition=Ready", PATIENCE)?;
    let events = ["get", "events", "--namespace", "shop", "--field-selector"];
    wait::until("the event that says why", PATIENCE, || {
        let events =
            node.kubectl().run(events.into_iter().chain(["involvedObject.name=waiting"]))?;
        anyhow::ensure!(events.contains("cannot be captured now"), "{events}");
        Ok(())
    })?;

    // As the network's own installer would write it anew.
    write(node, CONFLIST, &original.to_string())?;
    node.kubectl().apply(&client("shop", "raced"))?;
    wait::until("validation finds the pod uncaptured", PATIENCE, || {
        let pod = node.kubectl().json(["get", "pod", "raced", "--namespace", "shop"])?;
        let status = &pod["status"]["initContainerStatuses"][0];
        let codes = ["state", "lastState"].map(|state| &status[state]["terminated"]["exitCode"]);
        anyhow::ensure!(codes.into_iter().any(|code| *code == 126), "{status}");
        Ok(())
    })?;

    place(r#"{"nowhere":null}"#)?;
    agents_are_ready(node)?;
    for name in ["waiting", "raced"] {
        node.wait("shop", &format!("pod/{name}"), "condition=Ready", PATIENCE)?;
        reaches(node, "shop", name, "200")?;
    }
    let agent = ["logs", "--namespace", "istio-system", "daemonset/istio-cni-node"];
    let log = node.kubectl().run(agent)?;
    anyhow::ensure!(log.contains("raced the plugin"), "{log}");
    Ok(())
}

/// Uninstalled, the node is as it was, and pods start.
fn leaves_no_trace(node: &Node, original: &Value) -> anyhow::Result<()> {
    let mut helm = Command::new(node.api().programs().path("helm"));
    helm.args(["uninstall", "lateen", "--namespace", "istio-system"]);
    mesh::prepare(node, &mut helm);
    let output = helm.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait::until("the node's network configuration is as it was", PATIENCE, || {
        let now = configuration(node)?;
        anyhow::ensure!(now == *original, "{now}");
        let program = node.command("test").args(["!", "-e", "/opt/cni/bin/lateen-cni"]).status()?;
        anyhow::ensure!(program.success(), "the plugin's program is there");
        Ok(())
    })?;
    node.kubectl().apply(&client("default", "after"))?;
    node.wait("default", "pod/after", "condition=Ready", PATIENCE)
}

fn agents_are_ready(node: &Node) -> anyhow::Result<()> {
    let limit = format!("--timeout={}s", PATIENCE.as_secs());
    let status = ["rollout", "status", "daemonset/istio-cni-node", "--namespace", "istio-system"];
    // A DaemonSet of which nothing was scheduled yet counts as rolled out.
    wait::until("an agent is ready", PATIENCE, || {
        node.kubectl().run(status.into_iter().chain([limit.as_str()]))?;
        let set = node.kubectl().json([
            "get",
            "daemonset",
            "istio-cni-node",
            "--namespace",
            "istio-system",
        ])?;
        anyhow::ensure!(set["status"]["numberReady"] == 1, "{}", set["status"]);
        Ok(())
    })
}

/// Waits until curl in a pod gets this status (`000`: none) from the web server.
fn reaches(node: &Node, namespace: &str, pod: &str, wanted: &str) -> anyhow::Result<()> {
    let curl = "curl -s -m 5 -o /dev/null -w '%{http_code}' http://web.shop/ || true";
    wait::until(&format!("{wanted} for {namespace}/{pod}"), PATIENCE, || {
        let status = node.kubectl().run([
            "exec",
            "--namespace",
            namespace,
            pod,
            "--container",
            "curl",
            "--",
            "sh",
            "-c",
            curl,
        ])?;
        anyhow::ensure!(status == wanted, "{status}");
        Ok(())
    })
}

fn configuration(node: &Node) -> anyhow::Result<Value> {
    let output = node.command("cat").arg(CONFLIST).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn write(node: &Node, path: &str, text: &str) -> anyhow::Result<()> {
    let script = "printf '%s' \"$1\" > \"$2\"";
    let status = node.command("sh").args(["-c", script, "sh", text, path]).status()?;
    anyhow::ensure!(status.success(), "cannot write {path}");
    Ok(())
}

fn diagnosis(node: &Node) -> String {
    let agent = node.kubectl().run([
        "logs",
        "--namespace",
        "istio-system",
        "--selector",
        "k8s-app=istio-cni-node",
        "--tail",
        "60",
    ]);
    let pods = node.kubectl().run(["describe", "pods", "--namespace", "shop"]);
    let show = |text: anyhow::Result<String>| text.unwrap_or_else(|error| error.to_string());
    [mesh::state(node), show(agent), show(pods)].join("\n")
}
