//! Diagnostics of the long-running roles: to standard error, filtered by `LATEEN_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `LATEEN_LOG` is a filter such as `info,lateen_proxy=debug`.
pub fn start() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_env_var("LATEEN_LOG")
        .with_default_directive(tracing::Level::INFO.into())
        .from_env()?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
