//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `condition` gives something, and fails with its last complaint at the limit.
///
/// # Errors
/// When the limit is reached; the message holds what `condition` said last.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        match condition() {
            Ok(value) => return Ok(value),
            Err(error) if begun.elapsed() >= limit => {
                return Err(error.context(format!("{what}: not within {limit:?}")));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}
