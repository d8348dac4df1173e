//! A program that ends with its parent.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;

/// Name of the hidden command of our binaries that calls [`become_guarded`].
pub const COMMAND: &str = "guard";

/// Why the program did not take this process' place.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The kernel does not tell of the parent's end.
    #[error("cannot ask to be ended with the parent: {0}")]
    Unavailable(io::Error),
    /// The parent has ended already.
    #[error("the parent has ended")]
    Orphaned,
    /// There is no such program, or it cannot be run.
    #[error("cannot run {}: {source}", program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Becomes `program`, which the kernel sends SIGTERM when the thread that started this process ends,
/// however it does. Returns only when that cannot be done.
#[must_use]
pub fn become_guarded(program: &OsStr, arguments: &[OsString]) -> GuardError {
    use std::os::unix::process::CommandExt;

    let parent = rustix::process::getppid();
    let signal = Some(rustix::process::Signal::TERM);
    if let Err(error) = rustix::process::set_parent_process_death_signal(signal) {
        return GuardError::Unavailable(error.into());
    }
    // The parent may have ended before the request was in place.
    if rustix::process::getppid() != parent {
        return GuardError::Orphaned;
    }
    let source = std::process::Command::new(program).args(arguments).exec();
    GuardError::Exec { program: program.into(), source }
}
