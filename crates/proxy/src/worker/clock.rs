//! The time, as the tasks of a worker read it.

use std::time::{Duration, Instant, SystemTime};

/// Gives the time. The only place in the request path that asks the system for it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    /// A clock that counts from `started`; one value for the whole process, so that times since
    /// the start can be compared between workers.
    #[must_use]
    pub const fn new(started: Instant) -> Self {
        Self { started }
    }

    /// Monotonic time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::now()
    }

    /// Time since the proxy started, as the endpoints' cells keep it.
    #[must_use]
    pub fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time of day, for logs.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
