//! `lateen proxy-config`: what a pod's proxy runs on, from its admin page.

use anyhow::Context;
use lateen_install::forward;
use serde_json::Value;

use super::access::Access;
use crate::output::Format;

/// Where proxies have their admin pages, on loopback.
const ADMIN: u16 = 15000;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The page is asked for by a way through the API server to the loopback of the pod. A native proxy answers in
Lateen's terms, an Envoy in its own.

Exit code: 0 when the proxy answered, 2 when it did not.

Examples:
  lateen proxy-config shop/web-7d4c9-x2x7p
  lateen proxy-config shop/web-7d4c9-x2x7p --page /clusters")]
pub struct Arguments {
    /// NAMESPACE/NAME of the pod.
    pod: String,
    #[command(flatten)]
    access: Access,
    /// The page of the admin port.
    #[arg(long, default_value = "/config_dump")]
    page: String,
    #[command(flatten)]
    format: Format,
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let outcome = answer(&arguments).await;
    arguments.format.conclude(outcome)
}

async fn answer(arguments: &Arguments) -> anyhow::Result<i32> {
    let (namespace, pod) = arguments.pod.split_once('/').context("the pod is NAMESPACE/NAME")?;
    let cluster = arguments.access.cluster().await?;
    let (status, body) = forward::get(&cluster, namespace, pod, ADMIN, &arguments.page).await?;
    anyhow::ensure!(status == 200, "the proxy answered {} with {status}", arguments.page);
    let text = String::from_utf8_lossy(&body).into_owned();
    let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    arguments.format.print(&value, |value| match value {
        Value::String(text) => text.clone(),
        json => format!("{json:#}"),
    })?;
    Ok(0)
}
