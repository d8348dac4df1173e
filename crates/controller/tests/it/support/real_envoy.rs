//! A real Envoy that takes its configuration from the plain-text port.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use lateen_testkit::envoy::{self, Sites};
use lateen_testkit::keys::Keys;
use lateen_testkit::port;
use lateen_testkit::program::Program;
use serde_json::{Value, json};

use super::{Mesh, get};

/// Runs this test once more in a network of its own, where ports are free; `true` in there. Without an
/// Envoy, or without the means for that, the test is skipped, and says so.
pub fn is_alone(test: &str) -> bool {
    const MARK: &str = "LATEEN_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let Ok(envoy) = envoy::binary() else {
        println!("skipped: there is no Envoy, LATEEN_ENVOY names none");
        return false;
    };
    let isolated = |program: &str| {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", program]);
        command
    };
    if !isolated("true").output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network of its own can be made, which takes root");
        return false;
    }
    let own = std::env::current_exe().expect("a program");
    let output = isolated(own.to_str().expect("a path"))
        .args(["--exact", test, "--nocapture"])
        .env(MARK, "1")
        .env("LATEEN_ENVOY", envoy)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let is_good = output.status.success() && said.contains("test result: ok. 1 passed");
    assert!(is_good, "{test} failed in its own network:\n{said}");
    false
}

/// See the module.
pub struct Envoy {
    program: Program,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts it as the proxy of a workload.
    pub async fn start(mesh: &Mesh, role: &str, workload: &str, folder: &Path) -> Self {
        let (namespace, name) = workload.split_once('/').expect("namespace/name");
        let keys = Keys::start().await.expect("keys");
        let admin = port::free_on_loopback().expect("a port");
        let node = json!({
            "id": format!("{role}~10.1.0.1~{name}.{namespace}~{namespace}.svc.cluster.local"),
            "cluster": name,
            "metadata": { "NAMESPACE": namespace },
        });
        let bootstrap = envoy::bootstrap(Sites { discovery: mesh.plaintext(), keys, admin }, &node);
        let path = folder.join(format!("{name}.json"));
        std::fs::write(&path, bootstrap.to_string()).expect("it is written");
        let mut command = Command::new(envoy::binary().expect("an Envoy"));
        command.arg("--config-path").arg(&path).args([
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "info",
        ]);
        let program = Program::start(name, command, folder).expect("it starts");
        Self { program, admin }
    }

    /// A page of its admin interface.
    pub async fn page(&mut self, path: &str) -> Option<String> {
        self.program.running().expect("Envoy runs");
        tokio::net::TcpStream::connect(self.admin).await.ok()?;
        let (status, body) = get(self.admin, path).await;
        (status == 200).then_some(body)
    }

    /// Waits until it is live.
    pub async fn live(&mut self) {
        let deadline = tokio::time::Instant::now() + super::LIMIT;
        while self.page("/ready").await.as_deref() != Some("LIVE\n") {
            assert!(tokio::time::Instant::now() < deadline, "not live: {}", self.program.output());
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Fails when it refused something, waited for something in vain, or has something warming.
    pub async fn is_well(&mut self) {
        let stats = self.page("/stats").await.expect("its statistics");
        let bad = ["update_rejected", "init_fetch_timeout", "listener_create_failure"];
        for line in stats.lines() {
            if let Some((name, count)) = line.split_once(": ")
                && bad.iter().any(|bad| name.ends_with(bad))
            {
                assert_eq!(count, "0", "{line}\n{}", self.program.output());
            }
        }
        let dump = self.page("/config_dump").await.expect("its configuration");
        for warming in ["dynamic_warming_clusters", "warming_state", "error_state"] {
            assert!(!dump.contains(warming), "{warming}: {dump}");
        }
        let log = self.program.output();
        for bad in ["rejected", "initial fetch timed out", "[warning]", "[error]", "[critical]"] {
            let lines: Vec<&str> = log.lines().filter(|line| line.contains(bad)).collect();
            let lines: Vec<&&str> = lines.iter().filter(|line| !is_expected(line)).collect();
            assert!(lines.is_empty(), "{lines:#?}");
        }
    }

    /// Names of its active clusters and listeners.
    pub async fn active(&mut self) -> Vec<String> {
        let clusters = self.page("/config_dump?resource=dynamic_active_clusters").await;
        let listeners = self.page("/config_dump?resource=dynamic_listeners").await;
        let mut names = Vec::new();
        for page in [clusters, listeners].into_iter().flatten() {
            let page: Value = serde_json::from_str(&page).expect("JSON");
            for config in page["configs"].as_array().into_iter().flatten() {
                let name = config.pointer("/cluster/name").or_else(|| config.get("name"));
                names.extend(name.and_then(Value::as_str).map(ToOwned::to_owned));
            }
        }
        names
    }

    /// The routes that it has, as JSON.
    pub async fn routes(&mut self) -> String {
        self.page("/config_dump?resource=dynamic_route_configs").await.unwrap_or_default()
    }

    /// The endpoints that it has.
    pub async fn endpoints(&mut self) -> String {
        self.page("/clusters").await.unwrap_or_default()
    }
}

/// What a control plane that is away leaves in the log.
fn is_expected(line: &str) -> bool {
    line.contains("gRPC config stream to xds-grpc closed")
}
