//! A mesh in operation: who joins it, and what restarts and evictions cost. One cluster for each engine,
//! step by step.

use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_cluster_tests::load::{Load, containers};
use lateen_cluster_tests::mesh::{self, Engine};
use lateen_cluster_tests::shop;
use lateen_testkit::cluster::Node;
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(120);

/// In no labelled namespace; the pod itself asks to join.
const JOINER: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: joiner, namespace: default }
spec:
  selector: { matchLabels: { app: joiner } }
  template:
    metadata: { labels: { app: joiner, sidecar.istio.io/inject: "true" } }
    spec:
      containers:
        - { name: curl, image: "curlimages/curl:8.16.0", command: [sleep, infinity] }
"#;

/// Its first container asks through the mesh before the application starts.
const EARLY: &str = r#"
apiVersion: v1
kind: Pod
metadata: { name: early, namespace: shop }
spec:
  initContainers:
    - name: ask
      image: curlimages/curl:8.16.0
      args: [--silent, --fail, --max-time, "20", http://web/]
  containers:
    - { name: curl, image: "curlimages/curl:8.16.0", command: [sleep, infinity] }
"#;

/// Its sidecar cannot be made.
const IMPOSSIBLE: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: { name: impossible, namespace: shop }
spec:
  selector: { matchLabels: { app: impossible } }
  template:
    metadata:
      labels: { app: impossible }
      annotations: { inject.istio.io/templates: nosuch }
    spec:
      containers:
        - { name: curl, image: "curlimages/curl:8.16.0", command: [sleep, infinity] }
"#;

/// There before its namespace is in the mesh.
const LATE: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: late }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: bare, namespace: late }
spec:
  selector: { matchLabels: { app: bare } }
  template:
    metadata: { labels: { app: bare } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - { name: curl, image: "curlimages/curl:8.16.0", command: [sleep, infinity] }
"#;

type Step = (&'static str, fn(&Node) -> anyhow::Result<()>);

const STEPS: [Step; 6] = [
    ("a pod joins by its own label", joins),
    ("an init container asks through the mesh", asks_early),
    ("a pod that cannot be injected says why", says_why),
    ("check names a pod without a sidecar, and mends it", mends),
    ("restarts lose no request, and a Job with a sidecar completes", restarts),
    ("evictions lose no request", evictions),
];

#[test]
fn with_our_proxy() -> anyhow::Result<()> {
    operate(Engine::Native, &STEPS)
}

/// Who joins is decided without the engine.
#[test]
fn with_envoy() -> anyhow::Result<()> {
    operate(Engine::Envoy, &STEPS[4..])
}

fn operate(engine: Engine, steps: &[Step]) -> anyhow::Result<()> {
    let node = mesh::node()?;
    mesh::install(&node, engine, &mesh::TWO_OF_EACH)?;
    shop::open(&node, "istio-injection: enabled")?;
    for (what, step) in steps {
        let begun = Instant::now();
        step(&node).map_err(|error| error.context(mesh::state(&node))).context(*what)?;
        println!("{what}: {:?}", begun.elapsed());
    }
    Ok(())
}

fn joins(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(JOINER)?;
    node.wait("default", "deployment/joiner", "condition=Available", PATIENCE)?;
    let pods = node.kubectl().json(["get", "pods", "--selector", "app=joiner"])?;
    let found = containers(&pods["items"][0])?;
    anyhow::ensure!(found.contains(&"istio-proxy".to_owned()), "{found:?}");
    let exec = ["exec", "deployment/joiner", "--container", "curl", "--"];
    let ask = ["curl", "-sS", "-o/dev/null", "-w%{http_code}", "http://web.shop/"];
    wait::until("it asks through the mesh", PATIENCE, || {
        let code = node.kubectl().run([exec, ask].concat())?;
        anyhow::ensure!(code == "200", "{code}");
        Ok(())
    })
}

fn asks_early(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(EARLY)?;
    node.wait("shop", "pod/early", "condition=Ready", PATIENCE)
}

fn says_why(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(IMPOSSIBLE)?;
    let ask = ["get", "events", "-n", "shop", "--field-selector", "reason=FailedCreate"];
    wait::until("the event", PATIENCE, || {
        let events = node.kubectl().run(ask)?;
        anyhow::ensure!(events.contains("nosuch"), "{events}");
        Ok(())
    })?;
    node.kubectl().run(["delete", "deployment", "impossible", "--namespace", "shop"])?;
    Ok(())
}

fn mends(node: &Node) -> anyhow::Result<()> {
    node.kubectl().apply(LATE)?;
    node.wait("late", "deployment/bare", "condition=Available", PATIENCE)?;
    node.kubectl().run(["label", "namespace", "late", "istio-injection=enabled"])?;
    let printed = mesh::check(node)?;
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("!! pod late/bare-"));
    let finding = lines.next().with_context(|| printed.clone())?;
    anyhow::ensure!(finding.ends_with(" has no sidecar"), "{finding}");
    let remedy = lines.next().with_context(|| printed.clone())?.trim();
    mesh::shell(node, remedy)?;
    shop::rolled_out(node, "late", "bare")?;
    wait::until("nothing is left to mend", PATIENCE, || {
        let printed = mesh::check(node)?;
        anyhow::ensure!(!printed.contains("!!"), "{printed}");
        Ok(())
    })
}

fn restarts(node: &Node) -> anyhow::Result<()> {
    let load = Load::start(node, "restarts", &mesh::gateway(node)?)?;
    let found = load.containers(node)?;
    anyhow::ensure!(found.contains(&"istio-proxy".to_owned()), "{found:?}");
    for (namespace, name, selector) in shop::PARTS {
        let begun = Instant::now();
        shop::restart(node, namespace, name, selector).with_context(|| format!("of {name}"))?;
        println!("{name} restarted: {:?}", begun.elapsed());
    }
    load.all_good(node)
}

/// Every pod of the mesh goes by the Eviction API, one after the other, when the one before is replaced.
fn evictions(node: &Node) -> anyhow::Result<()> {
    let load = Load::start(node, "evictions", &mesh::gateway(node)?)?;
    for (namespace, name, selector) in shop::PARTS {
        let pods = shop::pods(node, namespace, selector)?;
        anyhow::ensure!(pods.len() >= 2, "{} pods of {name}", pods.len());
        for pod in &pods {
            shop::evict(node, namespace, pod)?;
            shop::rolled_out(node, namespace, name)?;
        }
        shop::gone(node, namespace, &pods)?;
    }
    load.all_good(node)
}
