//! What it costs the control plane when many Envoys that take everything connect at once.
//!
//! `cargo run --release -p lateen-scale-tests` (after `cargo build --release`). Fails when a bound is not
//! kept; the bounds are for a thousand clients of fifty namespaces and a release build.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use lateen_scale_tests::client::{Client, Workload};
use lateen_scale_tests::mesh::{Size, namespace};
use lateen_scale_tests::site::Site;
use tokio::task::JoinSet;

/// Connect many Envoys to a control plane and measure what it has used.
#[derive(Debug, Parser)]
struct Arguments {
    /// Clients that connect, spread over the namespaces.
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// Services.
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Endpoints of each service.
    #[arg(long, default_value_t = 10)]
    endpoints: usize,
    /// Namespaces.
    #[arg(long, default_value_t = 50)]
    namespaces: usize,
    /// Seconds that all of it may take.
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// CPU-seconds that the control plane may use while the clients connect.
    #[arg(long, default_value_t = 15.0)]
    most_cpu: f64,
    /// Megabytes (PSS) that it may have before there is any client.
    #[arg(long, default_value_t = 100.0)]
    most_before: f64,
    /// Megabytes (PSS) that it may have at its peak.
    #[arg(long, default_value_t = 400.0)]
    most_memory: f64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { clients, services, endpoints, namespaces, limit, .. } = arguments;
    let size = Size { services, endpoints, namespaces };
    let all: String = (0..services).map(|service| size.endpoints(service, |_| true)).collect();
    let site = Site::start(&[("mesh.yaml", &size.yaml()), ("endpoints.yaml", &all)])?;
    let (before, idle) = (site.cpu_time()?, site.memory()?);
    println!(
        "{services} services with {endpoints} endpoints each in {namespaces} namespaces: read with {:.1} CPU-seconds, {idle:.0} MB",
        before.as_secs_f64()
    );

    let (peak, begun) = (site.watch_memory(), Instant::now());
    let mut connecting = JoinSet::new();
    for number in 0..clients {
        let discovery = site.discovery;
        let workload =
            Workload { namespace: namespace(number % namespaces), name: format!("load-{number}") };
        connecting.spawn(async move { Client::connect(discovery, &workload).await });
    }
    let mut connected = Vec::new();
    while let Some(client) = connecting.join_next().await {
        connected.push(client??);
    }
    for client in &connected {
        while let Err(missing) = client.complete() {
            let took = begun.elapsed();
            anyhow::ensure!(took < Duration::from_secs(limit), "not within {limit} s: {missing:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let took = begun.elapsed();
    let spent = site.cpu_time()?.checked_sub(before).context("processor time went backwards")?;
    let bytes: u64 = connected
        .iter()
        .flat_map(|client| client.counts().into_values())
        .map(|count| count.bytes)
        .sum();
    let (spent, most) = (spent.as_secs_f64(), peak.end()?);
    println!(
        "{clients} clients have everything after {:.1} s: {spent:.1} CPU-seconds, {most:.0} MB PSS at the peak, {:.0} MB sent",
        took.as_secs_f64(),
        megabytes(bytes)
    );
    println!("with all of them connected: {:.0} MB PSS", site.memory()?);
    for (kind, count) in connected.first().map(Client::counts).unwrap_or_default() {
        println!("  to each: {:>5} resources, {:>9} bytes  {kind}", count.resources, count.bytes);
    }
    let refused = site.refused()?;
    println!("refused: {refused}");
    let bounds = [
        ("megabytes before any client", idle, arguments.most_before),
        ("CPU-seconds while they connect", spent, arguments.most_cpu),
        ("megabytes at the peak", most, arguments.most_memory),
        ("responses that were refused", refused, 0.0),
    ];
    let broken = bounds.iter().filter(|(_, value, bound)| value > bound);
    let broken: Vec<String> = broken
        .map(|(what, value, bound)| format!("{value:.1} {what}, where {bound} is the most"))
        .collect();
    anyhow::ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_000).unwrap_or(u32::MAX)) / 1_000.0
}
