//! `iptables`: settings of a capture, or a pod; the exact lines that the packet filter is told.

use std::path::Path;

use anyhow::Context;
use lateen_capture::pod::{Decision, Pod};
use lateen_capture::settings::{Notice, Written};
use lateen_capture::{Settings, iptables, nftables, rules};
use serde_json::Value;

use crate::case::{self, labels, list, text};
use crate::tally::{Tally, Verdict};

/// Runs the case of one file.
pub fn run(file: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let case = case::read(file)?;
    let name = text(&case, "name");
    let group = name.split('/').next().unwrap_or_default();
    let verdict = match group {
        _ if group.starts_with("ambient-") => Verdict::Skipped("ambient capture".to_owned()),
        "sidecar-iptables" => from_parameters(&case, &|settings| {
            iptables::transcript(&rules::rules(settings), settings.ipv6)
        }),
        "sidecar-nftables" => from_parameters(&case, &|settings| {
            nftables::load(&rules::rules(settings)).lines().map(str::to_owned).collect()
        }),
        "cni-plugin" => from_pod(&case).with_context(|| file.display().to_string())?,
        other => anyhow::bail!("{}: the group {other:?} is not known", file.display()),
    };
    tally.record(name, verdict);
    Ok(())
}

/// The settings of Istio's redirect tool, by name.
fn from_parameters(case: &Value, lines: &dyn Fn(&Settings) -> Vec<String>) -> Verdict {
    let mut written = Written::default();
    for (name, value) in case["params"].as_object().into_iter().flatten() {
        written.set_named(name, plain(value));
    }
    match written.read() {
        Err(problems) => Verdict::Failed(format!("refused: {problems}")),
        Ok(outcome) => {
            let unknown = outcome.notices.iter().find_map(|notice| match notice {
                Notice::Unknown { origin } => Some(origin.clone()),
                _ => None,
            });
            match unknown {
                Some(name) => Verdict::Skipped(format!("the setting {name}")),
                None => compare(case, &lines(&outcome.settings), |_| true),
            }
        }
    }
}

/// A value as it would stand in a flag or a variable.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A pod that the CNI plugin sees; only what is restored counts.
fn from_pod(case: &Value) -> anyhow::Result<Verdict> {
    let pod = &case["pod"];
    let id = |key: &str| -> anyhow::Result<Option<u32>> {
        let id = pod["istioProxySecurityContext"][key].as_u64().map(u32::try_from);
        id.transpose().with_context(|| key.to_owned())
    };
    let seen = Pod {
        annotations: labels(pod, "annotations"),
        environment: labels(pod, "istioProxyEnv"),
        user: id("runAsUser")?,
        group: id("runAsGroup")?,
        ipv6: false,
    };
    let lines = match seen.decide() {
        Err(problems) => return Ok(Verdict::Failed(format!("refused: {problems}"))),
        Ok(Decision::NotCaptured(_)) => Vec::new(),
        Ok(Decision::Captured(outcome)) => {
            let rules = rules::rules(&outcome.settings);
            iptables::transcript(&rules, outcome.settings.ipv6)
        }
    };
    let restored = |line: &str| !line.ends_with("-save") && !line.starts_with("ip ");
    Ok(compare(case, &lines, restored))
}

/// Line by line, of those that count.
fn compare(case: &Value, lines: &[String], counts: impl Fn(&str) -> bool) -> Verdict {
    let expected = list(case, "expectedCommands").iter().filter_map(Value::as_str);
    let expected: Vec<&str> = expected.filter(|line| counts(line)).collect();
    let seen: Vec<&str> = lines.iter().map(String::as_str).filter(|line| counts(line)).collect();
    let longest = expected.len().max(seen.len());
    match (0..longest).find(|line| expected.get(*line) != seen.get(*line)) {
        None => Verdict::Passed,
        Some(line) => Verdict::Failed(format!(
            "line {}: expected {:?}, not {:?}",
            line + 1,
            expected.get(line).unwrap_or(&"the end"),
            seen.get(line).unwrap_or(&"the end"),
        )),
    }
}
