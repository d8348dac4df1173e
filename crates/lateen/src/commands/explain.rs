//! `lateen explain`: where a request would go, who decided it, and why nothing else did.
//!
//! The directory is compiled as the control plane does it in local mode, a cluster as it does it
//! there, and the plans of the proxies on the way are asked what they would decide: that of the
//! caller's sidecar or of a gateway (`outbound`), then those of the workloads that the request may
//! reach (`inbound`). In between the request is changed as the proxies change it (`head`).

mod head;
mod hop;
mod inbound;
mod outbound;
mod question;
mod report;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context;
use lateen_compiler::Options;

use super::access::Access;
use super::offline::Offline;
use crate::output::Format;
use hop::Hop;
use question::Question;
use report::Report;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 when the request is served, or answered as a route says; 1 when the mesh refuses it, or \
may refuse it, as one of several backends or endpoints would; 2 when the question makes no sense. \
With --requests: 0 or 2.

Without --dir the objects of a cluster are asked for and compiled here, as its control plane does it.

The URL's host and port say what is dialled, a `host` header what is asked for there. Ports are \
those of the YAML. Addresses of endpoints are those of local mode, as the access log has them.

Examples:
  lateen explain --from shop/visitor-6d4c9-x2x7p GET http://catalog/
  lateen explain --dir mesh --from shop/visitor GET http://catalog/
  lateen explain --dir mesh --from shop/visitor POST http://orders/slow -H 'x-user: jason' -o json
  lateen explain --dir mesh --from istio-system/ingressgateway GET http://shop.example/orders/
  lateen explain --dir mesh --from shop/visitor --requests requests.jsonl")]
pub struct Arguments {
    /// Folder with the mesh's YAML, instead of a cluster.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    dir: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
    /// The namespace of the cluster's control plane.
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    root_namespace: String,
    /// Whose view: the revision of the cluster's control plane.
    #[arg(long, default_value = "")]
    revision: String,
    /// NAMESPACE/NAME of the workload whose proxy takes the request: the caller's, or a gateway's
    /// for a request from outside.
    #[arg(long)]
    from: String,
    /// Method of the request.
    #[arg(required_unless_present = "requests")]
    method: Option<String>,
    /// URL of the request.
    #[arg(required_unless_present = "requests")]
    url: Option<String>,
    /// Headers, `name: value`.
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// File with many requests, each a line `{"method": …, "url": …, "headers": ["name: value"]}`;
    /// the answer to each is a line of JSON.
    #[arg(long, conflicts_with_all = ["method", "url", "headers", "output"])]
    requests: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    arguments.format.conclude(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<i32> {
    let mut offline = match &arguments.dir {
        Some(dir) => Offline::load(dir)?,
        None => of_cluster(arguments)?,
    };
    offline.warn();
    let (namespace, name) =
        arguments.from.split_once('/').context("--from is NAMESPACE/NAME of a workload")?;
    let client = offline.client(namespace, name)?;
    let first = Hop::new(&mut offline, client)?;
    if let Some(file) = &arguments.requests {
        return answer_lines(&mut offline, &first, file).map(|()| 0);
    }
    let (Some(method), Some(url)) = (&arguments.method, &arguments.url) else {
        anyhow::bail!("METHOD and URL are missing");
    };
    let question = Question::new(method, url, &arguments.headers)?;
    let report = outbound::explain(&mut offline, &first, &question)?;
    arguments.format.print(&report, Report::text)?;
    Ok(i32::from(!report.answer.verdict.allowed))
}

/// The mesh of a cluster.
fn of_cluster(arguments: &Arguments) -> anyhow::Result<Offline> {
    let (namespace, revision) = (&arguments.root_namespace, &arguments.revision);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let objects = runtime.block_on(async {
        let cluster = arguments.access.cluster().await?;
        anyhow::Ok(lateen_install::mesh::objects(&cluster, namespace, revision).await?)
    })?;
    let options = Options {
        root_namespace: namespace.clone(),
        revision: revision.clone(),
        ..Options::default()
    };
    Ok(Offline::of_cluster(&objects, options))
}

fn answer_lines(offline: &mut Offline, first: &Hop, file: &Path) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = text.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let question = Question::parse(line)
            .with_context(|| format!("{} line {}", file.display(), number + 1))?;
        let report = outbound::explain(offline, first, &question)?;
        println!("{}", serde_json::to_string(&report)?);
    }
    Ok(())
}
