//! What all workers share about an endpoint: how much is in flight there and how it has fared.
//!
//! Health and limits belong to the endpoint and the proxy, not to a route or a worker. The registry
//! is asked once for each endpoint and worker; after that a worker keeps the cell by its own
//! reference, so that the path of a request takes no lock.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lateen_engine::destination::EndpointKey;
use rustc_hash::FxHashMap;

/// Shared counters of one endpoint, alone on their cache lines: every worker writes them.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct EndpointCell {
    active: AtomicU32,
    connections: AtomicU32,
    failures: AtomicU32,
    /// Milliseconds since the registry's start; 0: not ejected.
    ejected_until: AtomicU64,
}

impl EndpointCell {
    /// Requests (and TCP connections) in flight.
    #[must_use]
    pub fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Counts a request in flight until the guard is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> InFlight {
        self.active.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Counts an open connection until the guard is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// An exchange ended well.
    pub fn succeeded(&self) {
        // A plain load first: the line stays shared while nothing fails.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// An exchange failed. Returns the failures in a row, this one included.
    pub fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes the endpoint out until `until` (time since the start of the proxy).
    pub fn eject(&self, until: Duration) {
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.ejected_until.store(millis, Ordering::Relaxed);
    }

    /// Whether it is taken out at `now` (time since the start of the proxy).
    #[must_use]
    pub fn ejected(&self, now: Duration) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && u128::from(until) > now.as_millis()
    }
}

/// One request in flight; dropping it ends the count.
#[derive(Debug)]
pub struct InFlight(Arc<EndpointCell>);

impl InFlight {
    /// The endpoint's cell.
    #[must_use]
    pub fn cell(&self) -> &Arc<EndpointCell> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One open connection; dropping it ends the count.
#[derive(Debug)]
pub struct Connected(Arc<EndpointCell>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The cells of all endpoints that any worker has asked for.
#[derive(Debug, Default)]
pub struct EndpointCells {
    cells: Mutex<FxHashMap<EndpointKey, Arc<EndpointCell>>>,
}

impl EndpointCells {
    /// The cell of `key`, made if it is not there. Takes a lock: workers keep what they got.
    #[must_use]
    pub fn cell(&self, key: &EndpointKey) -> Arc<EndpointCell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = cells.get(key) {
            return Arc::clone(cell);
        }
        let cell = Arc::new(EndpointCell::default());
        cells.insert(key.clone(), Arc::clone(&cell));
        cell
    }

    /// Forgets every cell that nobody holds any more. Called after a change of the plan.
    pub fn prune(&self) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, cell| Arc::strong_count(cell) > 1);
        if cells.capacity() > 4 * cells.len() + 64 {
            cells.shrink_to_fit();
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(uid: &str) -> EndpointKey {
        EndpointKey { uid: uid.into(), port: 80 }
    }

    #[test]
    fn a_cell_is_shared_while_held_and_forgotten_after() {
        let cells = EndpointCells::default();
        let first = cells.cell(&key("c/shop/a"));
        let guard = first.enter();
        assert_eq!(cells.cell(&key("c/shop/a")).active(), 1);
        drop(first);
        cells.prune();
        assert_eq!(cells.len(), 1, "a request in flight holds its cell");
        drop(guard);
        cells.prune();
        assert!(cells.is_empty());
    }

    #[test]
    fn guards_count_down_and_failures_count_in_a_row() {
        let cell = Arc::new(EndpointCell::default());
        let (request, connection) = (cell.enter(), cell.connect());
        assert_eq!((cell.active(), cell.connections()), (1, 1));
        drop((request, connection));
        assert_eq!((cell.active(), cell.connections()), (0, 0));
        assert_eq!((cell.failed(), cell.failed()), (1, 2));
        cell.succeeded();
        assert_eq!(cell.failures(), 0);
        cell.eject(Duration::from_secs(5));
        assert!(cell.ejected(Duration::from_secs(4)) && !cell.ejected(Duration::from_secs(5)));
    }
}
