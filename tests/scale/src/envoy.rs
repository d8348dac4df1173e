//! The real Envoy on the control plane's plain-text port.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::envoy::{self, Sites};
use lateen_testkit::port;
use lateen_testkit::program::{self, Program};
use lateen_testkit::wait;
use serde_json::{Value, json};

use crate::client::Workload;

/// How long Envoy may take to have everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running Envoy.
pub struct Envoy {
    program: Program,
    admin: SocketAddr,
}

impl Envoy {
    /// Starts the program at `binary`; its bootstrap and its log go to `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        binary: &Path,
        keys: SocketAddr,
        folder: &Path,
        discovery: SocketAddr,
        workload: &Workload,
    ) -> anyhow::Result<Self> {
        let admin = port::free_on_loopback()?;
        let name = format!("envoy-{}", workload.name);
        let config = folder.join(format!("{name}.json"));
        std::fs::write(&config, bootstrap(Sites { discovery, keys, admin }, workload).to_string())?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&config);
        command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "warning"]);
        Ok(Self { program: Program::start(&name, command, folder)?, admin })
    }

    /// Waits until it runs, with at least so many clusters and none warming.
    ///
    /// # Errors
    /// When it does not come so far in time.
    pub fn settled(&mut self, clusters: u64) -> anyhow::Result<()> {
        wait::until("Envoy has everything", PATIENCE, || {
            self.program.running()?;
            let statistics = self.statistics()?;
            let value = |name: &str| statistics.get(name).copied().unwrap_or_default();
            anyhow::ensure!(value("server.state") == 0, "it is not live");
            let (active, warming) = (
                value("cluster_manager.active_clusters"),
                value("cluster_manager.warming_clusters"),
            );
            anyhow::ensure!(
                active >= clusters && warming == 0,
                "{active} clusters, {warming} warming"
            );
            anyhow::ensure!(
                value("listener_manager.total_listeners_warming") == 0,
                "listeners warm"
            );
            anyhow::ensure!(value("listener_manager.total_listeners_active") > 0, "no listener");
            Ok(())
        })
    }

    /// Its numbers.
    ///
    /// # Errors
    /// When its admin page does not answer.
    pub fn statistics(&self) -> anyhow::Result<std::collections::BTreeMap<String, u64>> {
        let url = format!("http://{}/stats", self.admin);
        let (status, text) = program::run("curl", ["-sf", &url])?;
        anyhow::ensure!(status.success(), "the admin page does not answer");
        let pairs = text.lines().filter_map(|line| line.split_once(": "));
        Ok(pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// Fails when Envoy complained about something.
    ///
    /// # Errors
    /// The lines of its log.
    pub fn content(&self) -> anyhow::Result<()> {
        let log = self.program.output();
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| {
                ["[warning]", "[error]", "[critical]"].iter().any(|level| line.contains(level))
            })
            .collect();
        anyhow::ensure!(complaints.is_empty(), "Envoy says:\n{}", complaints.join("\n"));
        Ok(())
    }

    /// Sum of a number over all names with this beginning and end.
    ///
    /// # Errors
    /// When its admin page does not answer.
    pub fn sum(&self, prefix: &str, suffix: &str) -> anyhow::Result<u64> {
        let statistics = self.statistics().context("the numbers of Envoy")?;
        let wanted = |name: &str| name.starts_with(prefix) && name.ends_with(suffix);
        Ok(statistics.iter().filter(|(name, _)| wanted(name)).map(|(_, value)| value).sum())
    }
}

fn bootstrap(sites: Sites, workload: &Workload) -> Value {
    let Workload { namespace, name } = workload;
    let node = json!({
        "id": format!("sidecar~10.1.1.1~{name}.{namespace}~{namespace}.svc.cluster.local"),
        "cluster": format!("load.{namespace}"),
        "metadata": {"NAMESPACE": namespace, "LABELS": {"app": "load"}}
    });
    let mut bootstrap = envoy::bootstrap(sites, &node);
    // A control plane that serves two hundred at once may take its time for the first answer.
    for kind in ["cds_config", "lds_config"] {
        bootstrap["dynamic_resources"][kind]["initial_fetch_timeout"] = json!("0s");
    }
    bootstrap["stats_config"] = json!({"stats_matcher": {"inclusion_list": {"patterns": [
        {"prefix": "cluster_manager"}, {"prefix": "listener_manager"}, {"prefix": "server"},
        {"suffix": "update_rejected"}, {"suffix": "config_reload"}, {"suffix": "update_success"}
    ]}}});
    bootstrap["deferred_stat_options"] = json!({"enable_deferred_creation_stats": true});
    bootstrap
}
