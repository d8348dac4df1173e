//! The plugin is kept in place: other programs write network configurations, too, and when they do, it is
//! put back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, INotifyWatcher, RecursiveMode, Watcher};
use serde_json::Value;
use tokio::sync::Notify;

use super::folder::Place;
use super::metrics::Metrics;

/// How often is looked without a hint of the kernel's.
const PERIOD: Duration = Duration::from_secs(10);

/// What is kept, and where.
pub(super) struct Keep {
    pub(super) place: Place,
    pub(super) program: PathBuf,
    pub(super) entry: Value,
    pub(super) metrics: Arc<Metrics>,
}

impl Keep {
    /// Runs until it is dropped.
    pub(super) async fn run(self) {
        let hints = Arc::new(Notify::new());
        let _watch = self.watch(&hints);
        loop {
            self.put();
            // The time without a hint is a limit, not a failure.
            let _ = tokio::time::timeout(PERIOD, hints.notified()).await;
        }
    }

    fn put(&self) {
        let put = self.place.put(&self.program, &self.entry);
        let was_ready = self.metrics.set_ready(put.is_ok());
        match put {
            Ok(done) => {
                if !done.is_empty() {
                    self.metrics.installed(true);
                }
                for done in done {
                    tracing::info!("{done}");
                }
            }
            Err(error) => {
                self.metrics.installed(false);
                if was_ready != Some(false) {
                    tracing::warn!("the plugin is not in place: {error:#}");
                }
            }
        }
    }

    /// Hints when something in the folders changes; without such a watch the period remains.
    fn watch(&self, hints: &Arc<Notify>) -> Option<INotifyWatcher> {
        let hints = hints.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // Looking is no change.
            if event.map_or(true, |event| !matches!(event.kind, EventKind::Access(_))) {
                hints.notify_one();
            }
        };
        let watch = || -> notify::Result<INotifyWatcher> {
            let mut watcher = INotifyWatcher::new(handler, notify::Config::default())?;
            for folder in [&self.place.configurations, &self.place.programs] {
                watcher.watch(folder, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        };
        watch()
            .inspect_err(|error| tracing::warn!("changes are seen every {PERIOD:?} only: {error}"))
            .ok()
    }
}
