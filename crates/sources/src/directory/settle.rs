//! Waiting until files that are written together have all been written.

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Settings;

/// Returns when something happened and then nothing more for `quiet`, or `patience` after the first
/// of it.
pub(super) async fn wait(hints: &Notify, settings: &Settings) {
    hints.notified().await;
    let latest = Instant::now() + settings.patience;
    loop {
        let quiet = (Instant::now() + settings.quiet).min(latest);
        tokio::select! {
            biased;
            () = sleep_until(quiet) => return,
            () = hints.notified() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    const SETTINGS: Settings = Settings {
        quiet: Duration::from_millis(50),
        patience: Duration::from_millis(500),
        unfinished: Duration::ZERO,
    };

    /// How long it takes to settle when hints come at these times, in milliseconds.
    async fn settled_after(hints_at: &[u64]) -> u64 {
        let hints = Arc::new(Notify::new());
        let start = Instant::now();
        let (sender, times) = (hints.clone(), hints_at.to_vec());
        tokio::spawn(async move {
            for at in times {
                sleep_until(start + Duration::from_millis(at)).await;
                sender.notify_one();
            }
        });
        wait(&hints, &SETTINGS).await;
        u64::try_from(start.elapsed().as_millis()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_quiet_but_not_forever() {
        let steady: Vec<u64> = (0..200).map(|n| n * 10).collect();
        for (hints, expected) in [
            (&[0][..], 50),
            (&[100], 150),
            (&[0, 40], 90),
            (&[0, 40, 80, 120], 170),
            (&[0, 60], 50),
            (&steady, 500),
        ] {
            // Timers have a resolution of one millisecond.
            let after = settled_after(hints).await;
            assert!((expected..=expected + 2).contains(&after), "{hints:?}: {after}");
        }
    }
}
