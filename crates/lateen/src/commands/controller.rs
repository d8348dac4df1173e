//! `lateen controller`: the control plane.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use lateen_controller::{Cluster, Controller, Settings};

use super::logging;

/// The port where proxies connect (Istio's).
const DISCOVERY: u16 = 15012;

/// The port where the API server calls the webhooks (Istio's).
const WEBHOOKS: u16 = 15017;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The objects come from a cluster (--kubeconfig; in a pod, the cluster that it runs in) or from a folder
(--dir). In a cluster the certificate authority is that of Istio's secrets `cacerts` or `istio-ca-secret`, the
latter made at the first start; of several control planes of a revision the one that holds the Lease
`lateen-leader` writes the root into each namespace's ConfigMap `istio-ca-root-cert`.

With a folder, the state folder holds the root certificate (root-cert.pem), the keys (mode 0600), a token for
each service account (tokens/NAMESPACE/SERVICEACCOUNT), and for each workload the name of its service
account (workloads/NAMESPACE/NAME), by which its proxy finds its token. A CA of your own goes into
the folder `cacerts`, in Istio's layout (ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem).

Examples:
  lateen controller --kubeconfig ~/.kube/config --plaintext-xds 15010
  lateen controller --dir mesh --listen 127.0.0.1:15012 --state state")]
pub struct Arguments {
    /// Folder with the mesh's YAML; followed as it changes.
    #[arg(long, requires = "state", conflicts_with = "kubeconfig")]
    dir: Option<PathBuf>,
    /// Folder for keys, the root certificate, tokens and service accounts; made at first start.
    #[arg(long, requires = "dir")]
    state: Option<PathBuf>,
    /// The cluster whose objects are read. Default, in a pod: its own.
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    /// Where proxies connect. Default: 127.0.0.1:15012, in a pod [::]:15012, which is
    /// IPv4 too.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where health, metrics and debug pages are. Default: 127.0.0.1:15014 or, where another control
    /// plane has that port, a free one, which the log names; in a pod [::]:15014.
    #[arg(long)]
    monitoring: Option<SocketAddr>,
    /// Where workloads and services are: `local`, on this machine, each at its place in 127.0.0.0/8; or
    /// `real`, at the addresses that their objects say, with traffic captured (15001, 15006). Default:
    /// local for a folder, real in a cluster.
    #[arg(long, value_enum)]
    addresses: Option<AddressPlan>,
    /// Also serve proxies by plain text, as Istio does on port 15010, for debugging and load tools. A bare
    /// port means loopback. Nobody is asked there who they are: whoever reaches it reads the mesh, but
    /// for its keys.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    plaintext_xds: Option<SocketAddr>,
    /// Where the API server calls the webhooks of injection and validation. Default: in a pod [::]:15017,
    /// else nowhere. A bare port means loopback.
    #[arg(long, value_name = "ADDR", value_parser = address, conflicts_with = "dir")]
    webhooks: Option<SocketAddr>,
    /// This control plane's revision: objects labelled with another `istio.io/rev` are left alone, and the
    /// mesh's settings are in the ConfigMap `istio-REVISION`.
    #[arg(long, default_value = "", env = "REVISION")]
    revision: String,
    /// The root namespace, where the mesh's settings and keys are.
    #[arg(long, default_value = "istio-system", env = "POD_NAMESPACE")]
    namespace: String,
    /// The cluster's name.
    #[arg(long, default_value = "Kubernetes", env = "CLUSTER_ID")]
    cluster_id: String,
    /// The network of workloads that do not name theirs.
    #[arg(long, default_value = "", env = "NETWORK")]
    network: String,
    /// What host names of services end in.
    #[arg(long, default_value = "cluster.local", env = "DOMAIN")]
    domain: String,
    /// Who this is among the control planes of a cluster. Default: the host's name.
    #[arg(long, env = "POD_NAME")]
    name: Option<String>,
    /// Lifetime of workload certificates, such as 24h or 90s; they are renewed at half of it.
    #[arg(long, value_parser = duration, default_value = "24h")]
    certificate_lifetime: Duration,
}

/// Where workloads and services are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AddressPlan {
    /// On this machine, at their places in 127.0.0.0/8.
    Local,
    /// At the addresses that their objects say.
    Real,
}

/// Reads an address; a port alone is on loopback.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| "expected a port or an address such as 127.0.0.1:15010".to_owned())
}

/// Reads a duration as Istio's objects write it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    lateen_api::Duration::parse(text)
        .and_then(lateen_api::Duration::to_std)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a positive duration such as 24h, 90s or 1.5s".to_owned())
}

/// Runs until SIGTERM or Ctrl-C; the exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    use tokio::signal::unix::{SignalKind, signal};

    logging::start()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stopped = async || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    let settings = settings(arguments).await?;
    // In a cluster, starting takes as long as the API server lets it wait.
    let running = tokio::select! {
        started = Controller::start(settings) => started.context("the control plane cannot start")?,
        () = stopped() => return Ok(0),
    };
    tokio::select! {
        () = stopped() => {}
        () = running.failed() => anyhow::bail!("the control plane has failed; the log says why"),
    }
    running.shutdown().await;
    Ok(0)
}

async fn settings(arguments: Arguments) -> anyhow::Result<Settings> {
    let in_pod = arguments.dir.is_none() && arguments.kubeconfig.is_none();
    let host: IpAddr =
        if in_pod { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::LOCALHOST.into() };
    let listen = arguments.listen.unwrap_or(SocketAddr::new(host, DISCOVERY));
    let mut settings = match (&arguments.dir, &arguments.state) {
        (Some(dir), Some(state)) => Settings::new(dir, listen, state),
        _ => {
            let name = arguments.name.clone().unwrap_or_else(host_name);
            let cluster = Cluster::connect(arguments.kubeconfig.as_deref(), name).await;
            let cluster = cluster.context("name a cluster (--kubeconfig) or a folder (--dir)")?;
            Settings::in_cluster(cluster, listen)
        }
    };
    settings.certificate_lifetime = arguments.certificate_lifetime;
    settings.plaintext = arguments.plaintext_xds;
    let webhooks = in_pod.then_some(SocketAddr::new(host, WEBHOOKS));
    settings.webhooks = arguments.webhooks.or(webhooks);
    let compiler = &mut settings.compiler;
    if let Some(plan) = arguments.addresses {
        compiler.local = plan == AddressPlan::Local;
    }
    compiler.revision = arguments.revision;
    compiler.root_namespace = arguments.namespace;
    compiler.cluster_id = arguments.cluster_id;
    compiler.network = arguments.network;
    compiler.cluster_domain = arguments.domain;
    settings.monitoring.set_ip(host);
    match arguments.monitoring {
        Some(address) => settings.monitoring = address,
        None if !in_pod && std::net::TcpListener::bind(settings.monitoring).is_err() => {
            tracing::warn!(taken = %settings.monitoring, "monitoring gets a free port");
            settings.monitoring.set_port(0);
        }
        None => {}
    }
    Ok(settings)
}

/// The name of this machine or pod; nobody else's, in a cluster.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
