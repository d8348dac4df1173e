//! From one revision to the next, and back, while requests go on.

use std::time::Duration;

use anyhow::Context;
use lateen_cluster_tests::load::Load;
use lateen_cluster_tests::{mesh, shop};
use lateen_testkit::cluster::Node;
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(120);

/// Gateways of every revision answer here: clients need not know which there are.
const ENTRANCE: &str = "
apiVersion: v1
kind: Service
metadata: { name: entrance, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  ports: [{ name: http2, port: 80 }]
";

#[test]
fn to_the_next_revision_and_back() -> anyhow::Result<()> {
    let node = mesh::node()?;
    install(&node, "a", &["--tag", "prod"])?;
    node.kubectl().apply(ENTRANCE)?;
    let entrance = node.kubectl().json(["get", "service", "-n", "istio-system", "entrance"])?;
    let entrance = entrance["spec"]["clusterIP"].as_str().context("no address")?;
    shop::open(&node, "istio.io/rev: prod")?;
    let load = Load::start(&node, "upgrade", entrance)?;
    move_between(&node).map_err(|error| error.context(mesh::state(&node)))?;
    load.all_good(&node)
}

fn move_between(node: &Node) -> anyhow::Result<()> {
    install(node, "b", &[])?;
    tag(node, "b", "a")?;
    tag(node, "a", "b")?;
    uninstall(node, "b")?;
    // What b had for a while is a's again, and stayed.
    let injector = ["get", "mutatingwebhookconfiguration", "istio-revision-tag-prod"];
    let injector = node.kubectl().json(injector)?;
    anyhow::ensure!(injector["metadata"]["labels"]["istio.io/rev"] == "a", "{injector}");
    Ok(())
}

fn install(node: &Node, revision: &str, more: &[&str]) -> anyhow::Result<()> {
    let values = mesh::TWO_OF_EACH.iter().flat_map(|value| ["--set", value]);
    let arguments = ["install", "--revision", revision].into_iter().chain(values);
    succeed(node, &arguments.chain(more.iter().copied()).collect::<Vec<_>>()).map(drop)
}

/// Takes a control plane and its gateway away, and waits until the gateway's pods have drained.
fn uninstall(node: &Node, revision: &str) -> anyhow::Result<()> {
    let gateway = format!("istio-ingressgateway-{revision}-");
    let mut pods = shop::pods(node, "istio-system", "istio=ingressgateway")?;
    pods.retain(|pod| pod.starts_with(&gateway));
    anyhow::ensure!(pods.len() == 2, "{pods:?}");
    let printed = succeed(node, &["uninstall", "--revision", revision])?;
    anyhow::ensure!(!printed.contains("revision-tag"), "{printed}");
    shop::gone(node, "istio-system", &pods)
}

fn succeed(node: &Node, arguments: &[&str]) -> anyhow::Result<String> {
    let (succeeded, printed) = mesh::lateen(node, arguments)?;
    anyhow::ensure!(succeeded, "lateen {arguments:?}: {printed}");
    Ok(printed)
}

/// Moves the tag to a revision, and does what `lateen check` says then.
fn tag(node: &Node, revision: &str, former: &str) -> anyhow::Result<()> {
    let printed = succeed(node, &["upgrade", "--revision", revision, "--tag", "prod"])?;
    let moved = format!("moved    tag prod from revision {former}\n");
    anyhow::ensure!(printed.contains(&moved), "{printed}");
    let printed = mesh::check(node)?;
    let mut lines = printed.lines().skip_while(|line| !line.starts_with("!! pod shop/web-"));
    let finding = lines.next().with_context(|| printed.clone())?;
    anyhow::ensure!(finding.contains("outdated"), "{finding}");
    let remedy = lines.next().with_context(|| printed.clone())?;
    let former = shop::pods(node, "shop", "app=web")?;
    mesh::shell(node, remedy.trim())?;
    shop::rolled_out(node, "shop", "web")?;
    shop::gone(node, "shop", &former)?;
    wait::until("the shop is up to date", PATIENCE, || {
        let printed = mesh::check(node)?;
        anyhow::ensure!(!printed.contains("pod shop/web-"), "{printed}");
        Ok(())
    })
}
