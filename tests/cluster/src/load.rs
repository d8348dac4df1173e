//! A steady rate of requests, from outside through the gateway and from a pod, and what became of each.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use lateen_testkit::cluster::Node;
use lateen_testkit::program::{self, Program};
use lateen_testkit::wait;

use crate::images;
use crate::mesh::checkout;

/// Requests a second, of each of both.
const RATE: u32 = 40;

/// Connections from outside.
const CLIENTS: u32 = 5;

/// Longer than any step: it is ended when the step is over.
const SECONDS: u32 = 900;

/// How long a load may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks one after the other, on connections that it keeps, until it finds the file `/stop`. A line for
/// each request: when, its status, and what went wrong.
const SCRIPT: &str = r#"
while [ ! -e /stop ]; do
  curl --silent --output /dev/null --write-out '%{http_code} %{errormsg}\n' --max-time 20 --rate RATE/s "http://web/?[1-BATCH]"
done
"#;

/// Both loads while they run.
pub struct Load {
    name: String,
    begun: Instant,
    outside: Program,
    /// When it was cut short, and how long it had run by then.
    cut: Option<(String, Duration)>,
}

impl Load {
    /// Asks the gateway at `gateway` for `shop.example`, and from a Job in the namespace `shop`, which
    /// is in the mesh, the service `web`; until it is ended.
    ///
    /// # Errors
    /// When one of them does not begin.
    pub fn start(node: &Node, name: &str, gateway: &str) -> anyhow::Result<Self> {
        wait::until("the gateway routes", PATIENCE, || {
            let arguments = ["-sSfm5", "-o/dev/null", "-HHost: shop.example"];
            let url = format!("http://{gateway}/");
            let (status, printed) =
                program::run("curl", arguments.into_iter().chain([url.as_str()]))?;
            anyhow::ensure!(status.success(), "{printed}");
            Ok(())
        })?;
        node.kubectl().apply(&job(name))?;
        node.wait("shop", &format!("job/{name}"), "jsonpath={.status.ready}=1", PATIENCE)?;
        let mut command = Command::new("python3");
        command
            .arg(checkout().join("tests/process/peers/steady_load.py"))
            .arg(format!("{gateway}:80"))
            .arg("shop.example")
            .args([RATE, CLIENTS, SECONDS].map(|number| number.to_string()));
        let outside = node.api().program(name, command)?;
        Ok(Self { name: name.to_owned(), begun: Instant::now(), outside, cut: None })
    }

    /// What is asked from now on does not count. Needs no API server, without which nobody can end the
    /// Job.
    ///
    /// # Errors
    /// When the load from outside does not end.
    pub fn cut(&mut self) -> anyhow::Result<()> {
        let asked_for = self.begun.elapsed();
        let (_, now) = program::run("date", ["--utc", "+%Y-%m-%dT%H:%M:%S"])?;
        self.end_outside()?;
        self.cut = Some((now.trim().to_owned(), asked_for));
        Ok(())
    }

    fn end_outside(&mut self) -> anyhow::Result<()> {
        self.outside.signal("TERM")?;
        self.outside.ended(PATIENCE)?;
        Ok(())
    }

    /// Ends both; the Job completes, its sidecar with it. Fails when a request was not answered with
    /// 200.
    ///
    /// # Errors
    /// With what became of the requests.
    pub fn all_good(mut self, node: &Node) -> anyhow::Result<()> {
        let (cut, asked_for) = match self.cut.take() {
            Some((cut, asked_for)) => (Some(cut), asked_for),
            None => {
                self.end_outside()?;
                (None, self.begun.elapsed())
            }
        };
        let job = format!("job/{}", self.name);
        let stop = ["exec", "--namespace", "shop", &job, "--container", "curl", "--"];
        node.kubectl().run(stop.into_iter().chain(["sh", "-c", ": > /stop"]))?;
        node.wait("shop", &job, "condition=Complete", PATIENCE)?;
        let logs = ["logs", "--namespace", "shop", &job, "--container", "curl", "--timestamps"];
        let inside = node.kubectl().run(logs)?;

        // A machine with much else to do may fall behind; a load that stood still proves nothing.
        let least = u64::from(RATE) * asked_for.as_secs() / 2;
        let printed = self.outside.output();
        let answered = good_ones(&printed)
            .with_context(|| format!("{}, from outside:\n{printed}", self.name))?;
        anyhow::ensure!(answered >= least, "{answered} requests from outside in {asked_for:?}");

        let counts = |line: &&str| cut.as_deref().is_none_or(|cut| *line < cut);
        let lines: Vec<&str> = inside.lines().filter(counts).collect();
        let mut bad = lines.clone();
        bad.retain(|line| line.split(' ').nth(1) != Some("200"));
        let failed = bad.len();
        bad.truncate(20);
        anyhow::ensure!(bad.is_empty(), "{}, from a pod, {failed}: {bad:#?}", self.name);
        let asked = lines.len();
        anyhow::ensure!(asked as u64 >= least, "{asked} requests from a pod in {asked_for:?}");
        println!("{}: {answered} requests from outside, {asked} from a pod", self.name);
        Ok(())
    }

    /// The containers of the Job that asks.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn containers(&self, node: &Node) -> anyhow::Result<Vec<String>> {
        let selector = format!("job-name={}", self.name);
        let pods = node.kubectl().json(["get", "pods", "--namespace", "shop", "-l", &selector])?;
        containers(pods["items"].get(0).context("no pod")?)
    }
}

/// How many answers there were, if all of them were 2xx.
fn good_ones(printed: &str) -> anyhow::Result<u64> {
    let line = |start| printed.lines().find_map(|line: &str| line.strip_prefix(start));
    let requests = line("requests: ").context("no count of requests")?;
    anyhow::ensure!(requests.contains(" 0 errored, 0 timeout"), "some were not answered");
    let statuses = line("status codes: ").context("no count of status codes")?;
    let (good, rest) = statuses.split_once(" 2xx, ").context("no count of 2xx")?;
    anyhow::ensure!(rest == "0 3xx, 0 4xx, 0 5xx", "some failed");
    Ok(good.parse()?)
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

fn job(name: &str) -> String {
    // Some seconds each, so that the end is seen soon.
    let batch = (RATE * 3).to_string();
    let script = SCRIPT.replace("RATE", &RATE.to_string()).replace("BATCH", &batch);
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
                    "command": ["sh", "-c", script],
                }],
            } },
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::good_ones;

    #[test]
    fn one_bad_answer_is_seen() {
        let printed = |requests: &str, codes: &str| {
            good_ones(&format!("requests: {requests}\nstatus codes: {codes}\nerrors: \n"))
        };
        let all = printed("7 total, 0 errored, 0 timeout", "7 2xx, 0 3xx, 0 4xx, 0 5xx");
        assert_eq!(all.unwrap(), 7);
        assert!(printed("7 total, 1 errored, 0 timeout", "6 2xx, 0 3xx, 0 4xx, 0 5xx").is_err());
        assert!(printed("7 total, 0 errored, 0 timeout", "6 2xx, 0 3xx, 0 4xx, 1 5xx").is_err());
        assert!(good_ones("").is_err());
    }
}
