//! The API server that tests get is a real one, of their own, and leaves nothing.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_cluster_tests::traces::processes_of;
use lateen_testkit::cluster::Api;
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn it_is_kubernetes_and_what_it_stores_survives_restarts() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    let version = api.kubectl().json(["version"])?;
    assert_eq!(version["serverVersion"]["gitVersion"], version["clientVersion"]["gitVersion"]);
    assert_eq!(version["serverVersion"]["major"], "1", "{version}");

    api.kubectl()
        .apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}, data: {a: b}}")?;
    let url = api.url();
    api.stop_server()?;
    assert!(api.kubectl().run(["get", "configmap", "kept"]).is_err(), "nobody answers");
    api.start_server()?;
    assert_eq!(api.url(), url, "clients find it again");
    assert_eq!(api.kubectl().json(["get", "configmap", "kept"])?["data"]["a"], "b");

    api.stop_etcd()?;
    api.start_etcd()?;
    let kept = wait::until("the API server finds etcd again", PATIENCE, || {
        api.kubectl().json(["get", "configmap", "kept"])
    })?;
    assert_eq!(kept["data"]["a"], "b");

    api.kill_server()?;
    api.start_server()?;
    assert_eq!(api.kubectl().json(["get", "configmap", "kept"])?["data"]["a"], "b");
    Ok(())
}

#[test]
fn a_stalled_api_server_answers_nothing_and_then_everything() -> anyhow::Result<()> {
    let api = Api::start()?;
    let get = ["get", "namespace", "default", "--request-timeout", "1s"];
    api.kubectl().run(get)?;
    api.stall()?;
    let refusal = api.kubectl().run(get).expect_err("nothing is answered").to_string();
    assert!(refusal.to_lowercase().contains("time"), "{refusal}");
    api.resume()?;
    wait::until("it answers again", PATIENCE, || api.kubectl().run(get))?;
    Ok(())
}

#[test]
fn rbac_and_tokens_are_real() -> anyhow::Result<()> {
    let api = Api::start()?;
    api.namespace("shop")?;
    let nobody = api.user("eve", None)?;
    let refusal = nobody.run(["get", "pods", "--namespace", "shop"]).expect_err("no role");
    assert!(
        refusal.to_string().contains("User \"eve\" cannot list resource \"pods\""),
        "{refusal}"
    );
    let group = api.user("adam", Some("system:masters"))?;
    group.run(["get", "pods", "--namespace", "shop"])?;

    let account = api.service_account("shop", "default")?;
    let who = account.json(["auth", "whoami"])?;
    assert_eq!(who["status"]["userInfo"]["username"], "system:serviceaccount:shop:default");

    let token = api.kubectl().run([
        "create",
        "token",
        "default",
        "--namespace",
        "shop",
        "--audience",
        "istio-ca",
    ])?;
    assert_eq!(review(&api, token.trim(), "istio-ca")?["authenticated"], true);
    assert_eq!(review(&api, token.trim(), "someone-else")?.get("authenticated"), None);
    assert_eq!(review(&api, "forged", "istio-ca")?.get("authenticated"), None);
    Ok(())
}

/// The status of a TokenReview.
fn review(api: &Api, token: &str, audience: &str) -> anyhow::Result<serde_json::Value> {
    let request = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
        "spec": { "token": token, "audiences": [audience] },
    });
    let arguments = ["create", "--filename", "-", "--output", "json"];
    let answer = api.kubectl().with_input(arguments, &request.to_string())?;
    Ok(serde_json::from_str::<serde_json::Value>(&answer)?["status"].take())
}

#[test]
fn with_the_controller_manager_namespaces_are_furnished_and_end() -> anyhow::Result<()> {
    let mut api = Api::start()?;
    api.controller_manager()?;
    api.kubectl().run(["create", "namespace", "shop"])?;
    wait::until("the root certificate and the service account", PATIENCE, || {
        let get = |what| api.kubectl().run(["get", what, "--namespace", "shop"]);
        anyhow::ensure!(get("configmap/kube-root-ca.crt")?.contains("kube-root-ca.crt"));
        get("serviceaccount/default")
    })?;
    // Waits until it is gone, with all that is in it.
    api.kubectl().run(["delete", "namespace", "shop", "--timeout", "60s"])?;
    Ok(())
}

/// Starts a test of this file as a program of its own, kills it, and looks for what it left.
#[test]
fn nothing_is_left_when_a_test_is_killed() -> anyhow::Result<()> {
    let told = std::env::temp_dir().join(format!("lateen-cluster-told-{}", std::process::id()));
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "victim", "--ignored"])
        .env(TOLD, &told)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let folder = wait::until("the victim's cluster stands", Duration::from_secs(180), || {
        anyhow::ensure!(victim.try_wait()?.is_none(), "it ended by itself");
        let folder = std::fs::read_to_string(&told)?;
        folder.strip_suffix('\n').map(str::to_owned).context("not all is written")
    })?;
    assert!(Path::new(&folder).join("kube-apiserver.log").exists());
    assert!(processes_of(Path::new(&folder))? >= 2, "etcd and the API server run");
    let killed = Instant::now();
    victim.kill()?;
    victim.wait()?;
    wait::until("its folder and its processes are gone", Duration::from_secs(20), || {
        anyhow::ensure!(!Path::new(&folder).exists(), "{folder} is there");
        let left = processes_of(Path::new(&folder))?;
        anyhow::ensure!(left == 0, "{left} processes");
        Ok(())
    })?;
    println!("gone {:?} after the kill", killed.elapsed());
    std::fs::remove_file(&told)?;
    Ok(())
}

/// Names the file into which [`victim`] writes its folder.
const TOLD: &str = "LATEEN_TEST_TOLD";

#[test]
#[ignore = "the test above starts it, and kills it"]
fn victim() -> anyhow::Result<()> {
    let told = std::env::var(TOLD)?;
    let api = Api::start()?;
    std::fs::write(told, format!("{}\n", api.folder().display()))?;
    // Longer than whoever started it waits.
    std::thread::sleep(Duration::from_secs(300));
    Ok(())
}
