//! What `docs/operations.md` says of outages: requests go on while parts of the cluster are away, and what
//! is written afterwards is learned. One cluster, one part after the other.

use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_cluster_tests::load::Load;
use lateen_cluster_tests::mesh::{self, Engine};
use lateen_cluster_tests::shop;
use lateen_testkit::cluster::Node;
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(180);

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(60);

const CONTROL_PLANE: [&str; 3] = ["--namespace", "istio-system", "deployment/istiod"];

type Step = (&'static str, fn(&mut Node) -> anyhow::Result<()>);

const STEPS: [Step; 4] = [
    ("etcd is restarted", etcd_restarts),
    ("every control plane is killed at once", control_plane_killed),
    ("the webhooks cannot be reached", webhooks_away),
    ("the API server is away for a minute", api_server_away),
];

#[test]
fn requests_go_on_and_what_comes_afterwards_is_learned() -> anyhow::Result<()> {
    let mut node = mesh::node()?;
    mesh::install(&node, Engine::Native, &mesh::TWO_OF_EACH)?;
    shop::open(&node, "istio-injection: enabled")?;
    for (what, step) in STEPS {
        let begun = Instant::now();
        step(&mut node).map_err(|error| error.context(mesh::state(&node))).context(what)?;
        println!("{what}: {:?}", begun.elapsed());
    }
    Ok(())
}

fn etcd_restarts(node: &mut Node) -> anyhow::Result<()> {
    let load = Load::start(node, "etcd", &mesh::gateway(node)?)?;
    node.api_mut().stop_etcd()?;
    node.api_mut().start_etcd()?;
    learns(node, "etcd")?;
    load.all_good(node)
}

fn control_plane_killed(node: &mut Node) -> anyhow::Result<()> {
    let load = Load::start(node, "killed", &mesh::gateway(node)?)?;
    let kill = ["delete", "pods", "-n", "istio-system", "-l", "app=istiod", "--force"];
    node.kubectl().run([&kill[..], &["--grace-period=0"]].concat())?;
    shop::rolled_out(node, "istio-system", "istiod")?;
    learns(node, "killed")?;
    load.all_good(node)
}

/// Without a control plane: pods of the mesh and its objects are refused, with a reason; others are not; all of it is
/// made up for when it is back.
fn webhooks_away(node: &mut Node) -> anyhow::Result<()> {
    let load = Load::start(node, "webhooks", &mesh::gateway(node)?)?;
    let before = shop::pods(node, "istio-system", "app=istiod")?;
    node.kubectl().run([&["scale", "--replicas=0"][..], &CONTROL_PLANE].concat())?;
    shop::gone(node, "istio-system", &before)?;

    node.kubectl().run(["scale", "-n", "shop", "deployment/web", "--replicas=3"])?;
    let ask = ["get", "events", "-n", "shop", "--field-selector", "reason=FailedCreate"];
    wait::until("the event of the pod that cannot be made", PATIENCE, || {
        let events = node.kubectl().run(ask)?;
        anyhow::ensure!(events.contains("namespace.sidecar-injector.istio.io"), "{events}");
        Ok(())
    })?;
    let refused = node.kubectl().apply(&answering("unheard")).err().context("it was taken")?;
    anyhow::ensure!(format!("{refused:#}").contains("validation.istio.io"), "{refused:#}");
    let outside = "{apiVersion: v1, kind: Pod, metadata: {name: outside, namespace: default}, \
        spec: {containers: [{name: curl, image: \"curlimages/curl:8.16.0\", command: [sleep, infinity]}]}}";
    node.kubectl().apply(outside)?;
    node.wait("default", "pod/outside", "condition=Ready", PATIENCE)?;

    node.kubectl().run([&["scale", "--replicas=2"][..], &CONTROL_PLANE].concat())?;
    shop::rolled_out(node, "istio-system", "istiod")?;
    // The Deployment tries again by itself, after ever longer pauses.
    node.wait("shop", "deployment/web", "jsonpath={.status.readyReplicas}=3", PATIENCE)?;
    learns(node, "webhooks")?;
    load.all_good(node)
}

/// When it is back, Kubernetes may take all nodes for lost, and so all endpoints for unready, until each has
/// reported: what counts is the time without it.
fn api_server_away(node: &mut Node) -> anyhow::Result<()> {
    let mut load = Load::start(node, "away", &mesh::gateway(node)?)?;
    node.api_mut().kill_server()?;
    // The time away is what is tested.
    std::thread::sleep(AWAY);
    load.cut()?;
    node.api_mut().start_server()?;
    learns(node, "away")?;
    for (namespace, deployment, _) in shop::PARTS {
        shop::rolled_out(node, namespace, deployment)?;
    }
    load.all_good(node)?;
    let load = Load::start(node, "back", &mesh::gateway(node)?)?;
    let (namespace, name, selector) = shop::PARTS[0];
    shop::restart(node, namespace, name, selector)?;
    load.all_good(node)
}

/// A change that is written now arrives at the gateway.
fn learns(node: &Node, what: &str) -> anyhow::Result<()> {
    wait::until("the change is taken", PATIENCE, || node.kubectl().apply(&answering(what)))?;
    let url = format!("http://{}/", mesh::gateway(node)?);
    let ask = ["-sSfm5", "-o/dev/null", "-D-", "-HHost: shop.example", &url];
    wait::until("the change arrives", PATIENCE, || {
        let (_, printed) = lateen_testkit::program::run("curl", ask)?;
        anyhow::ensure!(printed.contains(&format!("x-learned: {what}")), "{printed}");
        Ok(())
    })
}

/// The shop's routes, whose answers say so.
fn answering(what: &str) -> String {
    format!(
        "{{apiVersion: networking.istio.io/v1, kind: VirtualService, \
         metadata: {{name: web, namespace: shop}}, spec: {{hosts: [shop.example], gateways: [web], http: [\
         {{headers: {{response: {{set: {{x-learned: {what}}}}}}}, route: [{{destination: {{host: web}}}}]}}]}}}}"
    )
}
