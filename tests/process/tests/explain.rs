//! `lateen explain` says what happens: generated requests over generated meshes, sent through the
//! caller's sidecar, and for each of them the route, the endpoint and the verdict of the
//! explanation beside those of the proxies' access logs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_process_tests::generate::{self, Asked, Random};
use lateen_process_tests::peers;
use lateen_testkit::mesh::{Mesh, binary};
use lateen_testkit::program::Program;
use lateen_testkit::wait;
use serde_json::Value;

const MESHES: u64 = 5;
const REQUESTS: usize = 200;
/// By chance alone, one of two endpoints is not left out as many times as this.
const OFTEN: usize = 40;
const CALLER: &str = "test/caller";

#[test]
fn explanations_are_what_happens() {
    let mut outcomes = BTreeMap::new();
    for seed in 1..=MESHES {
        for outcome in explained_mesh(seed) {
            *outcomes.entry(outcome).or_insert(0_usize) += 1;
        }
    }
    println!("{outcomes:#?}");
    assert_eq!(outcomes.values().sum::<usize>(), REQUESTS * usize::try_from(MESHES).unwrap());
    // What is generated must be worth comparing.
    for kind in [
        "served",
        "redirect",
        "direct_response",
        "no_route",
        "not_in_registry",
        "invalid_backend",
        "no_healthy_upstream",
        "authorization_denied",
        "mtls_required",
    ] {
        assert!(outcomes.get(kind).is_some_and(|count| *count >= 5), "hardly any {kind}");
    }
}

/// Runs one mesh and compares; the outcome of each request in a word.
fn explained_mesh(seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let files = generate::mesh(&mut random);
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, &**text)).collect();
    let asked = generate::requests(&mut random, REQUESTS);
    let mut mesh = Mesh::start(&files).unwrap();
    let mut applications = Vec::new();
    for pod in generate::PODS {
        let workload = format!("test/{pod}");
        let listen = mesh.application(&workload, 8080).unwrap();
        applications.push(peers::nginx(&mesh, pod, listen).unwrap());
        mesh.start_proxy(&workload, &["--workers", "1"]).unwrap();
    }
    mesh.start_proxy(CALLER, &["--workers", "1"]).unwrap();

    let explained = explain(&mesh, &asked);
    let statuses: Vec<u16> = asked.iter().map(|asked| send(&mesh, asked).unwrap()).collect();
    let logged = logged(mesh.proxy(CALLER), asked.len());
    let servers = logged_there(&mut mesh, &logged);
    compare_endpoints(&explained, logged.values());
    asked
        .iter()
        .zip(explained)
        .zip(statuses)
        .map(|((asked, explained), status)| {
            let case = Case { caller: &logged[&asked.id], servers: &servers, id: &asked.id, status };
            case.compare(&explained).unwrap_or_else(|error| {
                let files: String =
                    files.iter().map(|(name, text)| format!("# {name}\n{text}\n")).collect();
                panic!("mesh {seed}: {asked:?}: {error:#}\nexplained: {explained:#}\nlogged: {:#}\n{files}", case.caller)
            })
        })
        .collect()
}

/// Where a destination was used often, each of its endpoints was.
fn compare_endpoints<'a>(explained: &[Value], logged: impl Iterator<Item = &'a Value>) {
    let mut hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for entry in logged {
        if let (Some(cluster), Some(host)) =
            (entry["upstream_cluster"].as_str(), entry["upstream_host"].as_str())
        {
            hosts.entry(cluster).or_default().push(host);
        }
    }
    let routes = explained.iter().filter_map(|report| report["route"]["backends"].as_array());
    for backend in routes.flatten() {
        let destination = backend["destination"].as_str().unwrap();
        let endpoints = backend["endpoints"].as_array().unwrap();
        let all: BTreeSet<&str> =
            endpoints.iter().map(|endpoint| endpoint["address"].as_str().unwrap()).collect();
        if let Some(hosts) = hosts.get(destination).filter(|hosts| hosts.len() >= OFTEN) {
            assert_eq!(all, hosts.iter().copied().collect(), "endpoints of {destination}");
        }
    }
}

