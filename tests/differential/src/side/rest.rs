//! When the programs of a side have nothing left to do.
//!
//! An Envoy acknowledges a mesh when its main thread has taken it: by then it has told its workers, who
//! may not have listened yet. A thread that was told something is runnable until it has acted on it,
//! so that the mesh is in force where none of them is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::{Instant, sleep};

/// How often in a row they must be found at rest: between two steps a thread may wait for a lock.
const TIMES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until every thread of every other process of this namespace sleeps.
///
/// # Errors
/// When some thread is busy until `limit`, or processes cannot be read.
pub async fn until_all_sleep(limit: Instant) -> anyhow::Result<()> {
    let mut times = 0;
    while times < TIMES {
        match awake()? {
            None => times += 1,
            Some(thread) => {
                ensure!(Instant::now() < limit, "{thread} does not come to rest");
                times = 0;
            }
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// The name of a thread that runs or wants to.
fn awake() -> io::Result<Option<String>> {
    let own = std::process::id();
    for process in fs::read_dir("/proc")? {
        let process = process?;
        let number: Option<u32> = process.file_name().to_str().and_then(|it| it.parse().ok());
        if number.is_none_or(|number| number == own) {
            continue;
        }
        // A process that has ended meanwhile does nothing.
        let Ok(threads) = fs::read_dir(process.path().join("task")) else { continue };
        for thread in threads.flatten() {
            let Ok(stat) = fs::read_to_string(thread.path().join("stat")) else { continue };
            if is_awake(&stat) {
                return Ok(Some(name(&thread.path())));
            }
        }
    }
    Ok(None)
}

/// Whether a thread's line of `/proc/PID/task/TID/stat` says that it runs or wants to (proc_pid_stat(5)).
fn is_awake(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('R' | 'D'))
}

fn name(thread: &Path) -> String {
    fs::read_to_string(thread.join("comm")).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_threads_that_run_or_want_to_are_awake() {
        for (stat, awake) in [
            ("7 (wrk:worker_0) R 1 7 7 0", true),
            ("7 (wrk:worker_0) S 1 7 7 0", false),
            ("7 (a) R b) S 1 7 7 0", false),
            ("7 (sh) Z 1 7 7 0", false),
            ("7 (disk) D 1 7 7 0", true),
        ] {
            assert_eq!(is_awake(stat), awake, "{stat}");
        }
    }
}
