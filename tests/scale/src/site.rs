//! A control plane as a process of its own, over a folder of YAML.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::mesh::binary;
use lateen_testkit::program::{self, Program};
use lateen_testkit::{port, usage, wait};
use tempfile::TempDir;

/// How long the control plane may take to have read everything.
const READY: Duration = Duration::from_secs(60);

/// How often memory is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// A control plane whose mesh has the addresses that its objects say, with its plain-text port open.
pub struct Site {
    controller: Program,
    /// Where Envoys connect to, by plain text.
    pub discovery: SocketAddr,
    /// Where proxies connect to, with TLS and tokens.
    pub native: SocketAddr,
    monitoring: SocketAddr,
    folder: TempDir,
}

impl Site {
    /// Writes the files and starts a control plane over them; comes back when it has read them.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for part in ["mesh", "state", "logs"] {
            std::fs::create_dir(folder.path().join(part))?;
        }
        for (name, text) in files {
            std::fs::write(folder.path().join("mesh").join(name), text)?;
        }
        let mut command = Command::new(binary());
        command.args(["controller", "--addresses", "real"]);
        command.arg("--dir").arg(folder.path().join("mesh"));
        command.arg("--state").arg(folder.path().join("state"));
        Self::run(command, folder)
    }

    /// Starts a control plane on one core of this machine over the cluster of a kubeconfig; comes back when
    /// it has read it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn in_cluster(kubeconfig: &Path, core: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("logs"))?;
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(binary());
        command.arg("controller").arg("--kubeconfig").arg(kubeconfig);
        Self::run(command, folder)
    }

    fn run(mut command: Command, folder: TempDir) -> anyhow::Result<Self> {
        let (native, discovery, monitoring) =
            (port::free_on_loopback()?, port::free_on_loopback()?, port::free_on_loopback()?);
        command.args(["--listen", &native.to_string(), "--monitoring", &monitoring.to_string()]);
        command.args(["--plaintext-xds", &discovery.to_string()]);
        let mut controller = Program::start("controller", command, &folder.path().join("logs"))?;
        wait::until("the control plane is ready", READY, || {
            controller.running()?;
            let url = format!("http://{monitoring}/ready");
            let (status, text) = program::run("curl", ["-sf", "-o", "/dev/null", &url])?;
            anyhow::ensure!(status.success(), "not ready: {text}");
            Ok(())
        })?;
        Ok(Self { controller, discovery, native, monitoring, folder })
    }

    /// Where programs write their logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// Replaces a file of the mesh as an editor does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let aside = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&aside, text)?;
        std::fs::rename(&aside, self.folder.path().join("mesh").join(name))?;
        Ok(())
    }

    /// Processor time that the control plane has used.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        usage::cpu_time(self.controller.id())
    }

    /// Memory of the control plane (PSS) in megabytes of 1,000,000 bytes.
    ///
    /// # Errors
    /// When it does not run.
    pub fn memory(&self) -> anyhow::Result<f64> {
        usage::pss_megabytes(self.controller.id())
    }

    /// Watches the memory of the control plane until asked for its peak.
    #[must_use]
    pub fn watch_memory(&self) -> Peak {
        let (process, stop) = (self.controller.id(), Arc::new(AtomicBool::new(false)));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut peak: f64 = 0.0;
            while !asked.load(Ordering::Relaxed) {
                peak = peak.max(usage::pss_megabytes(process)?);
                std::thread::sleep(PAUSE);
            }
            Ok(peak)
        });
        Peak { stop, thread }
    }

    /// Waits until every client has acknowledged all that it should have.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn at_rest(&self) -> anyhow::Result<()> {
        wait::until("all clients are in sync", READY, || {
            let url = format!("http://{}/debug/syncz", self.monitoring);
            let (_, text) = program::run("curl", ["-s", &url])?;
            let proxies: Vec<serde_json::Value> = serde_json::from_str(&text).context("syncz")?;
            let pending = proxies.iter().find(|proxy| proxy["status"] != "SYNCED");
            anyhow::ensure!(pending.is_none(), "not in sync: {pending:?}");
            Ok(())
        })
    }

    /// How many responses were refused, by the control plane's own count.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn refused(&self) -> anyhow::Result<f64> {
        let url = format!("http://{}/metrics", self.monitoring);
        let (_, text) = program::run("curl", ["-s", &url])?;
        let lines = text.lines().filter(|line| line.starts_with("pilot_total_xds_rejects{"));
        let counts: Vec<f64> = lines
            .map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse()?))
            .collect::<anyhow::Result<_>>()?;
        anyhow::ensure!(!counts.is_empty(), "no count of refusals in:\n{text}");
        Ok(counts.into_iter().sum())
    }
}

/// A watch of the control plane's memory.
pub struct Peak {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<f64>>,
}

impl Peak {
    /// The most that it had, in megabytes of 1,000,000 bytes.
    ///
    /// # Errors
    /// When the control plane has ended.
    pub fn end(self) -> anyhow::Result<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow::anyhow!("the watch panicked"))?
    }
}
