//! The end of a cluster: when the test ends, by whatever cause, its processes and files go.
//!
//! A small shell holds the reading end of a pipe whose other end only the test has. When the pipe
//! closes, it kills every process whose environment names the cluster's folder, which nobody has to
//! register and which children inherit, then runs the folder's own clean-up, then removes the folder.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use anyhow::Context;

use crate::program::Program;

/// The variable by which a cluster's processes are known.
pub const MARK: &str = "LATEEN_CLUSTER";

/// Kept instead of removed when this variable is set: the programs' logs are in the folder.
const KEEP: &str = "LATEEN_TEST_KEEP";

const SCRIPT: &str = include_str!("reaper.sh");

/// A cluster's folder, with the shell that clears it away.
pub struct Reaper {
    shell: Child,
    folder: PathBuf,
}

impl Reaper {
    /// Makes a folder for a cluster.
    ///
    /// # Errors
    /// When the folder cannot be made or the shell does not start.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("lateen-cluster-")
            .tempdir()
            .context("no folder for the cluster")?
            .keep();
        let shell = shell(&folder).stdin(Stdio::piped()).spawn().context("cannot start bash")?;
        Ok(Self { shell, folder })
    }

    /// The cluster's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts one of the cluster's programs.
    ///
    /// # Errors
    /// When it does not start.
    pub fn program(&self, name: &str, mut command: Command) -> anyhow::Result<Program> {
        command.env(MARK, &self.folder).process_group(0);
        Program::start(name, command, &self.folder)
    }

    /// Has `script` (bash) run after the programs were killed, before the folder goes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn afterwards(&self, script: &str) -> io::Result<()> {
        std::fs::write(self.folder.join("afterwards"), script)
    }
}

/// Clears away what is left in `folder` of a cluster whose own reaper was killed.
///
/// # Errors
/// When the folder is still there afterwards.
pub fn sweep(folder: &Path) -> anyhow::Result<()> {
    shell(folder).stdin(Stdio::null()).status().context("cannot run bash")?;
    anyhow::ensure!(!folder.exists(), "{} is still there", folder.display());
    Ok(())
}

fn shell(folder: &Path) -> Command {
    let mut command = Command::new("bash");
    command
        .args(["-c", SCRIPT, "reaper"])
        .arg(folder)
        .arg(MARK)
        .arg(std::env::var_os(KEEP).map_or("", |_| "keep"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: an interrupt from the terminal shall not reach it.
        .process_group(0);
    command
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing is to be done about a shell that failed.
        let _ = self.shell.wait();
    }
}
