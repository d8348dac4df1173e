//! Lateen on a cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::cluster::Node;
use lateen_testkit::mesh::binary;

use crate::images;

/// How long the control plane and the gateway may take. Half a minute is what an operator expects.
const PATIENCE: Duration = Duration::from_secs(120);

/// Values for two replicas of the control plane and of the gateway, so that one may go.
pub const TWO_OF_EACH: [&str; 4] = [
    "gateways.istio-ingressgateway.autoscaleEnabled=false",
    "gateways.istio-ingressgateway.replicaCount=2",
    "pilot.autoscaleEnabled=false",
    "pilot.replicaCount=2",
];

/// The engine of sidecars and gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Ours.
    Native,
    /// Stock Envoy.
    Envoy,
}

impl Engine {
    /// The value of the chart's `proxy.engine`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Envoy => "envoy",
        }
    }
}

/// The checkout.
#[must_use]
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A cluster with the images of Lateen, of NGINX and of curl, and without Lateen.
///
/// # Errors
/// When the cluster does not start, or there are no images (`./image`, `LATEEN_IMAGES`).
pub fn node() -> anyhow::Result<Node> {
    let folder = std::env::var("LATEEN_IMAGES")
        .context("LATEEN_IMAGES: the folder into which ./image wrote")?;
    let node = Node::start()?;
    images::import(&node)?;
    images::import_lateen(&node, Path::new(&folder))?;
    Ok(node)
}

/// Sets up `command` to use the cluster: kubeconfig, and `kubectl` and `helm` on the path.
pub fn prepare(node: &Node, command: &mut Command) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(node.api().programs().folder().to_owned())
        .chain(std::env::split_paths(&path));
    let home = node.api().folder().join("home");
    command
        .current_dir(checkout())
        .env("KUBECONFIG", node.api().kubeconfig())
        // Caches of both programs.
        .env("HOME", home)
        .env_remove("XDG_CACHE_HOME")
        .env("PATH", std::env::join_paths(folders).unwrap_or(path));
}

/// Installs Lateen with the chart, as an operator does, and waits until it serves.
///
/// # Errors
/// When the chart cannot be installed, or something of it does not become ready.
pub fn install(node: &Node, engine: Engine, values: &[&str]) -> anyhow::Result<()> {
    let mut helm = Command::new(node.api().programs().path("helm"));
    helm.args(["install", "lateen", "deploy/helm/lateen", "--namespace", "istio-system"]);
    helm.args(["--create-namespace", "--set"]).arg(format!("proxy.engine={}", engine.name()));
    for value in values {
        helm.args(["--set", value]);
    }
    prepare(node, &mut helm);
    let output = helm.output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "helm install: {complaint}");
    for deployment in ["deployment/istiod", "deployment/istio-ingressgateway"] {
        node.wait("istio-system", deployment, "condition=Available", PATIENCE)?;
    }
    Ok(())
}

/// Runs `lateen` with the cluster's kubeconfig; what it printed, and whether it succeeded.
///
/// # Errors
/// When it cannot be started.
pub fn lateen(node: &Node, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let mut command = Command::new(binary());
    command.args(arguments);
    prepare(node, &mut command);
    let output = command.output()?;
    let printed = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&printed).into_owned()))
}

/// What `lateen check` says.
///
/// # Errors
/// When it cannot be started.
pub fn check(node: &Node) -> anyhow::Result<String> {
    Ok(lateen(node, &["check"])?.1)
}

/// Runs a command line as an operator would; what it printed.
///
/// # Errors
/// When it fails, with what it complained of.
pub fn shell(node: &Node, line: &str) -> anyhow::Result<String> {
    let mut command = Command::new("bash");
    command.args(["-eu", "-c", line]);
    prepare(node, &mut command);
    let output = command.output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{line}: {complaint}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The address of the ingress gateway's service, from this machine.
///
/// # Errors
/// When there is none.
pub fn gateway(node: &Node) -> anyhow::Result<String> {
    let get = ["get", "service", "istio-ingressgateway", "--namespace", "istio-system"];
    let service = node.kubectl().json(get)?;
    Ok(service["spec"]["clusterIP"].as_str().context("the gateway has no address")?.to_owned())
}

/// What an operator would look at first.
#[must_use]
pub fn state(node: &Node) -> String {
    let show = |arguments: &[&str]| {
        node.kubectl().run(arguments).unwrap_or_else(|error| error.to_string())
    };
    let log = |object: &str| {
        show(&["logs", "--namespace", "istio-system", object, "--tail", "40", "--all-containers"])
    };
    [
        show(&["get", "pods", "--all-namespaces", "--output", "wide"]),
        show(&["get", "events", "--all-namespaces", "--field-selector", "type=Warning"]),
        log("deployment/istiod"),
        log("deployment/istio-ingressgateway"),
    ]
    .join("\n")
}