/// Asks `lateen explain` about all requests.
fn explain(mesh: &Mesh, asked: &[Asked]) -> Vec<Value> {
    let lines: String = asked.iter().map(|asked| format!("{}\n", asked.question())).collect();
    let file = mesh.logs().join("requests.jsonl");
    std::fs::write(&file, lines).unwrap();
    let output = Command::new(binary())
        .args(["explain", "--from", CALLER, "--dir"])
        .arg(mesh.directory())
        .arg("--requests")
        .arg(&file)
        .output()
        .unwrap();
    let problems = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problems}");
    assert!(problems.is_empty(), "objects that are not taken: {problems}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Sends a request as the caller does; the status of the answer.
fn send(mesh: &Mesh, asked: &Asked) -> anyhow::Result<u16> {
    let address: SocketAddr = mesh.service(CALLER, &asked.dialled_host(), 80)?;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(asked.head().as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let line = String::from_utf8_lossy(&answer);
    let status = line.split(' ').nth(1).with_context(|| format!("{asked:?}: no answer: {line}"))?;
    Ok(status.parse()?)
}

/// The access log, by request ID, as soon as it has all of them.
fn logged(program: &mut Program, count: usize) -> BTreeMap<String, Value> {
    wait::until("the access log is complete", Duration::from_secs(20), || {
        program.running()?;
        let entries = by_id(&program.output());
        anyhow::ensure!(entries.len() == count, "{} of {count} entries", entries.len());
        Ok(entries)
    })
    .unwrap()
}

/// The access logs of the workloads that are called, as soon as they have all that came from there.
fn logged_there(mesh: &mut Mesh, logged: &BTreeMap<String, Value>) -> Logs {
    let reached = |entry: &&Value| entry["response_code_details"] == "via_upstream";
    let count = logged.values().filter(reached).count();
    wait::until("the access logs of the others are complete", Duration::from_secs(20), || {
        let mut logs = Logs::new();
        for pod in generate::PODS {
            let log = mesh.proxy(&format!("test/{pod}")).output();
            logs.insert(format!("Kubernetes/test/{pod}"), by_id(&log));
        }
        let entries: usize = logs.values().map(BTreeMap::len).sum();
        anyhow::ensure!(entries >= count, "{entries} of {count} entries");
        Ok(logs)
    })
    .unwrap()
}

fn by_id(log: &str) -> BTreeMap<String, Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|entry| Some((entry["request_id"].as_str()?.to_owned(), entry)))
        .collect()
}

/// Entries by workload and request ID.
type Logs = BTreeMap<String, BTreeMap<String, Value>>;

/// What happened to a request.
struct Case<'a> {
    id: &'a str,
    /// What its sender got.
    status: u16,
    /// Its entry in the log of the caller's proxy.
    caller: &'a Value,
    /// The logs of the others, by workload.
    servers: &'a Logs,
}

