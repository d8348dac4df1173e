//! A steady rate of requests, from outside through the gateway and from a pod, and what became of each.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::cluster::Node;
use lateen_testkit::program::Program;

use crate::images;
use crate::mesh::checkout;

/// Requests a second, of each of both.
const RATE: u32 = 50;

/// Connections from outside.
const CLIENTS: u32 = 5;

/// How much longer than its requests take a load may take.
const GRACE: Duration = Duration::from_secs(90);

/// Both loads while they run.
pub struct Load {
    name: String,
    outside: Program,
    seconds: u32,
}

impl Load {
    /// Asks the gateway at `gateway` for `shop.example`, and from a Job in the namespace `shop`, which
    /// is in the mesh, the service `web`; for so many seconds.
    ///
    /// # Errors
    /// When one of them does not begin.
    pub fn start(node: &Node, name: &str, gateway: &str, seconds: u32) -> anyhow::Result<Self> {
        node.kubectl().apply(&job(name, seconds))?;
        let pod = "jsonpath={.status.ready}=1";
        node.wait("shop", &format!("job/{name}"), pod, GRACE)?;
        let mut command = Command::new("python3");
        command
            .arg(checkout().join("tests/process/peers/steady_load.py"))
            .arg(format!("{gateway}:80"))
            .arg("shop.example")
            .args([RATE, CLIENTS, seconds].map(|number| number.to_string()));
        let outside = node.api().program(name, command)?;
        Ok(Self { name: name.to_owned(), outside, seconds })
    }

    /// Waits for the end of both. Fails when a request was not answered with 200.
    ///
    /// # Errors
    /// With what became of the requests.
    pub fn all_good(mut self, node: &Node) -> anyhow::Result<()> {
        let limit = Duration::from_secs(self.seconds.into()) + GRACE;
        self.outside.ended(limit)?;
        let printed = self.outside.output();
        let wanted = format!("status codes: {} 2xx, 0 3xx, 0 4xx, 0 5xx", RATE * self.seconds);
        anyhow::ensure!(printed.contains(&wanted), "{}, from outside:\n{printed}", self.name);

        let job = format!("job/{}", self.name);
        node.wait("shop", &job, "condition=Complete", limit)?;
        let logs = ["logs", "--namespace", "shop", &job, "--container", "curl"];
        let printed = node.kubectl().run(logs)?;
        let mut bad: Vec<&str> = printed.lines().filter(|line| *line != "200").collect();
        bad.truncate(20);
        anyhow::ensure!(bad.is_empty(), "{}, from a pod: {bad:?}", self.name);
        let count = printed.lines().count();
        anyhow::ensure!(count == (RATE * self.seconds) as usize, "{count} requests from a pod");
        Ok(())
    }

    /// The container of the Job that asks, once it has begun: for tests of the Job itself.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn containers(&self, node: &Node) -> anyhow::Result<Vec<String>> {
        let selector = format!("job-name={}", self.name);
        let pods = node.kubectl().json(["get", "pods", "--namespace", "shop", "-l", &selector])?;
        containers(pods["items"].get(0).context("no pod")?)
    }
}

/// The names of a pod's containers, of those beside it (native sidecars) too.
///
/// # Errors
/// When it is no pod.
pub fn containers(pod: &serde_json::Value) -> anyhow::Result<Vec<String>> {
    let named = |list: &str| {
        let list = pod["spec"][list].as_array().cloned().unwrap_or_default();
        list.into_iter().filter_map(|it| Some(it["name"].as_str()?.to_owned())).collect::<Vec<_>>()
    };
    let (first, rest) = (named("initContainers"), named("containers"));
    anyhow::ensure!(!rest.is_empty(), "{pod}");
    Ok([first, rest].concat())
}

/// One program asks one after the other, on connections that it keeps, and ends.
fn job(name: &str, seconds: u32) -> String {
    let url = format!("http://web/?[1-{}]", RATE * seconds);
    serde_json::json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": {
            "backoffLimit": 0,
            "template": { "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "curl",
                    "image": images::CURL,
                    "args": [
                        "--silent", "--output", "/dev/null", "--write-out", "%{http_code}\\n",
                        "--max-time", "20", "--rate", format!("{RATE}/s"), url,
                    ],
                }],
            } },
        },
    })
    .to_string()
}
