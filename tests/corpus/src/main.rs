//! Runs a folder of independent test cases and says what became of each.
//!
//! The cases are data that others wrote (`simulation`: where a call ends up; `authz`: whether a
//! request is allowed). They go through the compiler, the encoded messages of the native stream and
//! the calls of the engine that the proxy itself makes. The runner decides nothing: it asks, and
//! compares what it is told with what the case expects. `authz-envoy` asks a stock Envoy with the
//! same policies, lowered, in the engine's place, and `simulation-envoy` whether it takes the
//! configurations of those cases. `iptables` asks `lateen-capture` for the rules of a capture, and
//! compares them line by line. `inject` asks `lateen-inject` whether a pod is injected, and what it
//! is then. `crd-validation` asks an API server with our definitions, and what `lateen validate`
//! asks, whether an object is accepted.
//!
//! A case is left out only when its objects use a field, a value, a kind or a feature flag that is
//! not honoured yet, by the account of fields that `lateen-api` keeps.

mod authz;
mod case;
mod crd_validation;
mod envoy;
mod inject;
mod iptables;
mod mesh;
mod simulation;
mod tally;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// Run a folder of independent test cases.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the folder holds.
    kind: Kind,
    /// The folder; every YAML file below it is read, but for those that begin with `_`.
    folder: PathBuf,
    /// Print the passed cases, too.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    passed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Simulation,
    /// The configurations of `simulation`, read by a stock Envoy.
    SimulationEnvoy,
    Authz,
    /// The cases of `authz`, decided by a stock Envoy.
    AuthzEnvoy,
    Iptables,
    Inject,
    CrdValidation,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lateen-corpus: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing failed.
fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let files = case::files(&arguments.folder)?;
    anyhow::ensure!(!files.is_empty(), "{} holds no cases", arguments.folder.display());
    let mut tally = tally::Tally::new(arguments.passed);
    match arguments.kind {
        Kind::Simulation => files.iter().try_for_each(|file| simulation::run(file, &mut tally))?,
        Kind::SimulationEnvoy => simulation::envoy::run(&files, &mut tally)?,
        Kind::Authz => files.iter().try_for_each(|file| authz::run(file, &mut tally))?,
        Kind::AuthzEnvoy => envoy::run(&files, &mut tally)?,
        Kind::CrdValidation => crd_validation::run(&files, &mut tally)?,
        Kind::Iptables => files.iter().try_for_each(|file| iptables::run(file, &mut tally))?,
        Kind::Inject => files.iter().try_for_each(|file| inject::run(file, &mut tally))?,
    }
    Ok(tally.close())
}
