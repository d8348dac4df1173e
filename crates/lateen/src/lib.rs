//! The command line: every role of the mesh and every command.
//!
//! Two binaries share it: `lateen`, which has everything, and `lateen-proxy`, what a sidecar's image
//! carries.
//!
//! - [`commands`]: one module for each command.
//! - [`demo`]: a whole mesh on loopback, and the checks that hold it to its promises.
//! - [`plugin`]: the program as `kubectl lateen`.
//! - [`output`]: text for people, JSON for scripts.

pub mod commands;
pub mod demo;
pub mod output;
pub mod plugin;

use std::process::ExitCode;

/// Ends a process as its command asks: with its exit code, or with 1 and the error.
#[must_use]
pub fn end(outcome: anyhow::Result<i32>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        // Whoever read the output has seen enough (`lateen … | head`).
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lateen: {}", output::causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
