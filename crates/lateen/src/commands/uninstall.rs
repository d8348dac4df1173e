//! `lateen uninstall`: an installation goes, with what its control plane wrote.

use lateen_install::remove::{Removal, installations};

use super::access::Access;
use super::install::line;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What `lateen install` made goes, and with the last control plane what it wrote: leases, and the config
maps istio-ca-root-cert where no Istio uses them. The definitions of kinds, the objects of those kinds and
the root's key stay, unless --purge is given.

Examples:
  lateen uninstall
  lateen uninstall --revision 0-1-0
  lateen uninstall --purge")]
pub struct Arguments {
    #[command(flatten)]
    access: Access,
    /// The namespace of the control plane.
    #[arg(short, long, default_value = "istio-system")]
    namespace: String,
    /// The revision.
    #[arg(long, default_value = "")]
    revision: String,
    /// With the last revision: also the definitions of kinds and every object of those kinds, the root's
    /// key, and the namespace, as far as they are Lateen's.
    #[arg(long)]
    purge: bool,
}

/// Runs the command; its exit code.
pub async fn run(arguments: Arguments) -> anyhow::Result<i32> {
    let cluster = arguments.access.cluster().await?;
    let removal = Removal {
        namespace: arguments.namespace,
        revision: arguments.revision,
        purge: arguments.purge,
    };
    let found = removal.carry_out(&cluster, &mut |done| println!("{}", line(done))).await?;
    if !found {
        let others = installations(&cluster).await?;
        let others: Vec<String> = others
            .iter()
            .map(|(namespace, revision)| match revision.as_str() {
                "" => format!("the default one in {namespace}"),
                revision => format!("{revision} in {namespace}"),
            })
            .collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        eprintln!("lateen: no such revision was installed by `lateen install`; there is {others}");
        return Ok(1);
    }
    Ok(0)
}
