//! A control plane that is away.

use std::time::Duration;

use anyhow::Context;
use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::{Mesh, curl};

fn mesh() -> Mesh {
    let text = [
        yaml::pod("web-1", "web", "v1", "10.0.0.1"),
        yaml::pod("late-1", "late", "v1", "10.0.0.2"),
        yaml::pod("caller", "caller", "v1", "10.0.0.9"),
        yaml::service("web", "10.96.0.1", "http", (80, 8080), &[("web-1", "10.0.0.1", true)]),
        yaml::service("late", "10.96.0.2", "http", (80, 8080), &[("late-1", "10.0.0.2", true)]),
    ]
    .concat();
    Mesh::start(&[("mesh.yaml", &yaml::mesh("")), ("workloads.yaml", &text)]).expect("a mesh")
}

fn get(mesh: &Mesh, service: &str) -> String {
    let host = format!("{service}.test.svc.cluster.local");
    let seen = mesh.service("test/caller", &host, 80).expect("the service");
    let (_, text) =
        curl(&["-H", &format!("Host: {host}"), &format!("http://{seen}/")]).expect("curl");
    text
}

#[test]
fn without_the_control_plane_what_was_used_works_and_the_rest_says_why() {
    let mut mesh = mesh();
    let mut applications = Vec::new();
    for pod in ["web-1", "late-1"] {
        let listen = mesh.application(&format!("test/{pod}"), 8080).unwrap();
        applications.push(peers::nginx(&mesh, pod, listen).unwrap());
        mesh.start_proxy(&format!("test/{pod}"), &[]).unwrap();
    }
    mesh.start_proxy("test/caller", &[]).unwrap();
    assert!(get(&mesh, "web").ends_with("\n200"));

    mesh.kill_controller();
    assert!(get(&mesh, "web").ends_with("\n200"), "what was used before works on");
    assert!(get(&mesh, "late").ends_with("\n503"), "what was not used before cannot be known");
    // The access log is written once a second.
    let line = lateen_testkit::wait::until("the 503 is logged", Duration::from_secs(5), || {
        let log = mesh.proxy("test/caller").output();
        let line = log.lines().rev().find(|line| line.contains("late.test"));
        line.map(ToOwned::to_owned).context("no line names it")
    })
    .unwrap();
    let entry: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
    assert_eq!(entry["reason"], "control_plane_away", "{line}");

    mesh.start_controller(&[]).unwrap();
    lateen_testkit::wait::until("the late one is reached", Duration::from_secs(15), || {
        let text = get(&mesh, "late");
        anyhow::ensure!(text.ends_with("\n200"), "{text}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_proxy_that_takes_its_whole_scope_needs_nobody() {
    let mut mesh = mesh();
    let listen = mesh.application("test/late-1", 8080).unwrap();
    let _nginx = peers::nginx(&mesh, "late-1", listen).unwrap();
    mesh.start_proxy("test/late-1", &[]).unwrap();
    mesh.start_proxy("test/caller", &["--eager"]).unwrap();
    mesh.kill_controller();
    assert!(get(&mesh, "late").ends_with("\n200"));
}
