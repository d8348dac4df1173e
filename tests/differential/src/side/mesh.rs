//! The control plane and the proxies under test.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::http1::{Framing, Reader, write};
use super::process::{Program, Tail};
use super::protocol::{Engine, Prepared};
use super::rest::until_all_sleep;
use super::stream::Stream;
use crate::bed::MARKER;
use crate::scenario::{CLIENT, GATEWAY, Place, SERVER};

/// Where the control plane listens, in the namespace of the side.
const CONTROLLER: &str = "127.0.0.1:15012";
/// Where it answers questions about itself.
const MONITORING: &str = "127.0.0.1:15014";

/// An Envoy's port for administration, and what it waits for.
const ADMIN: u16 = 15000;
const WARMING: &str =
    "/stats?filter=^(listener_manager.total_listeners_warming|cluster_manager.warming_clusters)$";

/// How long a request may wait for what the native proxy gets on demand, also on a busy machine: Envoy
/// has it beforehand.
const DETAILS: &str = "8s";

/// How long a program may take to become ready.
const START: Duration = Duration::from_secs(60);
/// How long a mesh may take until every proxy runs on it.
const SWITCH: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(3);

/// The workloads whose proxies are under test.
const PROXIES: [(Place, &str); 3] =
    [(Place::Outbound, CLIENT), (Place::Inbound, SERVER), (Place::Gateway, GATEWAY)];

/// What runs on a side.
pub struct Mesh {
    engine: Engine,
    folder: TempDir,
    controller: Program,
    proxies: Vec<(Place, Program)>,
    monitoring: SocketAddr,
    rejects: u64,
}

impl Mesh {
    /// Starts everything on a first mesh.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start(engine: Engine, first: &Prepared) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for part in ["logs", "state", "generations"] {
            std::fs::create_dir(folder.path().join(part))?;
        }
        publish(&folder, engine, first)?;
        let logs = folder.path().join("logs");
        let binary = lateen_testkit::mesh::binary();
        let mut command = Command::new(&binary);
        command
            .arg("controller")
            .arg("--dir")
            .arg(folder.path().join("mesh"))
            .args(["--listen", CONTROLLER, "--monitoring", MONITORING, "--state"])
            .arg(folder.path().join("state"));
        let controller = Program::start("controller", command, &logs)?;
        let monitoring = MONITORING.parse()?;
        let mut this =
            Self { engine, folder, controller, proxies: Vec::new(), monitoring, rejects: 0 };
        this.until_ready(monitoring, "/ready").await.context("the control plane")?;
        for (place, workload) in PROXIES {
            let mut command = Command::new(&binary);
            command
                .args(["proxy", "--controller", CONTROLLER, "--workers", "2", "--state"])
                .arg(this.state())
                .args(["--workload", workload, "--access-log-flush", "5ms"]);
            match engine {
                Engine::Native => command.args(["--details-timeout", DETAILS]),
                Engine::Envoy => command.args(["--engine", "envoy"]),
            };
            let name = format!("{place:?}").to_lowercase();
            this.proxies.push((place, Program::start(&name, command, &logs)?));
        }
        for address in &first.places.health {
            this.until_ready(*address, "/healthz/ready").await?;
        }
        Ok(this)
    }

    /// The control plane's state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// What the proxy under test at a place writes into its access log.
    pub fn access_log(&mut self, place: Place) -> Option<&mut Tail> {
        let found = self.proxies.iter_mut().find(|(at, _)| *at == place);
        found.map(|(_, program)| &mut program.output)
    }

    /// Replaces the mesh, and returns when every proxy runs on it.
    ///
    /// # Errors
    /// When a proxy refuses it or takes too long.
    pub async fn switch(&mut self, prepared: &Prepared) -> anyhow::Result<()> {
        publish(&self.folder, self.engine, prepared)?;
        let limit = Instant::now() + SWITCH;
        self.until_taken(prepared.generation, limit).await?;
        self.until_acknowledged(limit).await?;
        if self.engine == Engine::Envoy {
            for health in &prepared.places.health {
                self.until_warm(SocketAddr::new(health.ip(), ADMIN), limit).await?;
            }
        }
        until_all_sleep(limit).await
    }

    /// Waits until the control plane has the mesh.
    async fn until_taken(&mut self, generation: u64, limit: Instant) -> anyhow::Result<()> {
        let marker = format!("{MARKER}{generation}.bed");
        loop {
            self.running()?;
            let (_, said) = get(self.monitoring, "/debug/diagnostics").await?;
            if said.contains(&marker) {
                return Ok(());
            }
            ensure!(Instant::now() < limit, "the control plane did not take the mesh: {said}");
            sleep(PAUSE).await;
        }
    }

    /// Waits until every proxy has acknowledged what the control plane has.
    async fn until_acknowledged(&mut self, limit: Instant) -> anyhow::Result<()> {
        loop {
            self.running()?;
            let (_, said) = get(self.monitoring, "/debug/syncz").await?;
            let status: Value = serde_json::from_str(&said)?;
            let list = status.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(refused) = list.iter().find(|proxy| proxy["status"] == "REFUSED") {
                anyhow::bail!("refused: {refused}");
            }
            // An agent beside an Envoy has a stream of its own.
            let serving = list.iter().filter(|proxy| proxy["data_plane"] == self.engine.name());
            let late: Vec<&Value> =
                list.iter().filter(|proxy| proxy["status"] != "SYNCED").collect();
            if late.is_empty() && serving.count() == PROXIES.len() {
                return Ok(());
            }
            ensure!(
                Instant::now() < limit,
                "not all proxies run on the mesh: {late:?}, {} connected",
                list.len()
            );
            sleep(PAUSE).await;
        }
    }

    /// Waits until an Envoy has nothing that it got and does not use yet, since a certificate, an address
    /// or endpoints are missing.
    async fn until_warm(&mut self, admin: SocketAddr, limit: Instant) -> anyhow::Result<()> {
        loop {
            self.running()?;
            let (_, said) = get(admin, WARMING).await?;
            if said.lines().all(|line| line.ends_with(": 0")) {
                return Ok(());
            }
            ensure!(Instant::now() < limit, "an Envoy still waits for something: {said}");
            sleep(PAUSE).await;
        }
    }

    /// What was refused or warned about since the last time.
    ///
    /// # Errors
    /// When something ended, or cannot be read.
    pub async fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        self.running()?;
        let mut all = Vec::new();
        let (_, metrics) = get(self.monitoring, "/metrics").await?;
        let rejects: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("pilot_total_xds_rejects"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        if rejects > 0.0 && self.rejects == 0 {
            self.rejects = 1;
            all.push(format!("the control plane counts {rejects} refusals"));
        }
        let proxies = self.proxies.iter_mut().map(|(_, program)| program);
        for program in proxies.chain([&mut self.controller]) {
            let name = program.name().to_owned();
            let lines = program.errors.lines()?;
            let bad = lines.into_iter().filter(|line| is_complaint(line));
            all.extend(bad.map(|line| format!("{name}: {line}")));
        }
        Ok(all)
    }

    fn running(&mut self) -> anyhow::Result<()> {
        self.controller.running()?;
        self.proxies.iter_mut().try_for_each(|(_, program)| program.running())
    }

    async fn until_ready(&mut self, address: SocketAddr, path: &str) -> anyhow::Result<()> {
        let limit = Instant::now() + START;
        loop {
            self.running()?;
            let said = match get(address, path).await {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {body}"),
                Err(error) => error.to_string(),
            };
            ensure!(Instant::now() < limit, "{address}{path} says {said}");
            sleep(PAUSE).await;
        }
    }
}

