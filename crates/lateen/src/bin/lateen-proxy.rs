//! `lateen-proxy`: what a sidecar's image carries: the proxy, and what leads traffic through it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lateen::commands::proxy::hooks;
use lateen::commands::{capture, proxy};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The sidecar of a workload, or a gateway.
#[derive(Debug, Parser)]
#[command(name = "lateen-proxy", version, args_conflicts_with_subcommands = true)]
#[command(subcommand_negates_reqs = true)]
struct Cli {
    #[command(flatten)]
    arguments: proxy::Arguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lead the pod's traffic through its proxy: the packet filter's rules.
    Capture(capture::Arguments),
    /// Return when the proxy of this pod is ready: a hook that holds the application until then.
    Wait(hooks::Wait),
    /// Tell the proxy of this pod to begin its drain: a hook of native sidecars.
    Drain(hooks::Drain),
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
    match cli.command {
        Some(Command::Capture(arguments)) => capture::run(&arguments),
        Some(Command::Wait(arguments)) => single_threaded()?.block_on(hooks::wait(arguments)),
        Some(Command::Drain(arguments)) => single_threaded()?.block_on(hooks::drain(arguments)),
        Some(Command::Guard { program, arguments }) => {
            Err(lateen_agent::guard::become_guarded(&program, &arguments).into())
        }
        None => proxy::run(cli.arguments),
    }
}

fn single_threaded() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
