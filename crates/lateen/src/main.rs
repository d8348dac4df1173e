//! `lateen`: every role of the mesh and every command in one binary.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use lateen::{commands, demo, plugin};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A service mesh that speaks Istio's language and explains itself.
#[derive(Debug, Parser)]
#[command(name = "lateen", version, propagate_version = true)]
#[command(after_help = "\
Examples:
  lateen demo                                   a whole mesh on loopback
  lateen install                                the mesh in a cluster
  lateen check                                  how it is there
  lateen validate mesh/                         what is wrong with a folder of YAML
  lateen explain --dir mesh --from shop/visitor GET http://catalog/
  lateen controller --dir mesh --listen 127.0.0.1:15012 --state state
  lateen proxy --controller 127.0.0.1:15012 --state state --workload shop/visitor")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole mesh on loopback: control plane, gateway, workloads with sidecars.
    Demo(demo::Arguments),
    /// Run the control plane.
    Controller(commands::controller::Arguments),
    /// Run a proxy: the sidecar of a workload, or a gateway.
    Proxy(commands::proxy::Arguments),
    /// Say what is wrong with the objects in files and folders.
    Validate(commands::validate::Arguments),
    /// Give the pods of objects in files their sidecar, as the control plane's webhook does.
    Inject(commands::inject::Arguments),
    /// Print the custom resource definitions.
    Crds(commands::crds::Arguments),
    /// Say where a request would go, who decided it, and why nothing else did.
    Explain(commands::explain::Arguments),
    /// Say where everything listens in local mode.
    Addresses(commands::addresses::Arguments),
    /// Lead a pod's traffic through its proxy: the packet filter's rules.
    Capture(commands::capture::Arguments),
    /// Capture the pods of a node by the CNI plugin: what the chart's DaemonSet runs.
    Cni(commands::cni::Arguments),
    /// Install the mesh into a cluster.
    Install(commands::install::Arguments),
    /// Bring an installation to this program's version.
    Upgrade(commands::install::UpgradeArguments),
    /// Take an installation away.
    Uninstall(commands::uninstall::Arguments),
    /// Say whether a cluster can be installed into, how an installation is, and which pods lack a sidecar.
    Check(commands::check::Arguments),
    /// Print what a pod's proxy runs on.
    ProxyConfig(commands::proxy_config::Arguments),
    /// Say what each connected proxy runs on.
    ProxyStatus(commands::proxy_status::Arguments),
    /// Become another program that ends with its parent.
    #[command(hide = true)]
    Guard {
        program: OsString,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Be one of the demo's applications.
    #[command(hide = true)]
    DemoBackend {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        application: String,
        #[arg(long)]
        release: String,
    },
    /// Be the demo's visitor.
    #[command(hide = true)]
    DemoVisitor {
        errands: Vec<demo::visitor::Errand>,
        #[arg(long, default_value = "30")]
        pause_ms: u64,
    },
}

fn main() -> ExitCode {
    let command = plugin::named(Cli::command(), std::env::args_os().next().as_deref());
    let matches = command.get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => lateen::end(run(cli.command)),
        Err(error) => error.exit(),
    }
}

/// Runs a command to its end; its exit code.
fn run(command: Command) -> anyhow::Result<i32> {
    match command {
        Command::Proxy(arguments) => commands::proxy::run(arguments),
        Command::Validate(arguments) => commands::validate::run(&arguments),
        Command::Inject(arguments) => commands::inject::run(&arguments),
        Command::Crds(arguments) => commands::crds::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Addresses(arguments) => commands::addresses::run(&arguments),
        Command::Capture(arguments) => commands::capture::run(&arguments),
        Command::Cni(arguments) => multi_threaded()?.block_on(commands::cni::run(arguments)),
        Command::Guard { program, arguments } => {
            Err(lateen_agent::guard::become_guarded(&program, &arguments).into())
        }
        Command::Demo(arguments) => single_threaded()?.block_on(demo::run(arguments)),
        Command::Controller(arguments) => {
            multi_threaded()?.block_on(commands::controller::run(arguments))
        }
        Command::Install(arguments) => {
            single_threaded()?.block_on(commands::install::run(arguments))
        }
        Command::Upgrade(arguments) => {
            single_threaded()?.block_on(commands::install::upgrade(arguments))
        }
        Command::Uninstall(arguments) => {
            single_threaded()?.block_on(commands::uninstall::run(arguments))
        }
        Command::Check(arguments) => single_threaded()?.block_on(commands::check::run(arguments)),
        Command::ProxyConfig(arguments) => {
            single_threaded()?.block_on(commands::proxy_config::run(arguments))
        }
        Command::ProxyStatus(arguments) => {
            single_threaded()?.block_on(commands::proxy_status::run(arguments))
        }
        Command::DemoBackend { listen, application, release } => single_threaded()?
            .block_on(demo::backend::serve(listen, application, release))
            .map(|()| 0),
        Command::DemoVisitor { errands, pause_ms } => single_threaded()?
            .block_on(demo::visitor::run(errands, Duration::from_millis(pause_ms)))
            .map(|()| 0),
    }
}

fn single_threaded() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn multi_threaded() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
