//! `lateen proxy`: the sidecar of a workload, or a gateway.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use lateen_proxy::run::Proxy;
use lateen_proxy::settings::{Role, Settings};

use super::controller::duration;
use super::logging;

pub mod hooks;
mod pod;

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
    /// In a pod: sidecar or router (a gateway). Elsewhere the mesh's YAML says it.
    #[arg(value_enum, value_name = "ROLE")]
    role: Option<PodRole>,
    /// Where the control plane listens. Default: 127.0.0.1:15012; in a pod discoveryAddress of
    /// PROXY_CONFIG, else CA_ADDR, else istiod.istio-system.svc:15012.
    #[arg(long)]
    controller: Option<String>,
    /// The control plane's state folder, with the root certificate, the tokens and the workloads'
    /// service accounts. Not in a pod.
    #[arg(long, requires = "workload")]
    state: Option<PathBuf>,
    /// NAMESPACE/NAME of the workload. Without it, this is a pod, which says of itself what is needed
    /// by the variables and files that injection gives it (POD_NAME, POD_NAMESPACE, PROXY_CONFIG, …).
    #[arg(long, requires = "state")]
    workload: Option<String>,
    /// Service account of the workload: which token to present. Without it, the one that the
    /// control plane has written into the state folder (workloads/NAMESPACE/NAME).
    #[arg(long)]
    service_account: Option<String>,
    /// What serves: Lateen's own proxy, or a stock Envoy that this process starts, configures and
    /// watches over. Default: in a pod what LATEEN_ENGINE says, else native.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// Envoy's binary. Without it, the `envoy` in PATH.
    #[arg(long, value_name = "PATH", env = "LATEEN_ENVOY", hide_env_values = true)]
    envoy_binary: Option<PathBuf>,
    /// Whether Istio's standard metrics are made from Envoy's access log (engine `envoy` only; the
    /// native proxy always counts).
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    telemetry: bool,
    /// Envoy's log level (engine `envoy` only): trace, debug, info, warning, error, critical, off.
    /// Default: warning.
    #[arg(long, value_name = "LEVEL", env = "LATEEN_ENVOY_LOG_LEVEL", hide_env_values = true)]
    envoy_log_level: Option<String>,
    /// Worker threads. Default: 2; in a pod concurrency of PROXY_CONFIG, else its limit of processors.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// Take the whole scope at once instead of details on demand, to run on without the control
    /// plane for destinations that were never used before. Gateways always do, and so does Envoy.
    #[arg(long)]
    eager: bool,
    /// How long a request waits for the details of a destination that was not used before (engine
    /// `native` only).
    #[arg(long, value_parser = duration, default_value = "1s")]
    details_timeout: Duration,
    /// Unix socket for replacing this proxy in place: the predecessor that listens there hands its
    /// sockets, keys and configuration over, and a successor finds this one there. Engine `native`
    /// only.
    #[arg(long)]
    handover: Option<PathBuf>,
    /// How long connections may take to end after SIGTERM. Default: 45s; in a pod drainDuration of
    /// PROXY_CONFIG comes first.
    #[arg(long, value_parser = duration)]
    drain: Option<Duration>,
    /// How long a line of the access log may wait until it is written.
    #[arg(long, value_parser = duration, default_value = "1s")]
    access_log_flush: Duration,
    /// Flags of Istio's agent that its templates write and that say nothing here.
    #[command(flatten)]
    istio: IstioFlags,
}

/// Flags of Istio's agent that its injection templates write.
#[derive(Debug, clap::Args)]
struct IstioFlags {
    #[arg(long, hide = true, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Stands for --envoy-log-level.
    #[arg(long = "proxyLogLevel", hide = true, value_name = "LEVEL")]
    proxy_log_level: Option<String>,
    #[arg(long = "proxyComponentLogLevel", hide = true, value_name = "LEVELS")]
    proxy_component_log_level: Option<String>,
    #[arg(long = "log_output_level", hide = true, value_name = "LEVELS")]
    log_output_level: Option<String>,
}

/// What a pod's proxy stands for, in Istio's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PodRole {
    /// Beside the pod's application.
    Sidecar,
    /// At the edge of the mesh.
    Router,
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
    let (mut settings, injected) = match (&arguments.workload, &arguments.state) {
        (Some(workload), Some(state)) => {
            let (namespace, name) =
                workload.split_once('/').context("--workload is NAMESPACE/NAME")?;
            (Settings::new("127.0.0.1:15012", namespace, name, state), None)
        }
        _ => in_pod(arguments.role)?,
    };
    let engine = arguments.engine.or(injected).unwrap_or(Engine::Native);
    if let Some(controller) = arguments.controller {
        settings.controller = controller;
    }
    if let Some(workers) = arguments.workers {
        settings.workers = usize::from(workers);
    }
    settings.service_account = arguments.service_account.or(settings.service_account);
    settings.eager = arguments.eager;
    settings.handover = arguments.handover;
    if let Some(drain) = arguments.drain {
        settings.timeouts.drain = drain;
    }
    settings.telemetry.flush = arguments.access_log_flush;
    settings.timeouts.details = arguments.details_timeout;
    if engine == Engine::Envoy {
        anyhow::ensure!(
            settings.handover.is_none(),
            "--handover is for the native proxy: an Envoy is not replaced in place"
        );
        anyhow::ensure!(
            !settings.transparent,
            "TPROXY is for the native proxy: Envoy is captured by REDIRECT only"
        );
        let path = std::env::var_os("PATH");
        let envoy = lateen_agent::version::find(arguments.envoy_binary, path.as_deref())?;
        let mut agent = lateen_agent::Settings::new(settings, envoy);
        agent.telemetry = arguments.telemetry;
        // In a pod this is the folder that may be written.
        let folder = PathBuf::from("/etc/istio/proxy");
        agent.run = Some(folder).filter(|folder| !agent.proxy.local && folder.is_dir());
        agent.envoy_log_level = arguments
            .envoy_log_level
            .or(arguments.istio.proxy_log_level)
            .unwrap_or_else(|| "warning".to_owned());
        lateen_agent::run(agent)?;
        return Ok(0);
    }
    let running = Proxy::new(settings).start().context("the proxy cannot start")?;
    running.wait_for_signals()?;
    Ok(0)
}

/// The settings of a pod's proxy, and the engine that its variables name.
fn in_pod(role: Option<PodRole>) -> anyhow::Result<(Settings, Option<Engine>)> {
    let role = match role {
        None | Some(PodRole::Sidecar) => Role::Sidecar,
        Some(PodRole::Router) => Role::Gateway,
    };
    let cpus = std::thread::available_parallelism()
        .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX));
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let injected = pod::read(role, &variable, cpus)?;
    for notice in injected.notices {
        tracing::warn!(%notice);
    }
    let engine = injected
        .engine
        .map(|name| Engine::from_str(&name, true))
        .transpose()
        .map_err(|problem| anyhow::anyhow!("LATEEN_ENGINE: {problem}"))?;
    Ok((injected.settings, engine))
}
