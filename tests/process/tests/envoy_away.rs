//! What fails while an Envoy, an agent or the control plane is killed, and why.
//!
//! A caller and a server, each with an Envoy, under 1,000 requests a second. Whatever fails is told by
//! its cause; the table of `docs/envoy.md` is what this prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lateen_process_tests::load::{Load, Outcome, RATE};
use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::{Mesh, curl};
use lateen_testkit::program::{self, Program};
use lateen_testkit::wait;

/// Seconds of load for one event.
const SECONDS: u32 = 8;

const CALLER: &str = "test/caller";
const SERVER: &str = "test/web-1";
const HOST: &str = "web.test.svc.cluster.local";
const ENVOY: [&str; 2] = ["--engine", "envoy"];

/// Within what an Envoy that was killed serves again, its agent's back-off included.
const BACK: Duration = Duration::from_secs(5);

struct Scene {
    mesh: Mesh,
    _application: Program,
}

/// What an event came to.
struct Told {
    outcome: Outcome,
    /// What the client met, by the kind of its error.
    errors: BTreeMap<String, u64>,
    /// What the caller's Envoy answered by itself, by its response flags.
    flags: BTreeMap<String, u64>,
}

impl Scene {
    fn start() -> Self {
        let text = [
            yaml::pod("web-1", "web", "v1", "10.0.0.1"),
            yaml::pod("caller", "caller", "v1", "10.0.0.9"),
            yaml::service("web", "10.96.0.1", "http", (80, 8080), &[("web-1", "10.0.0.1", true)]),
        ]
        .concat();
        let mut mesh = Mesh::start(&[("mesh.yaml", &yaml::mesh("")), ("workloads.yaml", &text)])
            .expect("mesh");
        let listen = mesh.application(SERVER, 8080).expect("an address");
        let application = peers::nginx(&mesh, "web-1", listen).expect("NGINX");
        for workload in [SERVER, CALLER] {
            mesh.start_proxy(workload, &ENVOY).expect("an Envoy");
        }
        let scene = Self { mesh, _application: application };
        scene.until_served();
        scene
    }

    fn address(&self) -> SocketAddr {
        self.mesh.service(CALLER, HOST, 80).expect("the service")
    }

    fn until_served(&self) {
        let url = format!("http://{}/", self.address());
        wait::until("requests are served", BACK, || {
            let (_, text) = curl(&["-H", &format!("Host: {HOST}"), &url])?;
            ensure!(text.ends_with("\n200"), "{text}");
            Ok(())
        })
        .expect("the mesh serves");
    }

    /// Has `event` happen under load, and tells what failed.
    fn under_load(&mut self, event: impl FnOnce(&mut Self)) -> Told {
        let (before, entries) = (self.logged_flags(), self.log_entries().len());
        let load = Load::start_reconnecting(&self.mesh, self.address(), HOST, SECONDS);
        let load = load.expect("the load");
        // The event comes when the load runs.
        wait::until("the load runs", BACK, || {
            ensure!(self.log_entries().len() > entries, "nothing is logged");
            Ok(())
        })
        .expect("the load");
        event(self);
        let (outcome, errors) = load.finish_with_errors().expect("the load's report");
        let flags = wait::until("every failure is logged", Duration::from_secs(15), || {
            let mut flags = self.logged_flags();
            for (flag, count) in &before {
                // The log of another agent begins anew.
                let flag = flags.entry(flag.clone()).or_default();
                *flag = flag.saturating_sub(*count);
            }
            flags.retain(|_, count| *count > 0);
            let logged: u64 = flags.values().sum();
            ensure!(logged >= outcome.failed, "{logged} of {} are logged", outcome.failed);
            Ok(flags)
        });
        self.until_served();
        Told { outcome, errors, flags: flags.expect("the access log") }
    }

    fn log_entries(&self) -> Vec<serde_json::Value> {
        let log = self.mesh.logs().join("proxy-test-caller.log");
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn logged_flags(&self) -> BTreeMap<String, u64> {
        let mut flags = BTreeMap::new();
        for entry in self.log_entries() {
            if entry["response_code"].as_u64().is_some_and(|status| status >= 500) {
                let flag = entry["response_flags"].as_str().unwrap_or("none").to_owned();
                *flags.entry(flag).or_default() += 1;
            }
        }
        flags
    }

    fn kill_envoy(&mut self, workload: &str) -> u32 {
        let envoy = envoy_of(self.mesh.proxy(workload).id()).expect("the agent has an Envoy");
        kill(envoy);
        envoy
    }

    /// A metric of the agent of `workload`.
    fn metric(&self, workload: &str, name: &str) -> anyhow::Result<u64> {
        let address = self.mesh.workload(workload)?["metrics"].as_str().context("no metrics")?;
        let (_, page) = curl(&[&format!("http://{address}/stats/prometheus")])?;
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {name}"))?.parse()?)
    }
}

/// The Envoy of an agent.
fn envoy_of(agent: u32) -> anyhow::Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{agent}/task/{agent}/children"))?;
    Ok(children.split_whitespace().next().context("no child")?.parse()?)
}

