//! `./test differential`: scenarios, the strip test, the generator.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use lateen_differential::run;
use lateen_differential::side::{self, protocol::Engine};

/// The differential bed.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    side: Option<Internal>,
    /// A scenario, or a folder of scenarios; by default the project's own, then the strip test.
    folder: Option<PathBuf>,
    /// The strip test alone: every honoured field has a scenario that fails without it.
    #[arg(long)]
    fields: bool,
    /// Random meshes and requests: the first number.
    #[arg(long)]
    seed: Option<u64>,
    /// For how many minutes; with 0 the first scenario is only written.
    #[arg(long, default_value_t = 1.0, requires = "seed")]
    minutes: f64,
    /// How often each difference is tried to be made smaller.
    #[arg(long, default_value_t = 150, requires = "seed")]
    shrinks: usize,
    /// Which engines are compared; of one, only the expectations are checked.
    #[arg(long, value_delimiter = ',', default_values = ["native", "envoy"])]
    engines: Vec<Engine>,
    /// Where a difference that the generator found is written.
    #[arg(long, default_value = "target/differential")]
    found: PathBuf,
    /// Print everything that was seen, as JSON.
    #[arg(long)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Internal {
    /// One side, started by the bed in namespaces of its own.
    #[command(hide = true)]
    Side {
        /// What it runs.
        engine: Engine,
    },
}

fn main() -> ExitCode {
    match start(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("differential: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<bool> {
    if let Some(Internal::Side { engine }) = arguments.side {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(side::run(engine))?;
        return Ok(true);
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let folder = arguments.folder.unwrap_or(own);
    if let Some(seed) = arguments.seed {
        let random = run::Random {
            seed,
            minutes: arguments.minutes,
            shrinks: arguments.shrinks,
            found: &arguments.found,
        };
        return random.run(&arguments.engines);
    }
    let scenarios = run::load(&folder).with_context(|| folder.display().to_string())?;
    if arguments.fields {
        return run::fields(&scenarios);
    }
    run::scenarios(&arguments.engines, &scenarios, arguments.verbose)
}
