//! Handing accepted sockets to workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::Accepted;

/// How many connections a worker has open. Shared between the worker and whoever hands out.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerLoad {
    open: AtomicUsize,
}

impl WorkerLoad {
    /// Open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// One open connection of a worker; dropping it ends the count.
#[derive(Debug)]
pub struct Slot(Arc<WorkerLoad>);

impl Slot {
    fn take(load: &Arc<WorkerLoad>) -> Self {
        load.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The workers, as those who accept see them.
#[derive(Debug, Clone)]
pub struct Handout {
    workers: Vec<(mpsc::UnboundedSender<Accepted>, Arc<WorkerLoad>)>,
    /// Connections of all workers together, at most. It also bounds what waits in the channels.
    limit: usize,
    refused: Arc<AtomicUsize>,
}

impl Handout {
    /// Hands out to `workers`, and to none of them beyond `limit` connections in all.
    #[must_use]
    pub fn new(
        workers: Vec<(mpsc::UnboundedSender<Accepted>, Arc<WorkerLoad>)>,
        limit: usize,
    ) -> Self {
        Self { workers, limit, refused: Arc::default() }
    }

    /// Gives a connection to the worker with the fewest; `None` when there are too many or no
    /// worker is left, and the connection is closed.
    pub fn give(&self, accepted: impl FnOnce(Slot) -> Accepted) -> Option<()> {
        let open: usize = self.workers.iter().map(|(_, load)| load.open()).sum();
        let idlest = self.workers.iter().min_by_key(|(_, load)| load.open());
        let (sender, load) = idlest.filter(|_| open < self.limit).or_else(|| {
            self.refuse();
            None
        })?;
        sender.send(accepted(Slot::take(load))).ok()
    }

    fn refuse(&self) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        // Under a flood one line for each doubling is enough.
        if refused.is_power_of_two() {
            tracing::warn!(refused, limit = self.limit, "too many connections: closed as accepted");
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.workers.iter().map(|(_, load)| load.open()).sum()
    }

    /// Connections that were closed as they were accepted because there were too many.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}
