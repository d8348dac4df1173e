//! Load by other programs: a fixed rate of requests, and what became of each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lateen_testkit::mesh::Mesh;
use lateen_testkit::program::Program;

use crate::peers;

/// Requests a second.
pub const RATE: u32 = 1000;

/// Connections that share the load.
const CLIENTS: u32 = 10;

/// A running load.
pub struct Load {
    program: Program,
    seconds: u32,
}

/// What became of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Requests that were made.
    pub total: u64,
    /// Answered with 2xx.
    pub good: u64,
    /// Answered with 4xx.
    pub refused: u64,
    /// Answered with 5xx.
    pub failed: u64,
    /// Not answered at all.
    pub unanswered: u64,
}

impl Load {
    /// Starts [`RATE`] requests a second over HTTP/1.1 to `address`, for so many seconds.
    ///
    /// # Errors
    /// When h2load does not start.
    pub fn start(
        mesh: &Mesh,
        address: SocketAddr,
        host: &str,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("h2load");
        command
            .args(["--h1", "--threads=1"])
            .arg(format!("--clients={CLIENTS}"))
            .arg(format!("--rps={}", RATE / CLIENTS))
            .arg(format!("--duration={seconds}"))
            .arg(format!("--connect-to={address}"))
            .arg(format!("http://{host}/"));
        let program = Program::start("h2load", command, &mesh.logs())?;
        Ok(Self { program, seconds })
    }

    /// The same by a program that connects again when it is told `connection: close`, at which h2load
    /// stands still.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_reconnecting(
        mesh: &Mesh,
        address: SocketAddr,
        host: &str,
        seconds: u32,
    ) -> anyhow::Result<Self> {
        let numbers = [RATE, CLIENTS, seconds].map(|number| number.to_string());
        let mut arguments = vec![address.to_string(), host.to_owned()];
        arguments.extend(numbers);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let program = peers::script(mesh, "steady_load.py", &arguments)?;
        Ok(Self { program, seconds })
    }

    /// Waits for the end of the program that connects again, which says of what kind its errors were.
    ///
    /// # Errors
    /// When it takes too long, or prints no result.
    pub fn finish_with_errors(mut self) -> anyhow::Result<(Outcome, BTreeMap<String, u64>)> {
        self.program.ended(Duration::from_secs(u64::from(self.seconds) + 30))?;
        let report = self.program.output();
        Ok((parse(&report)?, parse_errors(&report)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it takes too long, or prints no result.
    pub fn finish(mut self) -> anyhow::Result<Outcome> {
        self.program.ended(Duration::from_secs(u64::from(self.seconds) + 30))?;
        parse(&self.program.output())
    }
}

/// Reads `errors: 3 ConnectionRefusedError, 1 EOFError`, the line of the program that connects again.
fn parse_errors(report: &str) -> BTreeMap<String, u64> {
    let line = report.lines().find_map(|line| line.strip_prefix("errors: ")).unwrap_or_default();
    line.split(", ")
        .filter_map(|part| {
            let (count, kind) = part.split_once(' ')?;
            Some((kind.to_owned(), count.parse().ok()?))
        })
        .collect()
}

/// Reads the two lines of h2load's report that count:
/// `requests: 5 total, 5 started, 5 done, 5 succeeded, 0 failed, 0 errored, 0 timeout` and
/// `status codes: 5 2xx, 0 3xx, 0 4xx, 0 5xx`.
fn parse(report: &str) -> anyhow::Result<Outcome> {
    let count = |line: &str, what: &str| -> anyhow::Result<u64> {
        let line = report
            .lines()
            .find_map(|text| text.strip_prefix(line))
            .with_context(|| format!("h2load printed no `{line}` line:\n{report}"))?;
        line.split(',')
            .find_map(|part| part.trim().strip_suffix(what))
            .and_then(|number| number.trim().parse().ok())
            .with_context(|| format!("no `{what}` in {line:?}"))
    };
    Ok(Outcome {
        total: count("requests:", "total")?,
        good: count("status codes:", "2xx")?,
        refused: count("status codes:", "4xx")?,
        failed: count("status codes:", "5xx")?,
        unanswered: count("requests:", "errored")? + count("requests:", "timeout")?,
    })
}
