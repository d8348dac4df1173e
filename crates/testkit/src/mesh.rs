//! A mesh on loopback: a control plane and proxies on a directory, by the built binary.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::port;
use crate::program::{self, Program};
use crate::turn::Turn;
use crate::wait;

/// How long a part may take to become ready.
pub const READY: Duration = Duration::from_secs(30);

/// The built `lateen` binary: `LATEEN_BIN`, else the one beside the running test.
///
/// # Panics
/// When there is none: the tests cannot show anything then.
#[must_use]
pub fn binary() -> PathBuf {
    let given = std::env::var_os("LATEEN_BIN").map(PathBuf::from);
    let path = given.unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let folder = test.ancestors().nth(2).expect("tests live in target/PROFILE/deps");
        folder.join("lateen")
    });
    assert!(path.is_file(), "{} is not built: run `cargo build -p lateen`", path.display());
    path
}

/// A control plane and the proxies of a folder of YAML.
pub struct Mesh {
    proxies: BTreeMap<String, Program>,
    controller: Option<Program>,
    /// Where the control plane listens.
    pub controller_address: SocketAddr,
    /// Where it answers questions about itself.
    pub monitoring: SocketAddr,
    /// What `lateen addresses -o json` says of the folder.
    pub addresses: Value,
    folder: TempDir,
    _turn: Turn,
}

impl Mesh {
    /// Writes the files, starts the control plane, and waits until it is ready.
    ///
    /// # Errors
    /// When something does not start in time.
    pub fn start(files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let turn = Turn::take()?;
        let folder = tempfile::tempdir()?;
        for part in ["mesh", "state", "logs"] {
            std::fs::create_dir(folder.path().join(part))?;
        }
        for (name, text) in files {
            std::fs::write(folder.path().join("mesh").join(name), text)?;
        }
        let mut mesh = Self {
            proxies: BTreeMap::new(),
            controller: None,
            controller_address: port::free_on_loopback()?,
            monitoring: port::free_on_loopback()?,
            addresses: Value::Null,
            folder,
            _turn: turn,
        };
        mesh.read_addresses()?;
        mesh.start_controller(&[])?;
        Ok(mesh)
    }

