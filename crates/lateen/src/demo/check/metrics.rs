//! A real Prometheus scrapes the proxies and is asked.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Outcome, Site};
use crate::demo::{http, ports, processes::Processes};

/// How long Prometheus may take to start and to scrape.
const PATIENCE: Duration = Duration::from_secs(20);

/// The labels that both ends of a request agree on.
const REQUEST: &str = "source_workload=\"visitor\",source_workload_namespace=\"shop\",\
    source_principal=\"spiffe://cluster.local/ns/shop/sa/visitor\",\
    source_canonical_service=\"visitor\",source_app=\"visitor\",\
    destination_service=\"catalog.shop.svc.cluster.local\",\
    destination_service_name=\"catalog\",destination_service_namespace=\"shop\",\
    destination_principal=\"spiffe://cluster.local/ns/shop/sa/catalog\",\
    destination_app=\"catalog\",destination_workload_namespace=\"shop\",\
    request_protocol=\"http\",response_flags=\"-\"";

/// Who counts and what it alone says: at the caller, and at each workload that serves the catalog,
/// whatever their data planes are. What the second version answers is up to the routes, which are the
/// matter of another check.
const COUNTED: [&str; 3] = [
    "reporter=\"source\",connection_security_policy=\"unknown\",\
     destination_workload=\"catalog-v1\",destination_version=\"v1\",response_code=\"200\"",
    "reporter=\"destination\",connection_security_policy=\"mutual_tls\",\
     destination_workload=\"catalog-v1\",destination_version=\"v1\",response_code=\"200\"",
    "reporter=\"destination\",connection_security_policy=\"mutual_tls\",\
     destination_workload=\"catalog-v2\",destination_version=\"v2\",response_code=~\"200|503\"",
];

/// Istio's standard metrics of HTTP, by what is summed of each.
const METRICS: [&str; 4] = [
    "istio_requests_total",
    "istio_request_duration_milliseconds_count",
    "istio_request_bytes_count",
    "istio_response_bytes_count",
];

/// The queries that must all have an answer above zero.
fn queries() -> impl Iterator<Item = String> {
    COUNTED.iter().flat_map(|counted| {
        METRICS.iter().map(move |metric| format!("sum({metric}{{{REQUEST},{counted}}})"))
    })
}

/// The visitor's requests to the catalog are in Istio's standard metrics, at both ends.
pub async fn counted(site: &Site) -> Outcome {
    let folder = site.folders.root.join("prometheus");
    std::fs::create_dir_all(&folder)?;
    let configuration = folder.join("prometheus.yml");
    std::fs::write(&configuration, scrape_configuration(site))?;
    let listen = ports::free()?;
    let mut processes = Processes::new(std::env::current_exe()?, &site.folders.logs);
    processes.start(
        "prometheus",
        "prometheus".as_ref(),
        [
            format!("--config.file={}", configuration.display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={listen}"),
        ],
    )?;
    let outcome = ask(&mut processes, listen).await;
    processes.stop().await;
    outcome.map(|count| format!("istio_requests_total is {count} where they arrive"))
}

/// What the receiving ends have counted, once every query has an answer.
async fn ask(processes: &mut Processes, listen: SocketAddr) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut total = 0.0;
    for query in queries() {
        let count = answer(processes, listen, &query, begun).await?;
        if query.contains("requests_total") && query.contains("reporter=\"destination\"") {
            total += count;
        }
    }
    Ok(total)
}

async fn answer(
    processes: &mut Processes,
    listen: SocketAddr,
    query: &str,
    begun: Instant,
) -> anyhow::Result<f64> {
    let path = format!("/api/v1/query?query={}", encode(query));
    loop {
        if let Some(failure) = processes.failed() {
            bail!("{failure}");
        }
        if let Ok((200, body)) = http::get(listen, "localhost", &path, Duration::from_secs(2)).await
        {
            let answer: serde_json::Value =
                serde_json::from_slice(&body).context("Prometheus' answer is no JSON")?;
            let value = answer["data"]["result"][0]["value"][1].as_str();
            if let Some(count) = value.and_then(|text| text.parse::<f64>().ok())
                && count > 0.0
            {
                return Ok(count);
            }
        }
        if begun.elapsed() > PATIENCE {
            bail!("after {PATIENCE:?} Prometheus knows nothing of {query}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn scrape_configuration(site: &Site) -> String {
    let mut text = String::from(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: mesh\n    metrics_path: /stats/prometheus\n    static_configs:\n      - targets:\n",
    );
    for workload in &site.addresses.workloads {
        if let Some(metrics) = workload.metrics {
            let _ = writeln!(text, "          - {metrics}");
        }
    }
    text.push_str(site.sabotage.map_or("", crate::demo::sabotage::Sabotage::scrape_configuration));
    text
}

/// Percent-encodes a query parameter.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