impl Case<'_> {
    /// The outcome in a word.
    fn compare(&self, explained: &Value) -> anyhow::Result<String> {
        let route = explained["route"]["name"].as_str().unwrap_or_default();
        // The log has Istio's names for the routes that nobody wrote.
        let unwritten = ["allow_any", "block_all"];
        let logged = self.caller["route_name"].as_str().unwrap_or_default();
        let nobodys = explained["route"].is_null() && unwritten.contains(&logged);
        same("route", route, if nobodys { "" } else { logged })?;
        same("status in the log", u64::from(self.status), number(&self.caller["response_code"]))?;
        let backends = explained["route"]["backends"].as_array();
        match backends.filter(|backends| !backends.is_empty()) {
            Some(backends) => self.compare_sent(explained, backends),
            None => {
                same("endpoint", &Value::Null, &self.caller["upstream_host"])?;
                anyhow::ensure!(explained["endpoints"] == Value::Array(Vec::new()));
                self.compare_own(explained)
            }
        }
    }

    /// The proxy drew one of several backends.
    fn compare_sent(&self, explained: &Value, backends: &[Value]) -> anyhow::Result<String> {
        let Some(host) = self.caller["upstream_host"].as_str() else {
            let candidates = backends.iter().filter(|backend| {
                backend["endpoints"] == Value::Array(Vec::new())
                    && backend["reason"] == self.caller["reason"]
            });
            let mut errors = candidates.map(|backend| self.compare_own(backend));
            return errors
                .find(Result::is_ok)
                .context("the request reached no endpoint, and no backend explains that")?;
        };
        let all = explained["endpoints"].as_array().context("endpoints")?;
        anyhow::ensure!(all.iter().any(|it| it == host), "{host} is not among the endpoints");
        let cluster = &self.caller["upstream_cluster"];
        let backend = backends.iter().find(|backend| backend["destination"] == *cluster);
        let backend = backend.with_context(|| format!("{cluster} is not among the backends"))?;
        let endpoints = backend["endpoints"].as_array().context("endpoints")?;
        let endpoint = endpoints.iter().find(|endpoint| endpoint["address"] == host);
        self.compare_endpoint(endpoint.context("the endpoint is another backend's")?)
    }

    /// The caller's proxy answered by itself.
    fn compare_own(&self, answer: &Value) -> anyhow::Result<String> {
        same("status", number(&answer["verdict"]["status"]), self.status.into())?;
        same("reason", &answer["reason"], &self.caller["reason"])?;
        let decided_by = decided_by(self.caller);
        same("decided_by", answer["verdict"]["decided_by"].as_str(), Some(&*decided_by))?;
        Ok(answer["reason"].as_str().context("a reason")?.to_owned())
    }

    /// An endpoint was reached.
    fn compare_endpoint(&self, endpoint: &Value) -> anyhow::Result<String> {
        let verdict = &endpoint["verdict"];
        let workload = endpoint["workload"].as_str().context("workload")?;
        let server = self.servers.get(workload).and_then(|log| log.get(self.id));
        if verdict["allowed"] == true {
            same("status", 200, self.status)?;
            same("reason", &Value::Null, &self.caller["reason"])?;
            let decided_by = decided_by(self.caller);
            same("decided_by", verdict["decided_by"].as_str(), Some(&*decided_by))?;
            let server = server.context("the workload's proxy did not see the request")?;
            same("reason there", &Value::Null, &server["reason"])?;
            return Ok("served".to_owned());
        }
        same("status", number(&verdict["status"]), self.status.into())?;
        let reason = endpoint["reason"].as_str().context("a reason")?;
        if reason == "authorization_denied" {
            let server = server.context("the workload's proxy did not see the request")?;
            same("reason there", reason, server["reason"].as_str().unwrap_or_default())?;
            let decided_by = decided_by(server);
            same("decided_by there", verdict["decided_by"].as_str(), Some(&*decided_by))?;
        } else {
            // The workload's proxy closed the connection before there was a request on it.
            anyhow::ensure!(server.is_none(), "the workload's proxy saw the request: {server:?}");
            anyhow::ensure!(self.caller["reason"].is_string(), "the caller's proxy has a reason");
        }
        Ok(reason.to_owned())
    }
}

fn same<T: PartialEq + std::fmt::Debug + Copy>(
    what: &str,
    explained: T,
    logged: T,
) -> anyhow::Result<()> {
    anyhow::ensure!(explained == logged, "{what}: explained {explained:?}, logged {logged:?}");
    Ok(())
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// The object and field of an entry, as explanations write them.
fn decided_by(entry: &Value) -> String {
    let object = &entry["decided_by"];
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    if object.is_null() {
        return "default of the mesh".to_owned();
    }
    format!("{} {}/{} {}", text("kind"), text("namespace"), text("name"), text("field"))
        .trim_end()
        .to_owned()
}
