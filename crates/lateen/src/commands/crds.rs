//! `lateen crds`: the custom resource definitions.

use anyhow::Context;
use lateen_api::{crd, yaml};

/// What the command line asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lateen crds | kubectl apply --server-side -f -
  lateen crds --kind VirtualService")]
pub struct Arguments {
    /// Only these kinds, by name, plural or short name.
    #[arg(short, long)]
    kind: Vec<String>,
}

/// Runs the command; its exit code.
pub fn run(arguments: &Arguments) -> anyhow::Result<i32> {
    print!("{}", text(&arguments.kind)?);
    Ok(0)
}

/// The definitions of the kinds asked for (none: of all) as one YAML text.
fn text(asked: &[String]) -> anyhow::Result<String> {
    let mut definitions = Vec::new();
    for name in asked {
        let found = crd::definitions().find(|definition| crd::is_called(definition, name));
        definitions.push(found.with_context(|| unknown(name))?);
    }
    if asked.is_empty() {
        definitions.extend(crd::definitions());
    }
    Ok(definitions.iter().map(|definition| format!("---\n{}", yaml::emit(definition))).collect())
}

fn unknown(name: &str) -> String {
    let known: Vec<&str> = crd::kinds().map(lateen_api::Kind::name).collect();
    format!("there is no definition of `{name}`; there are {}", known.join(", "))
}
