//! What happens to 1,000 requests a second while the mesh changes under them.
//!
//! Only a subset that is removed while it is referenced, and an endpoint that flaps, may cost a
//! request; everything else costs none.

use std::collections::BTreeMap;
use std::time::Duration;

use lateen_process_tests::load::{Load, Outcome, RATE};
use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::{Mesh, curl};
use lateen_testkit::program::Program;
use lateen_testkit::wait;

/// Seconds of load for one event.
const SECONDS: u32 = 8;

/// Every event comes to proxies with this many workers.
const WORKERS: [&str; 2] = ["2", "4"];

/// The workload whose sidecar takes the load.
const CALLER: &str = "test/caller";

/// A mesh with two versions of `web` and a caller, under load.
struct Scene {
    mesh: Mesh,
    _applications: Vec<Program>,
}

impl Scene {
    fn start(workers: &str, controller: &[&str]) -> Self {
        Self::with(&["--workers", workers], controller)
    }

    /// `proxy`, `controller`: what they are started with.
    fn with(proxy: &[&str], controller: &[&str]) -> Self {
        let mut mesh =
            Mesh::start(&[("mesh.yaml", &yaml::mesh("")), ("web.yaml", &web(true, true))])
                .expect("a mesh");
        if !controller.is_empty() {
            mesh.kill_controller();
            mesh.start_controller(controller).expect("the control plane starts again");
        }
        mesh.write("routes.yaml", &routes(&["v1"], &["v1", "v2"])).expect("routes");
        let mut applications = Vec::new();
        for pod in ["web-1", "web-2"] {
            let listen = mesh.application(&format!("test/{pod}"), 8080).expect("an address");
            applications.push(peers::nginx(&mesh, pod, listen).expect("NGINX"));
        }
        for workload in ["test/web-1", "test/web-2", CALLER] {
            mesh.start_proxy(workload, proxy).expect("a proxy");
        }
        let scene = Self { mesh, _applications: applications };
        scene.until_served_by("web-1");
        scene
    }

    fn load(&self) -> Load {
        let seen = self.mesh.service(CALLER, HOST, 80).expect("the service");
        Load::start(&self.mesh, seen, HOST, SECONDS).expect("h2load")
    }

    /// Why the caller's sidecar answered `failed` requests with 5xx, by its access log, which is written
    /// once a second.
    fn reasons(&mut self, failed: u64) -> BTreeMap<String, u64> {
        wait::until("every failure is logged", Duration::from_secs(10), || {
            let mut reasons = BTreeMap::new();
            for line in self.mesh.proxy(CALLER).output().lines() {
                let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else { continue };
                if entry["response_code"].as_u64().is_some_and(|status| status >= 500) {
                    let reason = entry["reason"].as_str().unwrap_or("none").to_owned();
                    *reasons.entry(reason).or_default() += 1;
                }
            }
            let logged: u64 = reasons.values().sum();
            anyhow::ensure!(logged >= failed, "{logged} of {failed} are in the log");
            Ok(reasons)
        })
        .expect("the access log")
    }

    /// Waits until the caller's requests are answered by `pod`.
    fn until_served_by(&self, pod: &str) {
        let seen = self.mesh.service(CALLER, HOST, 80).expect("the service");
        let url = format!("http://{seen}/");
        wait::until("the route is in force", Duration::from_secs(10), || {
            let (_, text) = curl(&["-H", &format!("Host: {HOST}"), &url])?;
            anyhow::ensure!(text == format!("{pod}\n\n200"), "answered {text:?}");
            Ok(())
        })
        .expect("the route");
    }
}

const HOST: &str = "web.test.svc.cluster.local";

fn web(first_ready: bool, second_ready: bool) -> String {
    [
        yaml::pod("web-1", "web", "v1", "10.0.0.1"),
        yaml::pod("web-2", "web", "v2", "10.0.0.2"),
        yaml::pod("caller", "caller", "v1", "10.0.0.9"),
        yaml::service(
            "web",
            "10.96.0.1",
            "http",
            (80, 8080),
            &[("web-1", "10.0.0.1", first_ready), ("web-2", "10.0.0.2", second_ready)],
        ),
    ]
    .concat()
}

/// One rule for each of `order`, to the subset of that name: the first takes everything. The
/// DestinationRule defines `subsets`.
fn routes(order: &[&str], subsets: &[&str]) -> String {
    let subsets: String = subsets
        .iter()
        .map(|name| format!("    - name: {name}\n      labels:\n        version: {name}\n"))
        .collect();
    let rules: String = order
        .iter()
        .map(|name| {
            format!(
                "    - name: to-{name}
      route:
        - destination:
            host: web
            subset: {name}
"
            )
        })
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: web
  namespace: test
spec:
  host: web
  subsets:
{subsets}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: web
  namespace: test
spec:
  hosts:
    - web
  http:
{rules}"
    )
}

fn costs_nothing(event: &str, outcome: Outcome) {
    println!("{event}: {outcome:?}");
    let asked = u64::from(RATE * SECONDS);
    assert!(outcome.total > asked * 9 / 10, "{event}: only {} requests were made", outcome.total);
    // Requests that were under way when the load ended are neither good nor bad.
    assert_eq!(
        (outcome.refused, outcome.failed, outcome.unanswered),
        (0, 0, 0),
        "{event}: {outcome:?}"
    );
}

