//! `lateen-proxy`: what a sidecar's image carries, the proxy and nothing else.

use std::process::ExitCode;

use clap::Parser;
use lateen::commands::proxy;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The sidecar of a workload, or a gateway.
#[derive(Debug, Parser)]
#[command(name = "lateen-proxy", version)]
struct Cli {
    #[command(flatten)]
    arguments: proxy::Arguments,
}

fn main() -> ExitCode {
    lateen::end(proxy::run(Cli::parse().arguments))
}
