//! `./bench`: what Lateen's programs cost, measured.
//!
//! - [`proxy`]: the proxy beside its peers.
//! - [`control`]: the control plane on a real API server.

mod control;
mod proxy;

use clap::Parser;

/// Measure what Lateen's programs cost.
#[derive(Debug, Parser)]
#[command(name = "bench")]
enum Part {
    /// The proxy beside its peers.
    Proxy(proxy::Arguments),
    /// The control plane on a real API server, with many proxies connected.
    Control(control::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Part::parse() {
        Part::Proxy(arguments) => proxy::run(&arguments),
        Part::Control(arguments) => control::run(&arguments),
    }
}
