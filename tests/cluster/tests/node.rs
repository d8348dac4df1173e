//! The cluster of *node* depth runs pods as any other does, and leaves nothing on the machine.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_cluster_tests::images;
use lateen_cluster_tests::traces::{Traces, processes_of};
use lateen_testkit::cluster::Node;
use lateen_testkit::program::{Program, run};
use lateen_testkit::wait;

const PATIENCE: Duration = Duration::from_secs(120);

/// Who looks for traces is alone with its cluster.
static ALONE: Mutex<()> = Mutex::new(());

/// Two pods that say their names, a service over them, and a pod with curl.
const WEB: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: { name: web }
data:
  name.conf: |
    server { listen 80; location / { return 200 "$hostname\n"; } }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: nginx
          image: nginx:1.29
          ports: [{ containerPort: 80 }]
          readinessProbe: { httpGet: { path: /, port: 80 }, periodSeconds: 1 }
          volumeMounts: [{ name: settings, mountPath: /etc/nginx/conf.d }]
      volumes: [{ name: settings, configMap: { name: web } }]
---
apiVersion: v1
kind: Service
metadata: { name: web }
spec:
  selector: { app: web }
  ports: [{ port: 80 }]
---
apiVersion: v1
kind: Pod
metadata: { name: client }
spec:
  containers:
    - { name: curl, image: "curlimages/curl:8.16.0", command: [sleep, infinity] }
"#;

#[test]
fn pods_run_and_nothing_is_left() -> anyhow::Result<()> {
    let _alone = ALONE.lock();
    let before = Traces::look()?;
    let begun = Instant::now();
    let node = Node::start()?;
    println!("a ready node after {:?}", begun.elapsed());
    images::import(&node)?;
    node.kubectl().apply(WEB)?;
    node.wait("default", "deployment/web", "condition=Available", PATIENCE)?;
    node.wait("default", "pod/client", "condition=Ready", PATIENCE)?;
    println!("pods ready after {:?}", begun.elapsed());
    balances(&node)?;
    serves_kubectl(&node)?;
    assert!(!Traces::look()?.since(&before).is_empty(), "the cluster can be seen");

    let folder = node.api().folder().to_owned();
    drop(node);
    assert!(!folder.exists(), "the folder is gone");
    assert_eq!(processes_of(&folder)?, 0, "processes");
    assert_eq!(Traces::look()?.since(&before), Vec::<String>::new());
    Ok(())
}

/// Both pods answer under the service's address, asked from this machine and by name from a pod.
fn balances(node: &Node) -> anyhow::Result<()> {
    let service = node.kubectl().json(["get", "service", "web"])?;
    let address = service["spec"]["clusterIP"].as_str().context("an address")?;
    let outside = || Ok(run("curl", ["-sS", "-m", "5", &format!("http://{address}/")])?.1);
    let inside = || {
        node.kubectl().run([
            "exec",
            "client",
            "--",
            "curl",
            "-sS",
            "-m",
            "5",
            "http://web.default/",
        ])
    };
    let from: [(&str, &dyn Fn() -> anyhow::Result<String>); 2] =
        [("outside", &outside), ("inside", &inside)];
    for (place, ask) in from {
        let mut answers = BTreeSet::new();
        wait::until(&format!("both pods answer from {place}"), PATIENCE, || {
            let answer = ask()?;
            anyhow::ensure!(answer.starts_with("web-"), "{answer}");
            answers.insert(answer);
            anyhow::ensure!(answers.len() == 2, "{answers:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// exec, logs and port-forward, which the API server carries to the kubelet.
fn serves_kubectl(node: &Node) -> anyhow::Result<()> {
    let kubectl = node.kubectl();
    assert_eq!(kubectl.run(["exec", "client", "--", "id", "-u"])?, "0\n");
    let logs = kubectl.run(["logs", "deployment/web"])?;
    assert!(logs.contains("GET / HTTP/1.1"), "{logs}");
    let command = kubectl.command(["port-forward", "service/web", ":80"]);
    let mut forward = node.api().program("port-forward", command)?;
    let port = forwarded(&mut forward)?;
    let (status, text) = run("curl", ["-sS", &format!("http://127.0.0.1:{port}/")])?;
    assert!(status.success() && text.starts_with("web-"), "{text}");
    Ok(())
}

fn forwarded(forward: &mut Program) -> anyhow::Result<u16> {
    wait::until("the port is forwarded", PATIENCE, || {
        forward.running()?;
        let output = forward.output();
        let port = output.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split_once(' '));
        Ok(port.context(output.clone())?.0.parse()?)
    })
}

/// Starts a test of this file as a program of its own, kills it, and looks for what it left.
#[test]
fn nothing_is_left_when_a_test_is_killed() -> anyhow::Result<()> {
    let _alone = ALONE.lock();
    let before = Traces::look()?;
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut told = victim.stdout.take().context("a pipe")?;
    let mut text = String::new();
    let mut buffer = [0; 256];
    while !text.contains(";") {
        let count = told.read(&mut buffer)?;
        anyhow::ensure!(count > 0, "it ended by itself: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let folder = text.split_once("cluster in ").and_then(|(_, rest)| rest.split_once(';'));
    let folder = PathBuf::from(folder.context(text.clone())?.0);
    anyhow::ensure!(processes_of(&folder)? > 5, "the cluster runs");
    victim.kill()?;
    victim.wait()?;
    wait::until("everything of it is gone", Duration::from_secs(30), || {
        anyhow::ensure!(!folder.exists(), "{} is there", folder.display());
        anyhow::ensure!(processes_of(&folder)? == 0, "processes");
        let left = Traces::look()?.since(&before);
        anyhow::ensure!(left.is_empty(), "{left:?}");
        Ok(())
    })
}

#[test]
#[ignore = "the test above starts it, and kills it"]
fn victim() -> anyhow::Result<()> {
    let node = Node::start()?;
    images::import(&node)?;
    node.kubectl().apply(WEB)?;
    node.wait("default", "pod/client", "condition=Ready", PATIENCE)?;
    println!("cluster in {};", node.api().folder().display());
    // Longer than whoever started it waits.
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}
