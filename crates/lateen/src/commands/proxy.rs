//! `lateen proxy`: the sidecar of a workload, or a gateway.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use lateen_proxy::run::Proxy;
use lateen_proxy::settings::Settings;

use super::controller::duration;
use super::logging;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Whether the proxy is a sidecar or a gateway is decided by the mesh's YAML: a workload that a Gateway
selects is a gateway. `lateen addresses` says where it listens.

Examples:
  lateen proxy --controller 127.0.0.1:15012 --state state --workload shop/visitor
  lateen proxy --controller 127.0.0.1:15012 --state state --workload shop/visitor --handover /run/visitor.sock")]
pub struct Arguments {
    /// Where the control plane listens.
    #[arg(long, default_value = "127.0.0.1:15012")]
    controller: String,
    /// The control plane's state folder, with the root certificate, the tokens and the workloads'
    /// service accounts.
    #[arg(long)]
    state: PathBuf,
    /// NAMESPACE/NAME of the workload.
    #[arg(long)]
    workload: String,
    /// Service account of the workload: which token to present. Without it, the one that the
    /// control plane has written into the state folder (workloads/NAMESPACE/NAME).
    #[arg(long)]
    service_account: Option<String>,
    /// Worker threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Take the whole scope at once instead of details on demand, to run on without the control
    /// plane for destinations that were never used before. Gateways always do.
    #[arg(long)]
    eager: bool,
    /// Unix socket for replacing this proxy in place: the predecessor that listens there hands its
    /// sockets, keys and configuration over, and a successor finds this one there.
    #[arg(long)]
    handover: Option<PathBuf>,
    /// How long connections may take to end after SIGTERM.
    #[arg(long, value_parser = duration, default_value = "45s")]
    drain: Duration,
}

/// Runs until SIGTERM and drained; the exit code.
pub fn run(arguments: Arguments) -> anyhow::Result<i32> {
    logging::start()?;
    let (namespace, name) =
        arguments.workload.split_once('/').context("--workload is NAMESPACE/NAME")?;
    let mut settings = Settings::new(&arguments.controller, namespace, name, &arguments.state);
    settings.workers = usize::from(arguments.workers);
    settings.service_account = arguments.service_account;
    settings.eager = arguments.eager;
    settings.handover = arguments.handover;
    settings.timeouts.drain = arguments.drain;
    let running = Proxy::new(settings).start().context("the proxy cannot start")?;
    running.wait_for_signals()?;
    Ok(0)
}