#[test]
fn edits_cost_nothing() {
    for workers in WORKERS {
        let scene = Scene::start(workers, &[]);

        let load = scene.load();
        // The first subset goes and the route to the other comes, in one batch; and back.
        for _ in 0..3 {
            scene.mesh.write("routes.yaml", &routes(&["v2"], &["v2"])).unwrap();
            scene.until_served_by("web-2");
            scene.mesh.write("routes.yaml", &routes(&["v1"], &["v1"])).unwrap();
            scene.until_served_by("web-1");
        }
        costs_nothing("a route and its destination in one batch", load.finish().unwrap());

        let load = scene.load();
        for _ in 0..4 {
            scene.mesh.write("routes.yaml", &routes(&["v2", "v1"], &["v1", "v2"])).unwrap();
            scene.until_served_by("web-2");
            scene.mesh.write("routes.yaml", &routes(&["v1", "v2"], &["v1", "v2"])).unwrap();
            scene.until_served_by("web-1");
        }
        costs_nothing("rules reordered", load.finish().unwrap());
    }
}

#[test]
fn a_restart_of_the_control_plane_costs_nothing() {
    for workers in WORKERS {
        let mut scene = Scene::start(workers, &[]);
        let load = scene.load();
        scene.mesh.kill_controller();
        std::thread::sleep(Duration::from_secs(2));
        scene.mesh.start_controller(&[]).expect("the control plane starts again");
        costs_nothing("the control plane restarts", load.finish().unwrap());
        scene.mesh.write("routes.yaml", &routes(&["v2"], &["v1", "v2"])).unwrap();
        scene.until_served_by("web-2");
    }
}

#[test]
fn rotating_certificates_cost_nothing() {
    for proxy in [["--workers", "2"], ["--workers", "4"], ["--engine", "envoy"]] {
        let scene = Scene::with(&proxy, &["--certificate-lifetime", "4s"]);
        costs_nothing("certificates rotate every two seconds", scene.load().finish().unwrap());
        // Both sides show their first certificate's successors to whom they speak to for the first time.
        scene.mesh.write("routes.yaml", &routes(&["v2"], &["v1", "v2"])).unwrap();
        scene.until_served_by("web-2");
    }
}

#[test]
fn a_replacement_of_the_proxy_costs_nothing() {
    for workers in WORKERS {
        let mut scene = Scene::start(workers, &[]);
        let socket = scene.mesh.logs().join("handover.sock");
        let arguments = ["--workers", workers, "--handover", socket.to_str().unwrap()];
        // The first one cannot be replaced: it was not told where its successor finds it.
        drop(scene.mesh.release_proxy(CALLER));
        scene.mesh.start_proxy(CALLER, &arguments).unwrap();
        scene.until_served_by("web-1");

        let seen = scene.mesh.service(CALLER, HOST, 80).unwrap();
        let load = Load::start_reconnecting(&scene.mesh, seen, HOST, SECONDS).unwrap();
        let mut former = scene.mesh.release_proxy(CALLER).unwrap();
        scene.mesh.start_proxy(CALLER, &arguments).unwrap();
        costs_nothing("the proxy is replaced", load.finish().unwrap());
        let status = former.ended(Duration::from_secs(60)).expect("the predecessor ends");
        assert!(status.success(), "{status}");
    }
}

#[test]
fn a_subset_removed_while_referenced_costs_only_its_own_requests() {
    for workers in WORKERS {
        let mut scene = Scene::start(workers, &[]);
        let load = scene.load();
        std::thread::sleep(Duration::from_secs(2));
        scene.mesh.write("routes.yaml", &routes(&["v1"], &["v2"])).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        scene.mesh.write("routes.yaml", &routes(&["v1"], &["v1", "v2"])).unwrap();
        scene.until_served_by("web-1");
        let outcome = load.finish().unwrap();
        let reasons = scene.reasons(outcome.failed);
        println!("a subset removed while referenced: {outcome:?}, {reasons:?}");
        assert_eq!((outcome.refused, outcome.unanswered), (0, 0), "{outcome:?}");
        assert!(outcome.failed > 0, "the subset was gone for two seconds and nobody noticed");
        // About two of eight seconds.
        assert!(outcome.failed < outcome.total / 2, "{outcome:?}");
        assert!(reasons.keys().eq(["invalid_backend"]), "{reasons:?}");
    }
}

#[test]
fn a_flapping_endpoint_costs_almost_nothing() {
    for workers in WORKERS {
        let mut scene = Scene::start(workers, &[]);
        scene.mesh.write("routes.yaml", "# every endpoint\n").unwrap();
        let load = scene.load();
        for second in 0..SECONDS - 2 {
            scene.mesh.write("web.yaml", &web(true, second % 2 == 1)).unwrap();
            std::thread::sleep(Duration::from_secs(1));
        }
        let outcome = load.finish().unwrap();
        let reasons = scene.reasons(outcome.failed);
        println!("an endpoint flaps each second: {outcome:?}, {reasons:?}");
        assert_eq!(outcome.refused, 0, "{outcome:?}");
        let lost = outcome.failed + outcome.unanswered;
        assert!(lost * 1000 <= outcome.total, "more than one of a thousand lost: {outcome:?}");
    }
}
