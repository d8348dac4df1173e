//! What is on this machine that a cluster may have left: processes, mounts, links, routes, packet
//! filter rules, control groups, folders.

use std::collections::BTreeMap;
use std::path::Path;

use lateen_testkit::cluster::reaper::MARK;
use lateen_testkit::program::run;

/// One look at the machine.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(BTreeMap<&'static str, Vec<String>>);

impl Traces {
    /// Looks at everything.
    ///
    /// # Errors
    /// When something cannot be read.
    pub fn look() -> anyhow::Result<Self> {
        let mut seen = BTreeMap::new();
        seen.insert("mounts", lines(&std::fs::read_to_string("/proc/self/mounts")?));
        for (what, program, arguments) in [
            ("links", "ip", &["-oneline", "link", "show"][..]),
            ("routes", "ip", &["route", "show"]),
            ("named network namespaces", "ip", &["netns", "list"]),
            ("packet filter", "nft", &["list", "ruleset"]),
            ("control groups", "find", &["/sys/fs/cgroup", "-name", "lateen[0-9]", "-type", "d"]),
        ] {
            seen.insert(what, lines(&run(program, arguments)?.1));
        }
        Ok(Self(seen))
    }

    /// What is there now and was not `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<String> {
        let more = |(what, now): (&&str, &Vec<String>)| {
            let then = before.0.get(what);
            let new = |line: &&String| then.is_none_or(|then| !then.contains(line));
            now.iter().filter(new).map(|line| format!("{what}: {line}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(more).collect()
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// How many processes were started for the cluster in `folder`.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn processes_of(folder: &Path) -> anyhow::Result<usize> {
    let wanted = format!("{MARK}={}", folder.display());
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        // Processes end while one looks.
        let Ok(environment) = std::fs::read(entry?.path().join("environ")) else { continue };
        found +=
            usize::from(environment.split(|byte| *byte == 0).any(|it| it == wanted.as_bytes()));
    }
    Ok(found)
}
