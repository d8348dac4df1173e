//! `lateen-proxy`: what a sidecar's image carries: the proxy, and what leads traffic through it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lateen::commands::{capture, proxy};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The sidecar of a workload, or a gateway.
#[derive(Debug, Parser)]
#[command(name = "lateen-proxy", version, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    arguments: Option<proxy::Arguments>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lead the pod's traffic through its proxy: the packet filter's rules.
    Capture(capture::Arguments),
    /// Become another program that ends with its parent.
    #[command(hide = true)]
    Guard {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    lateen::end(run(Cli::parse()))
}

fn run(cli: Cli) -> anyhow::Result<i32> {
    match (cli.command, cli.arguments) {
        (Some(Command::Capture(arguments)), _) => capture::run(&arguments),
        (Some(Command::Guard { program, arguments }), _) => {
            Err(lateen_agent::guard::become_guarded(&program, &arguments).into())
        }
        (None, Some(arguments)) => proxy::run(arguments),
        (None, None) => anyhow::bail!("nothing is asked for; see --help"),
    }
}