    /// The folder with the YAML.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.folder.path().join("mesh")
    }

    /// The control plane's state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Where programs write their logs, and tests what they need.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// Replaces a file of the mesh as an editor does.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let aside = self.directory().join(format!(".{name}.new"));
        std::fs::write(&aside, text)?;
        std::fs::rename(&aside, self.directory().join(name))?;
        Ok(())
    }

    /// Reads the addresses anew, after the YAML gained or lost workloads or services.
    ///
    /// # Errors
    /// When `lateen addresses` fails.
    pub fn read_addresses(&mut self) -> anyhow::Result<()> {
        let directory = self.directory();
        let output = Command::new(binary())
            .args(["addresses", "-o", "json", "--dir"])
            .arg(&directory)
            .output()?;
        anyhow::ensure!(
            output.status.success(),
            "lateen addresses: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        self.addresses = serde_json::from_slice(&output.stdout)?;
        Ok(())
    }

    /// Starts the control plane (again), with further arguments, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready in time.
    pub fn start_controller(&mut self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(binary());
        command
            .arg("controller")
            .arg("--dir")
            .arg(self.directory())
            .args(["--listen", &self.controller_address.to_string()])
            .args(["--monitoring", &self.monitoring.to_string()])
            .arg("--state")
            .arg(self.state())
            .args(arguments);
        let mut program = Program::start("controller", command, &self.logs())?;
        let ready = format!("http://{}/ready", self.monitoring);
        wait::until("the control plane is ready", READY, || {
            program.running()?;
            let (_, text) = curl(&["--fail", &ready])?;
            anyhow::ensure!(text.ends_with("\n200"), "{ready} says {text}");
            Ok(())
        })?;
        self.controller = Some(program);
        Ok(())
    }

    /// The running control plane.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn controller(&mut self) -> &mut Program {
        self.controller.as_mut().expect("the control plane was started")
    }

    /// Ends the control plane at once, as a crash would.
    pub fn kill_controller(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.kill();
        }
    }

    /// Starts the proxy of `namespace/name` and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready in time.
    pub fn start_proxy(&mut self, workload: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut program = self.spawn_proxy(workload, arguments)?;
        self.await_ready(workload, &mut program)?;
        self.proxies.insert(workload.to_owned(), program);
        Ok(())
    }

    /// Starts a proxy without waiting for it; it belongs to the caller.
    ///
    /// # Errors
    /// When it does not start.
    pub fn spawn_proxy(&self, workload: &str, arguments: &[&str]) -> anyhow::Result<Program> {
        let mut command = Command::new(binary());
        command
            .args(["proxy", "--controller", &self.controller_address.to_string()])
            .arg("--state")
            .arg(self.state())
            .args(["--workload", workload])
            .args(arguments);
        let name = format!("proxy-{}", workload.replace('/', "-"));
        Program::start(&name, command, &self.logs())
    }

    /// Waits until the proxy says that it is ready.
    ///
    /// # Errors
    /// When it does not in time, with its log.
    pub fn await_ready(&self, workload: &str, program: &mut Program) -> anyhow::Result<()> {
        let health = self.workload(workload)?["health"].as_str().context("no health address")?;
        let url = format!("http://{health}/healthz/ready");
        wait::until(&format!("the proxy of {workload} is ready"), READY, || {
            program.running()?;
            let (_, text) = curl(&["--max-time", "2", &url])?;
            anyhow::ensure!(text.ends_with("\n200"), "{url} says {text}\n{}", program.output());
            Ok(())
        })
    }

    /// A started proxy.
    ///
    /// # Panics
    /// When it was never started.
    pub fn proxy(&mut self, workload: &str) -> &mut Program {
        self.proxies.get_mut(workload).expect("the proxy was started")
    }

    /// Takes a started proxy out of the mesh's hands.
    pub fn release_proxy(&mut self, workload: &str) -> Option<Program> {
        self.proxies.remove(workload)
    }

    /// What `lateen addresses` says of one workload.
    ///
    /// # Errors
    /// When there is no such workload.
    pub fn workload(&self, workload: &str) -> anyhow::Result<&Value> {
        let workloads = self.addresses["workloads"].as_array().context("no workloads")?;
        workloads
            .iter()
            .find(|entry| {
                let name = format!(
                    "{}/{}",
                    entry["namespace"].as_str().unwrap_or_default(),
                    entry["name"].as_str().unwrap_or_default()
                );
                name == workload
            })
            .with_context(|| format!("there is no workload {workload}"))
    }

    /// Where `workload` dials `port` of `host`.
    ///
    /// # Errors
    /// When it does not see it.
    pub fn service(&self, workload: &str, host: &str, port: u16) -> anyhow::Result<SocketAddr> {
        entry(&self.workload(workload)?["services"], port, "address", |service| {
            service["host"] == host
        })
    }

    /// Where the application of `workload` listens for `port`.
    ///
    /// # Errors
    /// When no service declares the port.
    pub fn application(&self, workload: &str, port: u16) -> anyhow::Result<SocketAddr> {
        entry(&self.workload(workload)?["ports"], port, "application", |_| true)
    }

    /// Where the sidecar of `workload` takes connections for `port`.
    ///
    /// # Errors
    /// When no service declares the port.
    pub fn inbound(&self, workload: &str, port: u16) -> anyhow::Result<SocketAddr> {
        entry(&self.workload(workload)?["ports"], port, "inbound", |_| true)
    }

    /// Where a gateway listens for `port`.
    ///
    /// # Errors
    /// When it does not open the port.
    pub fn listener(&self, workload: &str, port: u16) -> anyhow::Result<SocketAddr> {
        entry(&self.workload(workload)?["listeners"], port, "address", |_| true)
    }
}

fn entry(
    list: &Value,
    port: u16,
    field: &str,
    also: impl Fn(&Value) -> bool,
) -> anyhow::Result<SocketAddr> {
    let found = list
        .as_array()
        .and_then(|list| list.iter().find(|entry| entry["port"] == port && also(entry)))
        .with_context(|| format!("no port {port} among {list}"))?;
    Ok(found[field].as_str().with_context(|| format!("no `{field}` in {found}"))?.parse()?)
}

/// Exit status and output of curl: the body, and on a line of its own the status code (`000`
/// without an answer).
///
/// # Errors
/// When curl cannot be run.
pub fn curl(arguments: &[&str]) -> anyhow::Result<(std::process::ExitStatus, String)> {
    let mut all = vec!["--silent", "--max-time", "15", "--write-out", "\n%{http_code}"];
    all.extend(arguments);
    program::run("curl", all)
}

/// Where the corpora are, if they stand beside the checkout.
#[must_use]
pub fn corpora() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    root.is_dir().then_some(root)
}
