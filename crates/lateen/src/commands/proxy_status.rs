//! `lateen proxy-status`: what each connected proxy runs on.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use lateen_install::forward;
use serde_json::Value;

use super::access::Access;
use crate::output::Format;

/// The page that says what each proxy runs on.
const SYNC: &str = "/debug/syncz";

/// Where control planes of a cluster have it.
const MONITORING: u16 = 15014;

/// The labels of their pods.
const CONTROL_PLANES: &str = "app=istiod,app.kubernetes.io/part-of=lateen";

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
CDS, LDS, EDS and RDS are the kinds of resources of proxies that are Envoys.

Exit code: 0 when every proxy runs on the newest configuration, 1 when one does not, 2 when the \
control plane does not answer.

Without --monitoring the control planes of a cluster are asked, by a way through its API server.

Examples:
  lateen proxy-status
  lateen proxy-status --monitoring 127.0.0.1:15014")]
pub struct Arguments {
    /// The monitoring address of a control plane, instead of a cluster's.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    monitoring: Option<SocketAddr>,
    #[command(flatten)]
    access: Access,
    /// The namespace of the cluster's control planes.
    #[arg(short, long, default_value = "istio-system")]
    namespace: String,
    #[command(flatten)]
    format: Format,
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let outcome = verdict(&arguments).await;
    arguments.format.conclude(outcome)
}

async fn verdict(arguments: &Arguments) -> anyhow::Result<i32> {
    let proxies = match arguments.monitoring {
        Some(address) => ask(address).await?,
        None => ask_cluster(&arguments.access, &arguments.namespace).await?,
    };
    arguments.format.print(&proxies, table)?;
    let synced =
        proxies.as_array().is_some_and(|list| list.iter().all(|proxy| proxy["status"] == "SYNCED"));
    Ok(i32::from(!synced))
}

/// What the control plane at an address says.
async fn ask(address: SocketAddr) -> anyhow::Result<Value> {
    let (status, body) = crate::demo::get(address, "localhost", SYNC, Duration::from_secs(10))
        .await
        .context("the control plane does not answer; is --monitoring right?")?;
    read(status, &body)
}

/// What all control planes of a cluster say together: each knows the proxies that it serves.
async fn ask_cluster(access: &Access, namespace: &str) -> anyhow::Result<Value> {
    let cluster = access.cluster().await?;
    let mut proxies = Vec::new();
    for pod in forward::running_pods(&cluster, namespace, CONTROL_PLANES).await? {
        let (status, body) = forward::get(&cluster, namespace, &pod, MONITORING, SYNC).await?;
        match read(status, &body)? {
            Value::Array(of_pod) => proxies.extend(of_pod),
            other => anyhow::bail!("the control plane {pod} answered with {other}"),
        }
    }
    Ok(Value::Array(proxies))
}

fn read(status: u16, body: &[u8]) -> anyhow::Result<Value> {
    anyhow::ensure!(status == 200, "the control plane answered with {status}");
    serde_json::from_slice(body).context("the answer is no JSON")
}

fn table(proxies: &Value) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "PROXY",
        "DATA PLANE",
        "STATUS",
        "CDS",
        "LDS",
        "EDS",
        "RDS",
        "CONNECTED SINCE",
        "CUT",
        "LAST REFUSAL",
    ]);
    for proxy in proxies.as_array().into_iter().flatten() {
        let fields = [
            "/proxy",
            "/data_plane",
            "/status",
            "/envoy/cds",
            "/envoy/lds",
            "/envoy/eds",
            "/envoy/rds",
            "/connected_since",
            "/cut",
            "/last_nack",
        ];
        table.add_row(fields.map(|field| match proxy.pointer(field) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }));
    }
    table.to_string()
}
