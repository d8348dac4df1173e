//! Which destinations speak first.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

/// Addresses whose server was seen to speak before its client, each for a while. One worker's own.
///
/// Only this is remembered: that a client spoke first says nothing about the next one, and a
/// protocol that was detected once may be another one next time.
#[derive(Debug)]
pub struct ServerFirst {
    lifetime: Duration,
    until: RefCell<FxHashMap<SocketAddr, Instant>>,
}

impl ServerFirst {
    /// Beyond this many the expired ones go, and then the rest: a full table is a wrong one.
    const LIMIT: usize = 1024;

    /// Remembers each address for `lifetime`.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, until: RefCell::default() }
    }

    /// Whether `destination` is known to speak first at `now`.
    #[must_use]
    pub fn contains(&self, destination: SocketAddr, now: Instant) -> bool {
        self.until.borrow().get(&destination).is_some_and(|until| *until > now)
    }

    /// `destination` spoke first at `now`.
    pub fn insert(&self, destination: SocketAddr, now: Instant) {
        let mut until = self.until.borrow_mut();
        if until.len() >= Self::LIMIT {
            until.retain(|_, until| *until > now);
        }
        if until.len() >= Self::LIMIT {
            until.clear();
        }
        until.insert(destination, now + self.lifetime);
    }
}
