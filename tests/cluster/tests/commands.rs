//! The command line against a cluster, by its kubeconfig and ports of pods, as `lateen` and as
//! `kubectl lateen`: with a sidecar of ours and with an Envoy beside each other.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_cluster_tests::mesh::{self, Engine};
use lateen_testkit::cluster::Node;
use lateen_testkit::mesh::binary;
use lateen_testkit::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(180);

/// From `helm install` until control plane and gateway serve.
const READY: Duration = Duration::from_secs(30);

const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { istio-injection: enabled } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: native, namespace: shop }
spec:
  selector: { matchLabels: { app: web, engine: native } }
  template:
    metadata: { labels: { app: web, engine: native } }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: envoy, namespace: shop }
spec:
  selector: { matchLabels: { app: web, engine: envoy } }
  template:
    metadata:
      labels: { app: web, engine: envoy }
      annotations: { lateen.dev/engine: envoy }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
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
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: web, namespace: shop }
spec:
  action: DENY
  rules: [{ to: [{ operation: { paths: [/secret] } }] }]
"#;

/// Tokens are not checked yet: whoever shows one is refused.
const TOKENS: &str = "
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  jwtRules: [{ issuer: https://issuer.example, jwks: '{\"keys\": []}' }]
";

#[test]
fn the_command_line_finds_the_right_things() -> anyhow::Result<()> {
    let node = mesh::node()?;
    let begun = Instant::now();
    mesh::install(&node, Engine::Native, &[])?;
    let ready = begun.elapsed();
    println!("ready {:.1} s after `helm install`", ready.as_secs_f64());
    assert!(ready <= READY, "ready after {ready:?}\n{}", mesh::state(&node));

    let told = before_anything(&node)
        .and_then(|()| shop(&node))
        .and_then(|()| proxy_status(&node))
        .and_then(|()| proxy_config(&node))
        .and_then(|()| explain(&node))
        .and_then(|()| validate(&node))
        .and_then(|()| check(&node))
        .and_then(|()| plugin(&node))
        .and_then(|()| tokens(&node));
    told.map_err(|error| error.context(mesh::state(&node)))
}

/// `lateen` with the cluster's kubeconfig.
fn lateen(node: &Node, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(binary());
    command.args(arguments);
    mesh::prepare(node, &mut command);
    command.output().context("lateen runs")
}

/// What it prints, when it ends with `code`.
fn told(node: &Node, arguments: &[&str], code: i32) -> anyhow::Result<String> {
    let output = lateen(node, arguments)?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.code() == Some(code),
        "lateen {arguments:?}: {}\n{printed}\n{complaint}",
        output.status
    );
    Ok(printed)
}

fn holds(printed: &str, wanted: &[&str]) -> anyhow::Result<()> {
    for wanted in wanted {
        anyhow::ensure!(printed.contains(wanted), "no {wanted:?} in\n{printed}");
    }
    Ok(())
}

/// The proxy of the gateway is the only one.
fn before_anything(node: &Node) -> anyhow::Result<()> {
    wait::until("the gateway is listed", PATIENCE, || {
        let printed = told(node, &["proxy-status"], 0)?;
        holds(&printed, &["istio-ingressgateway-", ".istio-system", "SYNCED"])
    })
}

fn shop(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(SHOP)?;
    for deployment in ["deployment/native", "deployment/envoy"] {
        node.wait("shop", deployment, "condition=Available", PATIENCE)?;
    }
    Ok(())
}

fn proxy_status(node: &Node) -> anyhow::Result<()> {
    wait::until("every proxy runs on the newest configuration", PATIENCE, || {
        let printed = told(node, &["proxy-status", "-o", "json"], 0)?;
        let proxies: Vec<Value> = serde_json::from_str(&printed)?;
        for (workload, namespace, engine) in [
            ("istio-ingressgateway-", ".istio-system", "native"),
            ("native-", ".shop", "native"),
            ("envoy-", ".shop", "envoy"),
        ] {
            let found = proxies.iter().filter(|proxy| {
                let name = proxy["proxy"].as_str().unwrap_or_default();
                name.starts_with(workload) && name.ends_with(namespace)
            });
            let found: Vec<&Value> = found.collect();
            anyhow::ensure!(found.len() == 1, "{workload} in {printed}");
            anyhow::ensure!(found[0]["data_plane"] == engine, "{workload} in {printed}");
            anyhow::ensure!(found[0]["status"] == "SYNCED", "{workload} in {printed}");
        }
        anyhow::ensure!(proxies.len() == 3, "{printed}");
        Ok(())
    })
}

/// Each kind, of both engines: what it is found by.
fn proxy_config(node: &Node) -> anyhow::Result<()> {
    let web = "web.shop.svc.cluster.local";
    let slice = format!("endpoints/{web}/80/0");
    for (pod, kind, wanted) in [
        ("istio-system/istio-ingressgateway", "listeners", "gateway/80"),
        ("istio-system/istio-ingressgateway", "routes", "gateway/80/http/shop.example"),
        ("istio-system/istio-ingressgateway", "clusters", &format!("destination/{web}/80/")),
        ("istio-system/istio-ingressgateway", "endpoints", &slice),
        ("shop/native", "all", "inbound/shop/native-"),
        ("shop/native", "bootstrap", "settings"),
        ("shop/native", "directory", "directory/shop/0"),
        ("shop/native", "listeners", "inbound/shop/native-"),
        ("shop/native", "policies", "policy/shop/web"),
        ("shop/native", "secrets", "spiffe://cluster.local/ns/shop/sa/default"),
        ("shop/native", "server-info", "\"role\": \"sidecar\""),
        ("shop/native", "failures", "["),
        ("shop/native", "stats", "lateen_"),
        ("shop/envoy", "all", "virtualInbound"),
        ("shop/envoy", "bootstrap", "shop"),
        ("shop/envoy", "listeners", "0.0.0.0:15006"),
        ("shop/envoy", "routes", "virtual hosts"),
        ("shop/envoy", "clusters", &format!("outbound|80||{web}")),
        ("shop/envoy", "endpoints", &format!("outbound|80||{web}")),
        ("shop/envoy", "secrets", "a certificate"),
        ("shop/envoy", "server-info", "LIVE"),
        ("shop/envoy", "stats", "envoy_cluster"),
    ] {
        let printed = told(node, &["proxy-config", kind, pod], 0)?;
        holds(&printed, &[wanted]).with_context(|| format!("proxy-config {kind} {pod}"))?;
        anyhow::ensure!(!printed.contains("PRIVATE KEY"), "proxy-config {kind} {pod} shows a key");
    }
    let printed = told(node, &["proxy-config", "endpoints", "shop/envoy", "-o", "json"], 0)?;
    let clusters: Vec<Value> = serde_json::from_str(&printed)?;
    let cluster = format!("outbound|80||{web}");
    let cluster = clusters.iter().find(|it| it["name"] == *cluster).context(printed.clone())?;
    let endpoints = &cluster["config"]["endpoints"][0]["lb_endpoints"];
    anyhow::ensure!(endpoints.as_array().is_some_and(|it| it.len() == 2), "{cluster:#}");

    told(node, &["proxy-config", "policies", "shop/envoy"], 2)?;
    told(node, &["proxy-config", "all", "shop/nobody"], 2).map(drop)
}

/// The answers are those of the proxies.
fn explain(node: &Node) -> anyhow::Result<()> {
    let gateway = mesh::gateway(node)?;
    let asked = |path: &str, status: &str| {
        wait::until(&format!("{path} is answered with {status}"), PATIENCE, || {
            let format = "%{http_code}";
            let url = format!("http://{gateway}{path}");
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--header", "Host: shop.example", "--output", "/dev/null"]);
            let output = curl.args(["--write-out", format, &url]).output()?;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            anyhow::ensure!(printed == status, "{printed}");
            Ok(())
        })
    };
    let pod = "istio-system/istio-ingressgateway";
    asked("/", "200")?;
    let printed = told(node, &["explain", pod, "GET", "http://shop.example/"], 0)?;
    let rule = "served, by VirtualService shop/web spec.http[0]";
    holds(&printed, &["/shop/native-", "/shop/envoy-", rule])?;
    asked("/secret", "403")?;
    let printed = told(node, &["explain", pod, "GET", "http://shop.example/secret"], 1)?;
    let rule = "refused with 403, by AuthorizationPolicy shop/web spec.rules[0]";
    holds(&printed, &[rule])?;
    for workload in ["shop/native", "shop/envoy"] {
        let printed = told(node, &["explain", workload, "GET", "http://web/", "-o", "json"], 0)?;
        let report: Value = serde_json::from_str(&printed)?;
        let cluster = "outbound|80||web.shop.svc.cluster.local";
        anyhow::ensure!(report["route"]["backends"][0]["destination"] == cluster, "{report:#}");
        anyhow::ensure!(
            report["endpoints"].as_array().is_some_and(|it| it.len() == 2),
            "{report:#}"
        );
    }
    told(node, &["explain", "kube-system/nobody", "GET", "http://web.shop/"], 2).map(drop)
}

/// What the cluster has is what would be taken.
fn validate(node: &Node) -> anyhow::Result<()> {
    let kinds = "gateways.networking.istio.io,virtualservices,authorizationpolicies";
    let get = ["get", kinds, "--namespace", "shop", "--output", "yaml"];
    let file = node.api().folder().join("validated.yaml");
    let objects = node.kubectl().run(get)?;
    std::fs::write(&file, &objects)?;
    let path = file.to_str().context("a path")?;
    let report: Value = serde_json::from_str(&told(node, &["validate", path, "-o", "json"], 0)?)?;
    anyhow::ensure!(report["objects"] == 3 && report["errors"] == 0, "{report:#}");
    std::fs::write(&file, objects.replace("action: DENY", "action: SOMETIMES"))?;
    told(node, &["validate", path], 1).map(drop)
}

fn check(node: &Node) -> anyhow::Result<()> {
    let printed = wait::until("nothing is amiss", PATIENCE, || told(node, &["check"], 0))?;
    holds(&printed, &["ok control plane", "ok gateway istio-system/istio-ingressgateway"])?;
    holds(&printed, &["2 pods of 1 namespaces have current sidecars"])?;
    holds(&printed, &["-- no metrics are served"])
}

/// kubectl finds it by the name of its file.
fn plugin(node: &Node) -> anyhow::Result<()> {
    let folder = node.api().folder().join("plugins");
    std::fs::create_dir_all(&folder)?;
    symlink(binary(), folder.join("kubectl-lateen"))?;
    let kubectl = |arguments: &[&str]| -> anyhow::Result<String> {
        let mut command = Command::new(node.api().programs().path("kubectl"));
        command.arg("lateen").args(arguments);
        mesh::prepare(node, &mut command);
        command.env("PATH", with_folder(&command, &folder)?);
        let output = command.output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "kubectl lateen {arguments:?}: {complaint}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    holds(&kubectl(&["proxy-status"])?, &["envoy-", "native-", ".shop"])?;
    holds(&kubectl(&["proxy-config", "listeners", "shop/native"])?, &["inbound/shop/native-"])?;
    holds(&kubectl(&["explain", "--help"])?, &["Usage: kubectl lateen explain"])
}

fn with_folder(command: &Command, folder: &Path) -> anyhow::Result<std::ffi::OsString> {
    let set = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, path)| path);
    let path = set.context("a PATH")?;
    let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(path));
    Ok(std::env::join_paths(folders)?)
}

/// Of a workload whose tokens cannot be checked, with both engines, by their own addresses.
fn tokens(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(TOKENS)?;
    for engine in ["native", "envoy"] {
        let selector = format!("engine={engine}");
        let pods = node.kubectl().json(["get", "pods", "--namespace", "shop", "-l", &selector])?;
        let address = pods["items"][0]["status"]["podIP"].as_str().context("an address")?;
        let url = format!("http://{address}/");
        let asked = |more: &[&str]| -> anyhow::Result<String> {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
            let output = curl.args(more).arg(&url).output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let token = ["--header", "Authorization: Bearer e30.e30.c2ln"];
        wait::until(&format!("{engine} refuses a token"), PATIENCE, || {
            let status = asked(&token)?;
            anyhow::ensure!(status == "401", "{engine} answered {status}");
            Ok(())
        })?;
        let without = asked(&[])?;
        anyhow::ensure!(without == "200", "{engine} answered {without} without a token");
    }
    Ok(())
}
