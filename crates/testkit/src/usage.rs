//! What a process has used, as the kernel says.

use std::time::Duration;

use anyhow::Context;

/// The kernel's unit of processor time in `/proc`: always 100 a second for user space.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time, user and system, of a process so far.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(process: u32) -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold anything, so count from the last parenthesis.
    let (_, rest) = text.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let user: u64 = fields.get(11).context("no user time")?.parse()?;
    let system: u64 = fields.get(12).context("no system time")?.parse()?;
    Ok(Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND))
}

/// Proportional set size in megabytes of 1,000,000 bytes.
///
/// # Errors
/// When there is no such process.
pub fn pss_megabytes(process: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let kilobytes: f64 = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no Pss line")?
        .parse()?;
    Ok(kilobytes * 1024.0 / 1_000_000.0)
}
