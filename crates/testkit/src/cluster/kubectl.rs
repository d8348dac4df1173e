//! Asking the API server as a user would.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::cluster::programs::Programs;

/// `kubectl` with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Where it may keep what it has learned of the API server.
    cache: PathBuf,
}

impl Kubectl {
    /// With this kubeconfig; what it caches goes beside it.
    #[must_use]
    pub fn new(programs: &Programs, kubeconfig: &Path) -> Self {
        Self {
            program: programs.path("kubectl"),
            kubeconfig: kubeconfig.to_owned(),
            cache: kubeconfig.with_extension("cache"),
        }
    }

    /// The kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The command with `arguments`, not yet started.
    pub fn command<I>(&self, arguments: I) -> Command
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .args(arguments);
        command
    }

    /// Runs it; what it printed.
    ///
    /// # Errors
    /// When it fails, with what it complained of.
    pub fn run<I>(&self, arguments: I) -> anyhow::Result<String>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        self.with_input(arguments, "")
    }

    /// Runs it with `input` on standard input; what it printed.
    ///
    /// # Errors
    /// When it fails, with what it complained of.
    pub fn with_input<I>(&self, arguments: I, input: &str) -> anyhow::Result<String>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = self.command(arguments);
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {shown}"))?;
        let mut pipe = child.stdin.take().expect("invariant: standard input is a pipe");
        let text = input.to_owned();
        // Beside the reading: neither side may wait for the other with full pipes.
        let writer = std::thread::spawn(move || pipe.write_all(text.as_bytes()));
        let output = child.wait_with_output()?;
        let written = writer.join().expect("invariant: writing does not panic");
        anyhow::ensure!(
            output.status.success(),
            "{shown}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        written.with_context(|| format!("{shown} did not read its input"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies objects (YAML or JSON).
    ///
    /// # Errors
    /// When one of them is refused.
    pub fn apply(&self, objects: &str) -> anyhow::Result<String> {
        self.with_input(["apply", "--filename", "-"], objects)
    }

    /// An object, or a list of them, as JSON.
    ///
    /// # Errors
    /// When there is none.
    pub fn json<I>(&self, arguments: I) -> anyhow::Result<serde_json::Value>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        let printed = self.run(arguments.chain(["--output".into(), "json".into()]))?;
        serde_json::from_str(&printed).context("kubectl did not print JSON")
    }
}