/// Lines of the log that say that something is wrong: ours, and Envoy's.
fn is_complaint(line: &str) -> bool {
    [" WARN ", " ERROR ", "[warning]", "[error]", "[critical]"]
        .iter()
        .any(|level| line.contains(level))
}

/// Puts a mesh into force at once: the folder is a link, and the link is replaced.
fn publish(folder: &TempDir, engine: Engine, prepared: &Prepared) -> anyhow::Result<()> {
    let generations = folder.path().join("generations");
    let here = generations.join(prepared.generation.to_string());
    std::fs::create_dir(&here)?;
    std::fs::write(here.join("mesh.yaml"), prepared.mesh_of(engine))?;
    let aside = folder.path().join("mesh.new");
    std::os::unix::fs::symlink(&here, &aside)?;
    std::fs::rename(&aside, folder.path().join("mesh"))?;
    if let Some(former) = prepared.generation.checked_sub(2) {
        // The one before is kept for whoever looks; there may be none.
        let _ = std::fs::remove_dir_all(generations.join(former.to_string()));
    }
    Ok(())
}

/// Status and body of a page.
async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = Stream::new(TcpStream::connect(address).await?)?;
    let headers = [("host", "bed"), ("connection", "close")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    write(&mut stream, &format!("GET {path} HTTP/1.1"), &headers, None, &[]).await?;
    let mut reader = Reader::new();
    let head = reader.head(&mut stream).await?.context("no answer")?;
    let status = head.line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = reader.body(&mut stream, head.framing(Framing::ToTheEnd)).await?;
    let text = String::from_utf8_lossy(&body.bytes).into_owned();
    Ok((status.with_context(|| head.line.clone())?, text))
}
