//! The proxy beside its peers, in one run: requests per second of the proxy's processor time over one hop
//! and over two sidecars with mutual TLS, next to a bare hyper proxy; memory (PSS) idle and after load;
//! start times.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_process_tests::load::Load;
use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::Mesh;
use lateen_testkit::program::{self, Program};
use lateen_testkit::{port, usage};

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Seconds of load for each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Worker threads of each proxy.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Rounds; the peers take turns within each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of 1,000 requests a second through two sidecars at the end, to see what memory they
    /// take by then.
    #[arg(long)]
    soak: Option<u32>,
}

/// Measures and prints.
///
/// # Errors
/// When a program does not start or answer.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let text = [
        yaml::pod("meshed-1", "meshed", "v1", "10.0.0.1"),
        yaml::pod("plain-1", "plain", "v1", "10.0.0.2")
            .replace("security.istio.io/tlsMode: istio", "sidecar.istio.io/inject: \"false\""),
        yaml::pod("caller", "caller", "v1", "10.0.0.9"),
        yaml::service("meshed", "10.96.0.1", "http", (80, 8080), &[("meshed-1", "10.0.0.1", true)]),
        yaml::service("plain", "10.96.0.2", "http", (80, 8080), &[("plain-1", "10.0.0.2", true)]),
    ]
    .concat();
    let settings = yaml::mesh("").replace("    accessLogFile: /dev/stdout\n", "");
    let mut mesh = Mesh::start(&[("mesh.yaml", &settings), ("workloads.yaml", &text)])?;
    let plain = mesh.application("test/plain-1", 8080)?;
    let _plain = peers::nginx(&mesh, "plain-1", plain)?;
    let _meshed = peers::nginx(&mesh, "meshed-1", mesh.application("test/meshed-1", 8080)?)?;

    let workers = arguments.workers.to_string();
    for workload in ["test/meshed-1", "test/caller"] {
        let begun = Instant::now();
        mesh.start_proxy(workload, &["--workers", &workers])?;
        println!("{workload}: ready after {} ms", begun.elapsed().as_millis());
    }
    let caller = mesh.proxy("test/caller").id();
    let callee = mesh.proxy("test/meshed-1").id();
    println!("caller's proxy, idle: {:.1} MB PSS", usage::pss_megabytes(caller)?);

    let bare_address = port::free_on_loopback()?;
    let mut bare = bare(&mesh, bare_address, plain, &workers)?;
    peers::listening(bare_address, &mut bare)?;
    let plain_seen = mesh.service("test/caller", "plain.test.svc.cluster.local", 80)?;
    let meshed_seen = mesh.service("test/caller", "meshed.test.svc.cluster.local", 80)?;
    for round in 1..=arguments.rounds {
        println!("\nround {round}");
        let hyper = measure(bare_address, "plain", &[bare.id()], arguments.seconds)?;
        println!("  bare hyper proxy, one hop:      {hyper:>9.0} requests per CPU-second");
        let host = "plain.test.svc.cluster.local";
        let one = measure(plain_seen, host, &[caller], arguments.seconds)?;
        println!("  lateen, one hop:                {one:>9.0} ({:.2} of bare)", one / hyper);
        let host = "meshed.test.svc.cluster.local";
        let two = measure(meshed_seen, host, &[caller, callee], arguments.seconds)?;
        println!("  lateen, two sidecars with mTLS: {two:>9.0} ({:.2} of bare)", two / hyper);
    }
    println!("\ncaller's proxy, after load: {:.1} MB PSS", usage::pss_megabytes(caller)?);
    if let Some(seconds) = arguments.soak {
        let host = "meshed.test.svc.cluster.local";
        let outcome = Load::start(&mesh, meshed_seen, host, seconds)?.finish()?;
        println!("{seconds} s of 1,000 requests a second: {outcome:?}");
        println!("caller's proxy, after that: {:.1} MB PSS", usage::pss_megabytes(caller)?);
        println!("callee's proxy, after that: {:.1} MB PSS", usage::pss_megabytes(callee)?);
    }
    Ok(())
}

fn bare(
    mesh: &Mesh,
    listen: SocketAddr,
    upstream: SocketAddr,
    workers: &str,
) -> anyhow::Result<Program> {
    let path = std::env::current_exe()?.with_file_name("bare-hyper-proxy");
    let mut command = Command::new(path);
    command.args([&listen.to_string(), &upstream.to_string(), workers]);
    Program::start("bare-hyper-proxy", command, &mesh.logs())
}

/// Requests per second of processor time of the processes, under as much load as they take.
fn measure(
    address: SocketAddr,
    host: &str,
    processes: &[u32],
    seconds: u32,
) -> anyhow::Result<f64> {
    // A first second fills the pools.
    load(address, host, 1)?;
    let before = cpu(processes)?;
    let requests = load(address, host, seconds)?;
    let spent = cpu(processes)?.checked_sub(before).context("processor time went backwards")?;
    Ok(requests / spent.as_secs_f64())
}

fn cpu(processes: &[u32]) -> anyhow::Result<Duration> {
    processes.iter().map(|process| usage::cpu_time(*process)).sum()
}

/// How many requests were answered with 2xx.
fn load(address: SocketAddr, host: &str, seconds: u32) -> anyhow::Result<f64> {
    let (_, report) = program::run(
        "h2load",
        [
            "--h1",
            "--threads=1",
            "--clients=50",
            &format!("--duration={seconds}"),
            &format!("--connect-to={address}"),
            &format!("http://{host}/"),
        ],
    )?;
    let line = report
        .lines()
        .find_map(|line| line.strip_prefix("status codes: "))
        .with_context(|| format!("h2load says: {report}"))?;
    let good = line.split(' ').next().context("no count")?;
    Ok(good.parse()?)
}