fn kill(process: u32) {
    let (status, said) = program::run("kill", ["-s", "KILL", &process.to_string()]).expect("kill");
    assert!(status.success(), "{said}");
}

fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains("zombie"))
}

impl Told {
    fn print(&self, event: &str) {
        let Outcome { total, good, failed, unanswered, .. } = self.outcome;
        println!(
            "{event}: {total} requests, {good} good, {failed} answered with 5xx {:?}, \
             {unanswered} without an answer {:?}",
            self.flags, self.errors
        );
    }

    /// Failures outside of the given kinds of the client's errors and flags of Envoy.
    fn assert_only(&self, errors: &[&str], flags: &[&str]) {
        let strange = self.errors.keys().find(|kind| !errors.contains(&kind.as_str()));
        assert_eq!(strange, None, "{:?}", self.errors);
        let strange = self.flags.keys().find(|kind| !flags.contains(&kind.as_str()));
        assert_eq!(strange, None, "{:?}", self.flags);
        assert_eq!(self.outcome.refused, 0, "nobody is denied: {:?}", self.outcome);
    }
}

/// What a client meets whose server is gone: closed connections, and for as long as nobody listens
/// refused ones.
const GONE: [&str; 4] =
    ["BrokenPipeError", "ConnectionRefusedError", "ConnectionResetError", "EOFError"];

#[test]
fn what_fails_has_its_cause() {
    let mut scene = Scene::start();
    let most = u64::from(RATE) * BACK.as_secs();

    let told = scene.under_load(Scene::lose_control_plane);
    told.print("the control plane killed and started again");
    told.assert_only(&[], &[]);
    assert_eq!(told.outcome.good, told.outcome.total, "nobody needs it for what is known");

    let told = scene.under_load(|scene| {
        scene.kill_envoy(CALLER);
    });
    told.print("the caller's Envoy killed");
    told.assert_only(&GONE, &[]);
    assert!((1..=most).contains(&told.outcome.unanswered), "{:?}", told.outcome);
    assert_eq!(scene.metric(CALLER, "lateen_agent_envoy_crashes_total").unwrap(), 1);

    let told = scene.under_load(|scene| {
        scene.kill_envoy(SERVER);
    });
    told.print("the server's Envoy killed");
    // No connection, with the retries that Istio makes by default used up; or one that broke.
    told.assert_only(&[], &["UF", "UF,URX", "URX,UF", "UC", "UC,URX", "UR", "UH"]);
    assert!((1..=most).contains(&told.outcome.failed), "{:?}", told.outcome);
    assert_eq!(scene.metric(SERVER, "lateen_agent_envoy_crashes_total").unwrap(), 1);

    let told = scene.under_load(Scene::lose_agent);
    told.print("the caller's agent killed, and started again by whoever watches over it");
    told.assert_only(&GONE, &[]);
    assert!((1..=most).contains(&told.outcome.unanswered), "{:?}", told.outcome);
}

impl Scene {
    fn lose_control_plane(&mut self) {
        self.mesh.kill_controller();
        self.mesh.start_controller(&[]).expect("the control plane starts again");
        wait::until("Envoy is configured again", Duration::from_secs(30), || {
            ensure!(self.metric(CALLER, "lateen_control_plane_connected")? == 1, "not connected");
            Ok(())
        })
        .expect("the stream");
    }

    /// The kernel ends an Envoy whose agent is gone: it would serve with keys that nobody renews.
    fn lose_agent(&mut self) {
        let agent = self.mesh.release_proxy(CALLER).expect("the agent");
        let envoy = envoy_of(agent.id()).expect("the agent has an Envoy");
        agent.kill();
        let killed = Instant::now();
        wait::until("Envoy ends with its agent", BACK, || {
            ensure!(!is_running(envoy), "it runs");
            Ok(())
        })
        .expect("the end of Envoy");
        assert!(killed.elapsed() < BACK);
        self.mesh.start_proxy(CALLER, &ENVOY).expect("another agent");
    }
}
