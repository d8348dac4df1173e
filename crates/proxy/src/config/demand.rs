//! Who waits for the details of which directory entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

/// How many entries may be waited for at a time.
const ENTRIES: usize = 1024;

/// How many requests may wait for one entry at a time.
const WAITERS: usize = 4096;

/// The entries that are waited for. Its lock is taken for a first call to a destination only.
#[derive(Debug)]
pub(super) struct Demand {
    entries: Arc<Mutex<HashMap<Arc<str>, Entry>>>,
    wanted: mpsc::Sender<String>,
}

#[derive(Debug, Default)]
struct Entry {
    waiting: usize,
    /// The control plane knows no such host.
    unknown: bool,
}

/// A request that waits; dropping it gives its place back.
#[derive(Debug)]
pub(super) struct Wait {
    entries: Arc<Mutex<HashMap<Arc<str>, Entry>>>,
    host: Arc<str>,
}

impl Demand {
    /// The demand, and where the hosts that are asked for come out: each once.
    pub(super) fn new() -> (Self, mpsc::Receiver<String>) {
        let (wanted, receiver) = mpsc::channel(ENTRIES);
        (Self { entries: Arc::default(), wanted }, receiver)
    }

    /// Asks for the details of an entry; `None` when too much is asked for already.
    pub(super) fn ask(&self, host: &str) -> Option<Wait> {
        let mut entries = lock(&self.entries);
        let host = match entries.get_key_value(host) {
            Some((host, _)) => Arc::clone(host),
            None if entries.len() >= ENTRIES => return None,
            None => Arc::from(host),
        };
        let entry = entries.entry(Arc::clone(&host)).or_default();
        if entry.waiting >= WAITERS {
            return None;
        }
        // An answer that is still there is of an earlier moment: whoever asks needs a new one.
        let fresh = entry.waiting == 0 || std::mem::take(&mut entry.unknown);
        if fresh && self.wanted.try_send(host.to_string()).is_err() {
            if entry.waiting == 0 {
                entries.remove(&host);
            }
            return None;
        }
        entry.waiting += 1;
        Some(Wait { entries: Arc::clone(&self.entries), host })
    }

    /// The control plane does not know the entry.
    pub(super) fn unknown(&self, host: &str) {
        if let Some(entry) = lock(&self.entries).get_mut(host) {
            entry.unknown = true;
        }
    }
}

impl Wait {
    /// Whether the control plane has said that it knows no such host.
    pub(super) fn is_unknown(&self) -> bool {
        lock(&self.entries).get(&self.host).is_some_and(|entry| entry.unknown)
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut entries = lock(&self.entries);
        if let Some(entry) = entries.get_mut(&self.host) {
            entry.waiting -= 1;
            if entry.waiting == 0 {
                entries.remove(&self.host);
            }
        }
    }
}

fn lock(entries: &Mutex<HashMap<Arc<str>, Entry>>) -> MutexGuard<'_, HashMap<Arc<str>, Entry>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_entry_is_asked_for_once_while_it_is_waited_for() {
        let (demand, mut wanted) = Demand::new();
        let first = demand.ask("a").unwrap();
        let second = demand.ask("a").unwrap();
        assert_eq!(wanted.try_recv().as_deref(), Ok("a"));
        assert!(wanted.try_recv().is_err());

        demand.unknown("a");
        assert!(first.is_unknown() && second.is_unknown());
        let third = demand.ask("a").unwrap();
        assert_eq!(wanted.try_recv().as_deref(), Ok("a"), "asked for anew");
        assert!(!third.is_unknown());
        drop((first, second, third));
        assert!(lock(&demand.entries).is_empty());
    }

    #[test]
    fn demand_is_bounded() {
        let (demand, _wanted) = Demand::new();
        let waits: Vec<_> = (0..ENTRIES).map(|n| demand.ask(&n.to_string()).unwrap()).collect();
        assert!(demand.ask("one more").is_none());
        let more: Vec<_> = (1..WAITERS).map(|_| demand.ask("0").unwrap()).collect();
        assert!(demand.ask("0").is_none());
        drop((waits, more));
        assert!(lock(&demand.entries).is_empty());
    }
}
