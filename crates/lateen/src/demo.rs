//! `lateen demo`: a whole mesh on loopback.
//!
//! A control plane, an ingress gateway and four sample workloads with their sidecars, each a
//! process of its own, on YAML in a folder that the user may edit.

pub mod backend;
mod check;
mod engine;
mod files;
mod http;
mod metrics;
mod ports;
pub mod processes;
pub mod sabotage;
mod table;
pub mod visitor;

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

pub use self::http::get;
use crate::commands::addresses::Addresses;
use check::Site;
use engine::Engine;
use files::Folders;
use processes::Processes;
use sabotage::Sabotage;

/// How long the whole mesh may take to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// The workloads with an application: name, application, version.
const APPLICATIONS: &[(&str, &str, &str)] =
    &[("catalog-v1", "catalog", "v1"), ("catalog-v2", "catalog", "v2"), ("orders", "orders", "v1")];

/// What the visitor asks for, over and over: mostly what works, now and then what needs a retry.
const ERRANDS: &[(&str, &str)] = &[
    ("catalog", "/"),
    ("orders", "/"),
    ("catalog", "/"),
    ("catalog", "/"),
    ("orders", "/"),
    ("catalog", "/fragile"),
];

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0, or 1 when the mesh does not start, a part of it fails, or a promise is not kept.

Examples:
  lateen demo
  lateen demo --dir sample
  lateen demo --check
  lateen demo --check --engine mixed
  lateen demo --check --sabotage weight-ignored")]
pub struct Arguments {
    /// Assert the promises from outside and exit; non-zero when one is not kept.
    #[arg(long)]
    check: bool,
    /// Break one promise on purpose, to show that the checks can fail (needs --check).
    #[arg(long, value_enum, requires = "check")]
    sabotage: Option<Sabotage>,
    /// What serves: Lateen's own proxy, a stock Envoy, or half the workloads each.
    #[arg(long, value_enum, default_value = "native")]
    engine: Engine,
    /// Envoy's binary. Without it, the `envoy` in PATH.
    #[arg(long, value_name = "PATH", env = "LATEEN_ENVOY", hide_env_values = true)]
    envoy_binary: Option<PathBuf>,
    /// Folder for YAML, state and logs; must be new or empty. Default: a new one in the temporary
    /// folder, removed at the end.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Worker threads of each proxy.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// End after this many seconds instead of at Ctrl-C.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs the demo. The exit code: 0, or 1 when a check failed.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let root = Root::make(arguments.dir.clone())?;
    let folders = Folders::create(root.path())?;
    if let Some(sabotage) = arguments.sabotage {
        sabotage.apply(&folders)?;
    }
    let envoy = match arguments.engine {
        Engine::Native => None,
        Engine::Envoy | Engine::Mixed => {
            let path = std::env::var_os("PATH");
            Some(lateen_agent::version::find(arguments.envoy_binary.clone(), path.as_deref())?)
        }
    };
    let mut processes = Processes::new(std::env::current_exe()?, &folders.logs);
    let outcome = tokio::select! {
        outcome = drive(&arguments, envoy.as_deref(), &folders, &mut processes) => outcome,
        signal = ended() => signal.map(|()| 0),
    };
    processes.stop().await;
    outcome
}

/// Waits for Ctrl-C or SIGTERM.
async fn ended() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
    println!();
    Ok(())
}

async fn drive(
    arguments: &Arguments,
    envoy: Option<&Path>,
    folders: &Folders,
    processes: &mut Processes,
) -> anyhow::Result<i32> {
    let begun = Instant::now();
    let addresses = Addresses::of_directory(&folders.mesh)?;
    let site = start(arguments, envoy, folders, addresses, processes).await?;
    let took = begun.elapsed();
    if arguments.engine == Engine::Mixed {
        println!("{}", engine::Engine::halves(&site.addresses));
    }
    if arguments.check {
        return verdict(&site, arguments.sabotage).await;
    }
    introduce(&site, took);
    let scraped = site.addresses.workloads.iter().filter_map(|workload| workload.metrics).collect();
    let mut table = table::Table::new(scraped, std::io::stdout().is_terminal());
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        if arguments.seconds.is_some_and(|limit| begun.elapsed().as_secs() >= limit) {
            return Ok(0);
        }
        if let Some(failure) = processes.failed() {
            bail!("{failure}");
        }
        table.refresh().await?;
    }
}

