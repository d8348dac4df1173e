//! `lateen check`: whether a cluster can be installed into, and how an installation is.

use lateen_install::check::{self, Finding, Level};
use serde_json::{Value, json};

use super::access::Access;
use crate::output::Format;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an installation: whether there can be one. With one: control planes, definitions of kinds, webhooks,
gateways, and each pod that should have a sidecar and has none or an outdated one, with the command that
mends it.

Exit code: 0 when nothing is wrong, 1 when something is, 2 when the cluster does not answer.

Examples:
  lateen check
  lateen check --before -o json")]
pub struct Arguments {
    #[command(flatten)]
    access: Access,
    /// Only whether an installation can be made.
    #[arg(long)]
    before: bool,
    /// The namespace of the control plane that may be installed.
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
    let cluster = arguments.access.cluster().await?;
    let installed = match arguments.before {
        true => None,
        false => check::after(&cluster, env!("CARGO_PKG_VERSION")).await?,
    };
    let findings = match installed {
        Some(findings) => findings,
        None => check::before(&cluster, &arguments.namespace).await?,
    };
    let bad = findings.iter().any(|finding| finding.level == Level::Bad);
    let listed: Value = findings.iter().map(as_json).collect();
    arguments.format.print(&listed, |_| findings.iter().map(as_text).collect())?;
    Ok(i32::from(bad))
}

fn as_json(finding: &Finding) -> Value {
    let level = match finding.level {
        Level::Good => "good",
        Level::Notice => "notice",
        Level::Bad => "bad",
    };
    json!({"level": level, "text": finding.text, "remedy": finding.remedy})
}

fn as_text(finding: &Finding) -> String {
    let mark = match finding.level {
        Level::Good => "ok",
        Level::Notice => "--",
        Level::Bad => "!!",
    };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("   {remedy}\n")).unwrap_or_default();
    format!("{mark} {}\n{remedy}", finding.text)
}
