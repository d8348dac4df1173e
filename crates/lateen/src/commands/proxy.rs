//! `lateen proxy`: the sidecar of a workload, or a gateway.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
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
  lateen proxy --controller 127.0.0.1:15012 --state state --workload shop/visitor --handover /run/visitor.sock
  lateen proxy --controller 127.0.0.1:15012 --state state --workload shop/visitor --engine envoy --envoy-binary /usr/bin/envoy")]
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
    /// What serves: Lateen's own proxy, or a stock Envoy that this process starts, configures and
    /// watches over.
    #[arg(long, value_enum, default_value = "native")]
    engine: Engine,
    /// Envoy's binary. Without it, the `envoy` in PATH.
    #[arg(long, value_name = "PATH", env = "LATEEN_ENVOY", hide_env_values = true)]
    envoy_binary: Option<PathBuf>,
    /// Whether Istio's standard metrics are made from Envoy's access log (engine `envoy` only; the
    /// native proxy always counts).
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    telemetry: bool,
    /// Envoy's log level (engine `envoy` only): trace, debug, info, warning, error, critical, off.
    #[arg(long, value_name = "LEVEL", default_value = "warning")]
    envoy_log_level: String,
    /// Worker threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Take the whole scope at once instead of details on demand, to run on without the control
    /// plane for destinations that were never used before. Gateways always do, and so does Envoy.
    #[arg(long)]
    eager: bool,
    /// Unix socket for replacing this proxy in place: the predecessor that listens there hands its
    /// sockets, keys and configuration over, and a successor finds this one there. Engine `native`
    /// only.
    #[arg(long)]
    handover: Option<PathBuf>,
    /// How long connections may take to end after SIGTERM.
    #[arg(long, value_parser = duration, default_value = "45s")]
    drain: Duration,
    /// How long a line of the access log may wait until it is written.
    #[arg(long, value_parser = duration, default_value = "1s")]
    access_log_flush: Duration,
}

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// Lateen's own proxy.
    Native,
    /// A stock Envoy.
    Envoy,
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
    settings.telemetry.flush = arguments.access_log_flush;
    if arguments.engine == Engine::Envoy {
        anyhow::ensure!(
            settings.handover.is_none(),
            "--handover is for the native proxy: an Envoy is not replaced in place"
        );
        let path = std::env::var_os("PATH");
        let envoy = lateen_agent::version::find(arguments.envoy_binary, path.as_deref())?;
        let mut agent = lateen_agent::Settings::new(settings, envoy);
        agent.telemetry = arguments.telemetry;
        agent.envoy_log_level = arguments.envoy_log_level;
        lateen_agent::run(agent)?;
        return Ok(0);
    }
    let running = Proxy::new(settings).start().context("the proxy cannot start")?;
    running.wait_for_signals()?;
    Ok(0)
}
