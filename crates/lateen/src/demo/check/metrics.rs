//! A real Prometheus scrapes the proxies and is asked.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::{Outcome, Site};
use crate::demo::{http, ports, processes::Processes};

/// How long Prometheus may take to start and to scrape.
const PATIENCE: Duration = Duration::from_secs(20);

const QUERY: &str = "sum(istio_requests_total{reporter=\"destination\",\
    source_principal=\"spiffe://cluster.local/ns/shop/sa/visitor\",\
    destination_service=\"catalog.shop.svc.cluster.local\",\
    connection_security_policy=\"mutual_tls\",response_code=\"200\"})";

/// The visitor's requests to the catalog are in `istio_requests_total`.
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
    outcome.map(|count| format!("istio_requests_total is {count}"))
}

async fn ask(processes: &mut Processes, listen: std::net::SocketAddr) -> anyhow::Result<f64> {
    let path = format!("/api/v1/query?query={}", encode(QUERY));
    let begun = Instant::now();
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
            bail!("Prometheus knows no istio_requests_total of the visitor after {PATIENCE:?}");
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
