//! Running the outside programs that the checks ask.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::process::Command;

/// How long any one of them may run.
const LIMIT: Duration = Duration::from_secs(30);

/// Fails with the names of those that are not installed.
pub fn require(programs: &[&str]) -> anyhow::Result<()> {
    let folders: Vec<_> =
        std::env::var_os("PATH").iter().flat_map(|paths| std::env::split_paths(paths)).collect();
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|program| !folders.iter().any(|folder| folder.join(program).is_file()))
        .collect();
    anyhow::ensure!(
        missing.is_empty(),
        "the checks need {}, which is not installed (`./test` installs it)",
        missing.join(", ")
    );
    Ok(())
}

/// Exit code and output of a program that ran without input.
pub async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<(i32, String)> {
    let child =
        Command::new(program).args(arguments).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(LIMIT, child)
        .await
        .with_context(|| format!("{program} did not end in {LIMIT:?}"))?
        .with_context(|| format!("cannot run {program}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.code().unwrap_or(-1), text))
}

/// What curl was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 0: no HTTP response came.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// One request by curl to `address`, with `host` as authority.
pub async fn curl(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Answer> {
    let begun = Instant::now();
    let (_, text) = run(
        "curl",
        &[
            "--silent",
            "--max-time",
            "10",
            "--header",
            &format!("Host: {host}"),
            "--write-out",
            "\n%{http_code}",
            &format!("http://{address}{path}"),
        ],
    )
    .await?;
    let (body, status) = text.rsplit_once('\n').context("curl printed no status")?;
    Ok(Answer {
        status: status.trim().parse().with_context(|| format!("curl printed {text:?}"))?,
        body: body.to_owned(),
        elapsed: begun.elapsed(),
    })
}

/// Bodies and statuses of `count` requests that curl makes one after the other.
pub async fn curl_many(
    address: SocketAddr,
    host: &str,
    path: &str,
    count: u32,
) -> anyhow::Result<Vec<(u16, String)>> {
    let (_, text) = run(
        "curl",
        &[
            "--silent",
            "--max-time",
            "10",
            "--header",
            &format!("Host: {host}"),
            "--write-out",
            "%{http_code}\n",
            &format!("http://{address}{path}?request=[1-{count}]"),
        ],
    )
    .await?;
    // Every answer of the sample applications is one line, then comes the status; an answer of
    // the mesh has no line end, and its status follows directly.
    let mut answers = Vec::new();
    let mut body = String::new();
    for line in text.lines() {
        let at = line.len().saturating_sub(3);
        match line.get(at..).and_then(|status| status.parse::<u16>().ok()) {
            Some(status) => {
                body.push_str(&line[..at]);
                answers.push((status, std::mem::take(&mut body)));
            }
            None => body.push_str(line),
        }
    }
    Ok(answers)
}