async fn verdict(site: &Site, sabotage: Option<Sabotage>) -> anyhow::Result<i32> {
    let failed = check::run(site).await?;
    match (failed.as_slice(), sabotage) {
        ([], None) => println!("all promises are kept"),
        ([], Some(sabotage)) => {
            println!("{sabotage:?} should have broken `{}` and broke nothing", sabotage.breaks());
        }
        (names, _) => println!("broken: {}", names.join(", ")),
    }
    Ok(i32::from(!failed.is_empty()))
}

/// Starts everything and waits until every proxy is ready.
async fn start(
    arguments: &Arguments,
    envoy: Option<&Path>,
    folders: &Folders,
    addresses: Addresses,
    processes: &mut Processes,
) -> anyhow::Result<Site> {
    unoccupied(&addresses)?;
    let controller = ports::free()?;
    let monitoring = ports::free()?;
    let path = |path: &PathBuf| path.display().to_string();
    processes.start_role(
        "controller",
        [
            "controller",
            "--dir",
            &path(&folders.mesh),
            "--listen",
            &controller.to_string(),
            "--monitoring",
            &monitoring.to_string(),
            "--state",
            &path(&folders.state),
        ],
    )?;
    for (workload, application, version) in APPLICATIONS {
        let listen = addresses.application("shop", workload, 8080)?;
        start_application(folders, processes, workload, listen, (application, version))?;
    }
    for workload in &addresses.workloads {
        let mut options = vec![
            "proxy".to_owned(),
            "--controller".to_owned(),
            controller.to_string(),
            "--state".to_owned(),
            path(&folders.state),
            "--workload".to_owned(),
            format!("{}/{}", workload.namespace, workload.name),
            "--workers".to_owned(),
            arguments.workers.to_string(),
        ];
        if let Some(envoy) = envoy.filter(|_| arguments.engine.is_envoy_at(&workload.name)) {
            options.extend(["--engine", "envoy", "--envoy-binary"].map(ToOwned::to_owned));
            options.push(envoy.display().to_string());
        }
        processes.start_role(&format!("{}-proxy", workload.name), options)?;
    }
    ready(&addresses, processes).await?;
    if !arguments.check {
        start_visitor(&addresses, processes)?;
    }
    let gateway = addresses.listener("istio-system", "ingressgateway", 80)?;
    Ok(Site { folders: folders.clone(), addresses, gateway, sabotage: arguments.sabotage })
}

/// Fails when another mesh of the same YAML runs on this machine: the addresses follow from the
/// names, so both would want the same.
fn unoccupied(addresses: &Addresses) -> anyhow::Result<()> {
    for health in addresses.workloads.iter().filter_map(|workload| workload.health) {
        std::net::TcpListener::bind(health).with_context(|| {
            format!("{health} is taken: does another demo run on this machine?")
        })?;
    }
    Ok(())
}

fn start_application(
    folders: &Folders,
    processes: &mut Processes,
    workload: &str,
    listen: SocketAddr,
    (application, version): (&str, &str),
) -> anyhow::Result<()> {
    match backend::nginx() {
        Some(nginx) if application == "catalog" => {
            let folder = folders.root.join(workload);
            std::fs::create_dir_all(&folder)?;
            let configuration = folder.join("nginx.conf");
            let text = backend::nginx_configuration(&folder, listen, application, version);
            std::fs::write(&configuration, text)?;
            let folder = folder.display().to_string();
            let configuration = configuration.display().to_string();
            processes.start(workload, &nginx, ["-p", &folder, "-c", &configuration, "-e", "stderr"])
        }
        _ => processes.start_role(
            workload,
            [
                "demo-backend",
                "--listen",
                &listen.to_string(),
                "--application",
                application,
                "--release",
                version,
            ],
        ),
    }
}

