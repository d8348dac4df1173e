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
mod text;

use std::path::{Path, PathBuf};

use anyhow::Context;
use lateen_compiler::Options;
use lateen_install::pods;

use super::access::Access;
use super::offline::Offline;
use crate::output::Format;
use hop::Hop;
use question::Question;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0 when the request is served, or answered as a route says; 1 when the mesh refuses it, or \
may refuse it, as one of several backends or endpoints would; 2 when the question makes no sense. \
With --requests: 0 or 2.

Without --dir the objects of a cluster are asked for and compiled here, as its control plane does it. \
In a cluster POD may also be the name of a workload, as of a Deployment: then the first of its running pods.

The URL's host and port say what is dialled, a `host` header what is asked for there. Ports are \
those of the YAML. Addresses of endpoints are as the access log has them.

Of what did not apply, and of endpoints at which the same was decided, a few are printed: --all prints all, \
-o json has them anyway.

Examples:
  lateen explain shop/visitor-6d4c9-x2x7p GET http://catalog/
  lateen explain istio-system/istio-ingressgateway GET http://shop.example/orders/
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
    /// NAMESPACE/NAME of the workload whose proxy takes the request (the caller's, or a gateway's for a
    /// request from outside), unless --from names it; method and URL of the request.
    #[arg(value_names = ["POD", "METHOD", "URL"], num_args = 1..=3)]
    #[arg(required_unless_present = "from")]
    asked: Vec<String>,
    /// The workload, as POD.
    #[arg(long, value_name = "POD")]
    from: Option<String>,
    /// Headers, `name: value`.
    #[arg(short = 'H', long = "header")]
    headers: Vec<String>,
    /// File with many requests, each a line `{"method": …, "url": …, "headers": ["name: value"]}`;
    /// the answer to each is a line of JSON.
    #[arg(long, conflicts_with_all = ["headers", "output"])]
    requests: Option<PathBuf>,
    /// Print every step, also what did not apply, and every endpoint.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    format: Format,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    arguments.format.conclude(answer(arguments))
}

fn answer(arguments: &Arguments) -> anyhow::Result<i32> {
    let (pod, request) = arguments.question()?;
    let (namespace, name) = pods::parse(pod).context("the workload is NAMESPACE/NAME")?;
    let (mut offline, name) = match &arguments.dir {
        Some(dir) => (Offline::load(dir)?, name.to_owned()),
        None => of_cluster(arguments, namespace, name)?,
    };
    offline.warn();
    let client = offline.client(namespace, &name)?;
    let first = Hop::new(&mut offline, client)?;
    anyhow::ensure!(
        first.has_proxy(),
        "{namespace}/{name} has no sidecar: the mesh decides nothing about what it sends"
    );
    let Some([method, url]) = request else {
        let file = arguments.requests.as_deref().context("METHOD and URL are missing")?;
        return answer_lines(&mut offline, &first, file).map(|()| 0);
    };
    let question = Question::new(method, url, &arguments.headers)?;
    let report = outbound::explain(&mut offline, &first, &question)?;
    arguments.format.print(&report, |report| report.text(arguments.all))?;
    Ok(i32::from(!report.answer.verdict.allowed))
}

impl Arguments {
    /// The workload, and method and URL unless a file has them.
    fn question(&self) -> anyhow::Result<(&str, Option<[&str; 2]>)> {
        let mut words = self.asked.iter().map(String::as_str);
        let pod = self.from.as_deref().or_else(|| words.next()).context("POD is missing")?;
        let rest: Vec<&str> = words.collect();
        match (rest.as_slice(), &self.requests) {
            ([method, url], None) => Ok((pod, Some([method, url]))),
            ([], Some(_)) => Ok((pod, None)),
            (_, Some(_)) => anyhow::bail!("either --requests, or METHOD and URL"),
            (_, None) => anyhow::bail!("a request is METHOD and URL, not {rest:?}"),
        }
    }
}

/// The mesh of a cluster, and the name of the pod that is meant by `name`.
fn of_cluster(
    arguments: &Arguments,
    namespace: &str,
    name: &str,
) -> anyhow::Result<(Offline, String)> {
    let (root, revision) = (&arguments.root_namespace, &arguments.revision);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let objects = runtime.block_on(async {
        let cluster = arguments.access.cluster().await?;
        anyhow::Ok(lateen_install::mesh::objects(&cluster, root, revision).await?)
    })?;
    let options =
        Options { root_namespace: root.clone(), revision: revision.clone(), ..Options::default() };
    let pod = pods::meant(&objects, namespace, name).unwrap_or(name).to_owned();
    Ok((Offline::of_cluster(&objects, options), pod))
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
