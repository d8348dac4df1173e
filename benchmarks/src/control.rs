//! The control plane on a real API server: one core for it, one for everybody else.
//!
//! For each mode (`native`, over TLS with tokens, each client using twenty services; `envoy`, by plain
//! text, each taking all) a control plane starts over the same objects, all clients connect, then
//! single endpoints and routes change. A native client hears of changes of what it uses; how a change
//! spreads that all of them hear of is measured as well, without a limit.
//!
//! - [`load`]: the objects, and who writes them.
//! - [`fleet`]: the clients; [`native`]: one of ours.
//! - [`figures`]: what is measured, and its limits.

mod figures;
mod fleet;
mod load;
mod native;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_scale_tests::mesh::Size;
use lateen_scale_tests::site::Site;
use lateen_testkit::cluster::Api;
use lateen_testkit::{mesh, program};

use self::figures::{Figures, Spread, percentile};
use self::fleet::{Change, Fleet};
use self::load::Writer;

/// The control plane's core, and everybody else's.
const CORES: [&str; 2] = ["0", "1"];

/// How long all answers to a change take at most.
const REST: Duration = Duration::from_secs(1);

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// On a real API server; there is no other place yet.
    #[arg(long, required = true)]
    kubernetes: bool,
    /// Where the figures go, as one JSON object with an object for each mode.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only this mode.
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// Services.
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Pods behind each service.
    #[arg(long, default_value_t = 10)]
    pods: usize,
    /// Namespaces.
    #[arg(long, default_value_t = 50)]
    namespaces: usize,
    /// Clients, spread over the namespaces.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// How often an endpoint comes or goes, and how often a route is edited.
    #[arg(long, default_value_t = 30)]
    changes: usize,
    /// Seconds that the clients may take to connect.
    #[arg(long, default_value_t = 300)]
    patience: u64,
}

/// What connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// Proxies of ours.
    Native,
    /// Envoys.
    Envoy,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Envoy => "envoy",
        }
    }
}

/// Measures, prints, and fails where a limit is not kept.
///
/// # Errors
/// When a program does not start, something does not arrive, or a limit is broken.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Threads and programs that start from now on stay there.
    pin(CORES[1])?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let size = Size {
        services: arguments.services,
        endpoints: arguments.pods,
        namespaces: arguments.namespaces,
    };
    let api = Api::start()?;
    install_definitions(&api)?;
    let writer = runtime.block_on(Writer::connect(api.kubeconfig()))?;
    println!(
        "an API server runs; {} services with {} pods each are written",
        size.services, size.endpoints
    );
    let begun = Instant::now();
    runtime.block_on(writer.fill(size))?;
    println!("the objects are written after {:.0} s", begun.elapsed().as_secs_f64());
    let mut all = serde_json::Map::new();
    let mut broken = Vec::new();
    for mode in [Mode::Native, Mode::Envoy] {
        if arguments.mode.is_some_and(|only| only != mode) {
            continue;
        }
        say(mode, "the control plane starts");
        let figures = runtime.block_on(measure(arguments, mode, size, &api, &writer))?;
        println!("{}\n{figures}", mode.name());
        broken.extend(figures.broken().into_iter().map(|each| format!("{}: {each}", mode.name())));
        all.insert(mode.name().to_owned(), figures.json());
    }
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&all)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

async fn measure(
    arguments: &Arguments,
    mode: Mode,
    size: Size,
    api: &Api,
    writer: &Writer,
) -> anyhow::Result<Figures> {
    let mut figures = Figures::new(mode == Mode::Native);
    let site = Site::in_cluster(api.kubeconfig(), CORES[0])?;
    // What was read is let go first.
    tokio::time::sleep(Duration::from_secs(5)).await;
    figures.before = site.memory()?;

    say(mode, "the control plane has read everything; the clients connect");
    let before = site.cpu_time()?;
    let fleet = match mode {
        Mode::Native => Fleet::native(&site, writer, size, arguments.clients).await?,
        Mode::Envoy => Fleet::envoys(&site, size, arguments.clients),
    };
    let peak = site.watch_memory();
    let fleet = fleet.connect(Duration::from_secs(arguments.patience)).await?;
    figures.connect_cpu = site.cpu_time()?.saturating_sub(before).as_secs_f64();
    figures.connect_bytes = fleet.bytes();
    figures.peak = peak.end()?;
    say(mode, "all clients have everything; to one of them:");
    for (kind, count) in fleet.counts_of_one() {
        println!("  {:>5} resources, {:>9} bytes  {kind}", count.resources, count.bytes);
    }

    let bench = Bench { arguments, mode, size, site: &site, writer, fleet: &fleet };
    // The second service of the second namespace is one that only the clients of that namespace use.
    let of_some = (size.namespaces + 1).min(size.services - 1);
    figures.endpoint = bench.change(Change::Endpoint, of_some).await?;
    figures.route = bench.change(Change::Route, of_some).await?;
    if mode == Mode::Native {
        let endpoint = bench.change(Change::Endpoint, 0).await?;
        figures.of_all = Some([endpoint, bench.change(Change::Route, 0).await?]);
    }
    Ok(figures)
}

/// A control plane with its clients.
struct Bench<'a> {
    arguments: &'a Arguments,
    mode: Mode,
    size: Size,
    site: &'a Site,
    writer: &'a Writer,
    fleet: &'a Fleet,
}

impl Bench<'_> {
    /// Changes something of a service again and again.
    async fn change(&self, change: Change, service: usize) -> anyhow::Result<Spread> {
        let Self { arguments, mode, size, site, writer, fleet } = *self;
        // What goes has come back at the end.
        let changes = arguments.changes.next_multiple_of(2);
        let host = size.host(service);
        let listeners = fleet.listeners(&host);
        say(
            mode,
            &format!("{changes} times {change} of {host}, of which {listeners} clients hear"),
        );
        writer.prepare(change, size, service).await?;
        site.at_rest()?;
        let (mut latencies, mut most) = (Vec::new(), 0);
        let before = site.cpu_time()?;
        for number in 0..changes {
            let heard = fleet.listen(change, &host);
            let begun = Instant::now();
            writer.change(change, size, service, number).await?;
            latencies.push(heard.last(fleet).await?.saturating_duration_since(begun));
            most = most.max(heard.most_bytes(fleet)?);
        }
        // The answers belong to it.
        tokio::time::sleep(REST).await;
        let spent = site.cpu_time()?.saturating_sub(before);
        site.at_rest()?;
        Ok(Spread {
            listeners,
            p99: percentile(&mut latencies, 99).as_secs_f64() * 1_000.0,
            cpu: spent.as_secs_f64() / f64::from(u32::try_from(changes)?),
            bytes: most,
        })
    }
}

fn say(mode: Mode, what: &str) {
    println!("{}: {what}", mode.name());
}

/// The definitions of Istio's kinds.
fn install_definitions(api: &Api) -> anyhow::Result<()> {
    let (status, text) = program::run(&mesh::binary().to_string_lossy(), ["crds"])?;
    anyhow::ensure!(status.success(), "no definitions: {text}");
    api.kubectl().with_input(["apply", "--server-side", "-f", "-"], &text)?;
    Ok(())
}

/// Keeps all threads of this process on a core.
fn pin(core: &str) -> anyhow::Result<()> {
    let process = std::process::id().to_string();
    let mut command = Command::new("taskset");
    let status = command.args(["-acp", core, &process]).stdout(std::process::Stdio::null());
    anyhow::ensure!(status.status()?.success(), "taskset cannot choose core {core}");
    Ok(())
}
