//! `lateen proxy-status`: what each connected proxy runs on.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use crate::output::Format;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
CDS, LDS, EDS and RDS are the kinds of resources of proxies that are Envoys.

Exit code: 0 when every proxy runs on the newest configuration, 1 when one does not, 2 when the \
control plane does not answer.

Example:
  lateen proxy-status --monitoring 127.0.0.1:15014")]
pub struct Arguments {
    /// The control plane's monitoring address.
    #[arg(long, default_value = "127.0.0.1:15014")]
    monitoring: SocketAddr,
    #[command(flatten)]
    format: Format,
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let outcome = verdict(&arguments).await;
    arguments.format.conclude(outcome)
}

async fn verdict(arguments: &Arguments) -> anyhow::Result<i32> {
    let (status, body) = crate::demo::get(
        arguments.monitoring,
        "localhost",
        "/debug/syncz",
        Duration::from_secs(10),
    )
    .await
    .context("the control plane does not answer; is --monitoring right?")?;
    anyhow::ensure!(status == 200, "the control plane answered with {status}");
    let proxies: Value = serde_json::from_slice(&body).context("the answer is no JSON")?;
    arguments.format.print(&proxies, table)?;
    let synced =
        proxies.as_array().is_some_and(|list| list.iter().all(|proxy| proxy["status"] == "SYNCED"));
    Ok(i32::from(!synced))
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
