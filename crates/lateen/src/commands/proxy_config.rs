//! `lateen proxy-config`: what a pod's proxy runs on, from its admin pages.

mod dump;

use anyhow::Context;
use lateen_install::{Cluster, forward, pods};
use serde_json::Value;

use super::access::Access;
use crate::output::Format;
use dump::{Engine, Item, Part};

/// Where proxies have their admin pages, on loopback.
const ADMIN: u16 = 15000;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "pc")]
#[command(after_help = "\
The proxy's admin pages are asked for by a way through the API server to the loopback of the pod. A native proxy \
answers in Lateen's terms, an Envoy in its own; keys are never shown. -o json has all of it.

Exit code: 0 when the proxy answered, 2 when it did not.

Examples:
  lateen proxy-config all shop/web-7d4c9-x2x7p
  lateen proxy-config routes shop/web
  lateen proxy-config endpoints istio-system/istio-ingressgateway -o json")]
pub struct Arguments {
    /// What of it.
    #[arg(value_enum)]
    kind: Kind,
    /// NAMESPACE/NAME of the pod (or NAME.NAMESPACE), or of a workload: then the first of its running pods.
    pod: String,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// Everything.
    All,
    /// What it starts with: Envoy's bootstrap, the settings of a native proxy.
    Bootstrap,
    /// Where it takes connections.
    #[value(alias = "listener")]
    Listeners,
    /// Where requests go.
    #[value(alias = "route")]
    Routes,
    /// What can be reached, and how: destinations of a native proxy.
    #[value(aliases = ["cluster", "destinations"])]
    Clusters,
    /// Where that is.
    #[value(alias = "endpoint")]
    Endpoints,
    /// Authorization policies; an Envoy has them in its listeners.
    #[value(alias = "policy")]
    Policies,
    /// Which hosts there are; an Envoy knows its routes only.
    Directory,
    /// Certificates.
    #[value(alias = "secret")]
    Secrets,
    /// The last exchanges that failed, and why; of a native proxy.
    Failures,
    /// Its version, and how it stands.
    ServerInfo,
    /// Its metrics.
    Stats,
}

impl Kind {
    /// The part of the configuration; none for what has a page of its own.
    fn part(self) -> Result<Part, &'static str> {
        Ok(match self {
            Self::All => Part::All,
            Self::Bootstrap => Part::Bootstrap,
            Self::Listeners => Part::Listeners,
            Self::Routes => Part::Routes,
            Self::Clusters => Part::Clusters,
            Self::Endpoints => Part::Endpoints,
            Self::Policies => Part::Policies,
            Self::Directory => Part::Directory,
            Self::Secrets => Part::Secrets,
            Self::Failures => return Err("/failures"),
            Self::ServerInfo => return Err("/server_info"),
            Self::Stats => return Err("/stats/prometheus"),
        })
    }
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let outcome = answer(&arguments).await;
    arguments.format.conclude(outcome)
}

async fn answer(arguments: &Arguments) -> anyhow::Result<i32> {
    let (namespace, name) = pods::parse(&arguments.pod).context("the pod is NAMESPACE/NAME")?;
    let cluster = arguments.access.cluster().await?;
    let pod = pods::find(&cluster, namespace, name).await?.with_context(|| {
        format!("there is no pod {name} in {namespace}, nor a workload with one")
    })?;
    let proxy = Proxy { cluster, namespace, pod };
    match arguments.kind.part() {
        Ok(part) => {
            let items = proxy.items(part).await?;
            let listed: Value = items.iter().map(Item::json).collect();
            arguments.format.print(&listed, |_| dump::table(&items))?;
        }
        Err(page) => {
            let text = proxy.page(page).await?;
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            arguments.format.print(&value, |value| match value {
                Value::String(text) => text.clone(),
                json => format!("{json:#}"),
            })?;
        }
    }
    Ok(0)
}

/// A proxy in a cluster.
struct Proxy<'a> {
    cluster: Cluster,
    namespace: &'a str,
    pod: String,
}

impl Proxy<'_> {
    async fn page(&self, path: &str) -> anyhow::Result<String> {
        let Self { cluster, namespace, pod } = self;
        let (status, body) = forward::get(cluster, namespace, pod, ADMIN, path).await?;
        anyhow::ensure!(status != 404, "the proxy of {namespace}/{pod} has no page {path}");
        anyhow::ensure!(
            status == 200,
            "the proxy of {namespace}/{pod} answered {path} with {status}"
        );
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn items(&self, part: Part) -> anyhow::Result<Vec<Item>> {
        let text = self.page("/config_dump?include_eds").await?;
        let page: Value = serde_json::from_str(&text).context("the proxy's answer is no JSON")?;
        let engine = Engine::of(&page).context("the proxy's answer is no configuration")?;
        let mut items = dump::items(&page, engine, part)?;
        if engine == Engine::Native && matches!(part, Part::All | Part::Secrets) {
            // The workload's own certificate was not sent to the proxy as a resource.
            let certificate = serde_json::from_str(&self.page("/certs").await?)?;
            items.push(Item::new("default", "", &certificate, own_certificate(&certificate)));
        }
        Ok(items)
    }
}

fn own_certificate(page: &Value) -> String {
    let text = |name: &str| page["certificate"][name].as_str().unwrap_or_default().to_owned();
    match page["certificate"].is_object() {
        true => format!("{} until {}", text("identity"), text("not_after")),
        false => "no certificate".to_owned(),
    }
}
