//! `lateen install` and `lateen upgrade`: the chart, without Helm.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use lateen_api::yaml;
use lateen_install::install::{Done, Plan, revision};
use lateen_install::{Given, Lookup, Record, Release, wait};

use super::access::Access;
use super::controller::duration;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The values are those of the chart deploy/helm/lateen, checked by its schema. Nothing is written that is
somebody else's: where names are taken, or another mesh is installed whose root cannot be shared, the
command refuses and says why. Definitions of kinds that are there already stay as they are.

Examples:
  lateen install
  lateen install --revision 0-1-0 --tag prod --set proxy.engine=envoy
  lateen install --values values.yaml --dry-run | kubectl diff -f -")]
pub struct Arguments {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    what: What,
    /// Print the objects, rendered without a cluster, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What the command line of an upgrade asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Brings a revision to this program's version. The values that it was installed with are kept, and those
given here go before them.

To go from one revision to the next, install the next one beside it, label namespaces with it, restart
what runs there, and uninstall the former.

Examples:
  lateen upgrade
  lateen upgrade --revision 0-1-0 --set pilot.autoscaleMin=2")]
pub struct UpgradeArguments {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    what: What,
    /// Forget the values that it was installed with.
    #[arg(long)]
    reset_values: bool,
}

/// What is to be installed, and how long to wait for it.
#[derive(Debug, clap::Args)]
struct What {
    /// The namespace of the control plane; it is made if need be.
    #[arg(short, long, default_value = "istio-system")]
    namespace: String,
    /// The revision: with one, every name carries it.
    #[arg(long, default_value = "")]
    revision: String,
    /// A name that stands for this revision, for the label istio.io/rev of namespaces; may be repeated.
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// File with values; may be repeated, and later ones go before earlier ones.
    #[arg(short = 'f', long, value_name = "FILE")]
    values: Vec<PathBuf>,
    /// A value, as PATH=VALUE[,PATH=VALUE…]; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// A value that is text, whatever it looks like; may be repeated.
    #[arg(long, value_name = "PATH=VALUE")]
    set_string: Vec<String>,
    /// How long to wait until everything serves.
    #[arg(long, value_parser = duration, default_value = "5m")]
    timeout: Duration,
    /// Do not wait until everything serves.
    #[arg(long)]
    no_wait: bool,
}

impl What {
    /// The values, over those of `before`.
    fn given(&self, before: Given) -> anyhow::Result<Given> {
        let mut given = before;
        for path in &self.values {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            given.add_file(&path.display().to_string(), &text)?;
        }
        if !self.revision.is_empty() {
            given.set(&format!("revision={}", self.revision), true)?;
        }
        if !self.tag.is_empty() {
            given.set(&format!("revisionTags={{{}}}", self.tag.join(",")), true)?;
        }
        for text in &self.set {
            given.set(text, false)?;
        }
        for text in &self.set_string {
            given.set(text, true)?;
        }
        Ok(given)
    }
}

/// The name of an installation, as Helm names releases.
fn name(revision: &str) -> String {
    match revision {
        "" => "lateen".to_owned(),
        revision => format!("lateen-{revision}"),
    }
}

/// Installs; the exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let given = arguments.what.given(Given::none())?;
    if arguments.dry_run {
        print!("{}", rendered(&given, &arguments.what.namespace)?);
        return Ok(0);
    }
    apply(&arguments.access, &arguments.what, given).await
}

/// Brings an installation up to date; the exit code.
pub async fn upgrade(arguments: UpgradeArguments) -> anyhow::Result<i32> {
    let what = &arguments.what;
    let cluster = arguments.access.cluster().await?;
    let Some(record) = Record::read(&cluster, &what.namespace, &what.revision).await? else {
        let revision = if what.revision.is_empty() { "default" } else { &what.revision };
        anyhow::bail!(
            "there is no revision {revision} in the namespace {}; `lateen install` makes one",
            what.namespace
        );
    };
    let before = if arguments.reset_values { Given::none() } else { record.given };
    let given = what.given(before)?;
    apply(&arguments.access, what, given).await
}

/// The objects as YAML, the definitions of kinds first.
fn rendered(given: &Given, namespace: &str) -> anyhow::Result<String> {
    let values = given.over_defaults()?;
    let release = Release {
        name: name(&revision(&values)),
        namespace: namespace.to_owned(),
        service: "lateen".to_owned(),
        is_upgrade: false,
    };
    let rendered = lateen_install::render(&values, &release, &Lookup::offline())?;
    let definitions = lateen_api::crd::definitions();
    Ok(definitions
        .chain(rendered.objects)
        .map(|object| format!("---\n{}", yaml::emit(&object)))
        .collect())
}

async fn apply(access: &Access, what: &What, given: Given) -> anyhow::Result<i32> {
    let cluster = access.cluster().await?;
    let named = name(&revision(&given.over_defaults()?));
    let plan = Plan::make(&cluster, &named, &what.namespace, given).await?;
    plan.carry_out(&cluster, &mut |done| println!("{}", line(done))).await?;
    if !what.no_wait {
        let workloads = plan.workloads();
        println!("waiting for {} workloads", workloads.len());
        wait::workloads(&cluster, &workloads, what.timeout, &mut |workload| {
            println!("ready    {workload}");
        })
        .await?;
    }
    println!("\n{}", plan.rendered.notes.trim());
    Ok(0)
}

/// What became of something, as a line.
pub(super) fn line(done: &Done) -> String {
    match done {
        Done::Applied(title) => format!("applied  {title}"),
        Done::Kept(title) => format!("kept     {title}: it is somebody else's"),
        Done::Deleted(title) => format!("deleted  {title}"),
        Done::Moved(title) => format!("moved    {title}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_prints_definitions_and_objects() {
        let mut given = Given::none();
        given.set("revision=canary", false).expect("set");
        let text = rendered(&given, "mesh").expect("it renders");
        let documents = yaml::documents(&text);
        assert!(documents.iter().all(Result::is_ok));
        let definitions = lateen_api::crd::definitions().count();
        assert!(documents.len() > definitions + 10, "{}", documents.len());
        assert!(text.contains("istiod-canary.mesh.svc:15012"));
    }
}