fn start_visitor(addresses: &Addresses, processes: &mut Processes) -> anyhow::Result<()> {
    let mut arguments = vec!["demo-visitor".to_owned()];
    for (service, path) in ERRANDS {
        let host = format!("{service}.shop.svc.cluster.local");
        let address = addresses.service("shop", "visitor", &host, 80)?;
        arguments.push(format!("{address}={host}{path}"));
    }
    processes.start_role("visitor", arguments)
}

/// Waits until every proxy says that it is ready and every application answers.
async fn ready(addresses: &Addresses, processes: &mut Processes) -> anyhow::Result<()> {
    let begun = Instant::now();
    for workload in &addresses.workloads {
        let Some(health) = workload.health else { continue };
        while !is_ready(health).await {
            if let Some(failure) = processes.failed() {
                bail!("{failure}");
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "the proxy of {}/{} is not ready after {PATIENCE:?}; see {}",
                    workload.namespace,
                    workload.name,
                    processes.log(&format!("{}-proxy", workload.name)).display()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for (workload, ..) in APPLICATIONS {
        let address = addresses.application("shop", workload, 8080)?;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if let Some(failure) = processes.failed() {
                bail!("{failure}");
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{workload} does not listen on {address}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn is_ready(health: SocketAddr) -> bool {
    let answer = http::get(health, "localhost", "/healthz/ready", Duration::from_secs(1)).await;
    matches!(answer, Ok((200, _)))
}

fn introduce(site: &Site, took: Duration) {
    println!("A mesh on loopback, ready after {} ms.\n", took.as_millis());
    println!("  {:<32} {:<22} {:<22}", "WORKLOAD", "PROXY", "ADMIN");
    for workload in &site.addresses.workloads {
        let show = |address: Option<SocketAddr>| address.map_or("-".to_owned(), |a| a.to_string());
        println!(
            "  {:<32} {:<22} {:<22}",
            format!("{}/{}", workload.namespace, workload.name),
            workload.proxy.map_or("-".to_owned(), |address| address.to_string()),
            show(workload.admin),
        );
    }
    println!("\nTry, from outside, through the gateway:");
    println!("  curl -H 'Host: shop.example' http://{}/", site.gateway);
    println!("  curl -H 'Host: shop.example' http://{}/orders/", site.gateway);
    println!("  curl -H 'Host: shop.example' http://{}/forbidden", site.gateway);
    if let Ok(catalog) = site.seen_from("visitor", "catalog") {
        println!("Try, as the visitor, through its sidecar:");
        println!("  curl http://{catalog}/");
        println!("  curl http://{catalog}/internal");
    }
    println!("\nEdit the mesh and watch: {}", site.folders.mesh.display());
    println!("Weights are in 50-routes.yaml, policies in 60-policy.yaml.");
    println!("Logs: {}\nCtrl-C ends everything.\n", site.folders.logs.display());
}

/// The folder of one run; a temporary one is removed at the end.
enum Root {
    Given(PathBuf),
    Temporary(PathBuf),
}

impl Root {
    fn make(given: Option<PathBuf>) -> anyhow::Result<Self> {
        if let Some(path) = given {
            std::fs::create_dir_all(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            let mut entries = std::fs::read_dir(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            anyhow::ensure!(
                entries.next().is_none(),
                "{} is not empty; the demo writes its own files into a new folder",
                path.display()
            );
            return Ok(Self::Given(path));
        }
        let path = std::env::temp_dir().join(format!("lateen-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self::Temporary(path))
    }

    fn path(&self) -> &std::path::Path {
        match self {
            Self::Given(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self
            && let Err(error) = std::fs::remove_dir_all(&*path)
        {
            eprintln!("{} cannot be removed: {error}", path.display());
        }
    }
}
