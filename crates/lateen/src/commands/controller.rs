//! `lateen controller`: the control plane.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use lateen_controller::{Controller, Settings};

use super::logging;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The state folder holds the root certificate (root-cert.pem), the keys (mode 0600), a token for each
service account (tokens/NAMESPACE/SERVICEACCOUNT), and for each workload the name of its service
account (workloads/NAMESPACE/NAME), by which its proxy finds its token. A CA of your own goes into
the folder `cacerts`, in Istio's layout (ca-cert.pem, ca-key.pem, root-cert.pem, cert-chain.pem).

Example:
  lateen controller --dir mesh --listen 127.0.0.1:15012 --state state")]
pub struct Arguments {
    /// Folder with the mesh's YAML; followed as it changes.
    #[arg(long)]
    dir: PathBuf,
    /// Where proxies connect.
    #[arg(long, default_value = "127.0.0.1:15012")]
    listen: SocketAddr,
    /// Folder for keys, the root certificate, tokens and service accounts; made at first start.
    #[arg(long)]
    state: PathBuf,
    /// Where health, metrics and debug pages are. Default: 127.0.0.1:15014 or, where another control
    /// plane has that port, a free one, which the log names.
    #[arg(long)]
    monitoring: Option<SocketAddr>,
    /// Where workloads and services are: `local`, on this machine, each at its place in 127.0.0.0/8; or
    /// `real`, at the addresses that their objects say, with traffic captured (15001, 15006).
    #[arg(long, value_enum, default_value = "local")]
    addresses: AddressPlan,
    /// Also serve proxies by plain text, as Istio does on port 15010, for debugging and load tools. A bare
    /// port means loopback. Nobody is asked there who they are: whoever reaches it reads the mesh, but
    /// for its keys.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    plaintext_xds: Option<SocketAddr>,
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
    let mut settings = Settings {
        certificate_lifetime: arguments.certificate_lifetime,
        plaintext: arguments.plaintext_xds,
        ..Settings::new(&arguments.dir, arguments.listen, &arguments.state)
    };
    settings.compiler.local = arguments.addresses == AddressPlan::Local;
    match arguments.monitoring {
        Some(address) => settings.monitoring = address,
        None if std::net::TcpListener::bind(settings.monitoring).is_err() => {
            tracing::warn!(taken = %settings.monitoring, "monitoring gets a free port");
            settings.monitoring.set_port(0);
        }
        None => {}
    }
    let running = Controller::start(settings).await.context("the control plane cannot start")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = running.failed() => anyhow::bail!("the control plane has failed; the log says why"),
    }
    running.shutdown().await;
    Ok(0)
}
