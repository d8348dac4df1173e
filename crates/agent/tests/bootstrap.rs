//! A real Envoy takes the bootstrap without a warning.

use std::path::Path;
use std::process::Command;

use lateen_agent::bootstrap::{Addresses, bootstrap};

#[test]
fn envoy_takes_the_bootstrap() {
    let Some(envoy) = std::env::var_os("LATEEN_ENVOY") else {
        println!("skipped: LATEEN_ENVOY names no Envoy");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let node = serde_json::json!({
        "id": "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
        "cluster": "web.shop",
        "locality": { "region": "r", "zone": "z", "sub_zone": "" },
        "metadata": { "NAME": "web-1", "LABELS": { "app": "web" } },
    });
    let addresses = Addresses {
        socket: Path::new("/run/agent.sock"),
        admin: "127.0.0.1:15000".parse().unwrap(),
        prometheus: "127.0.0.1:15090".parse().unwrap(),
        agent: "127.0.0.1:15020".parse().unwrap(),
    };
    let path = folder.path().join("envoy.json");
    std::fs::write(&path, bootstrap(&node, &addresses).to_string()).unwrap();
    let output = Command::new(envoy)
        .args(["--mode", "validate", "--log-level", "warning", "-c"])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("[warning]") && !said.contains("\twarn"), "{said}");
}
