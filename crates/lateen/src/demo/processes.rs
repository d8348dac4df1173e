//! The processes of the demo: started together, and gone together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

/// How long a process may take to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// Processes that end when this is dropped or [`Processes::stop`] is called. Each runs below
/// `lateen guard`, so that the kernel ends it even when the demo itself is killed.
pub struct Processes {
    program: PathBuf,
    logs: PathBuf,
    running: Vec<(String, Child)>,
}

impl Processes {
    /// `program` is this very binary; output goes to `logs/NAME.log`.
    pub fn new(program: PathBuf, logs: &Path) -> Self {
        Self { program, logs: logs.to_owned(), running: Vec::new() }
    }

    /// Starts a subcommand of this binary.
    pub fn start_role<I, S>(&mut self, name: &str, arguments: I) -> anyhow::Result<()>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let program = self.program.clone();
        self.start(name, &program, arguments)
    }

    /// Starts any program.
    pub fn start<I, S>(&mut self, name: &str, program: &Path, arguments: I) -> anyhow::Result<()>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let log = self.log(name);
        // To be appended to: a program may open what it inherited once more by name.
        let output = File::options()
            .create_new(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(&self.program)
            .arg(lateen_agent::guard::COMMAND)
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", program.display()))?;
        self.running.push((name.to_owned(), child));
        Ok(())
    }

    /// Where the output of a process goes.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The first process that has ended although nobody asked it to, with the end of its log.
    pub fn failed(&mut self) -> Option<String> {
        for (name, child) in &mut self.running {
            if let Ok(Some(status)) = child.try_wait() {
                let log = self.logs.join(format!("{name}.log"));
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let tail: Vec<&str> = text.lines().rev().take(5).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Some(format!("{name} ended ({status}):\n{}", tail.join("\n")));
            }
        }
        None
    }

    /// Asks every process to end, in the reverse of the order they were started in, and ends
    /// those that take too long.
    pub async fn stop(&mut self) {
        for (_, child) in self.running.iter().rev() {
            if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok())
                && let Some(pid) = rustix::process::Pid::from_raw(pid)
            {
                // It may have ended by itself in the meantime, which is just as well.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        for (name, mut child) in self.running.drain(..).rev() {
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                eprintln!("{name} did not end in {} s and is killed", PATIENCE.as_secs());
                let _ = child.kill().await;
            }
        }
    }
}
