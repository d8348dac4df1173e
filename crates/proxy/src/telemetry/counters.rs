//! What the proxy counts of itself.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use super::reason::Reason;
use crate::connection::Direction;

/// The directions, in the order of the counters.
const DIRECTIONS: [Direction; 3] = [Direction::Outbound, Direction::Inbound, Direction::Gateway];

/// A number that only grows, written by the worker that owns it and read by whoever scrapes.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds one.
    pub fn increment(&self) {
        // One writer: a load and a store, without a locked instruction.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// So far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one worker counts. Only that worker may write.
#[derive(Debug)]
pub struct Counters {
    opened: [Count; 3],
    closed: [Count; 3],
    reasons: [Count; Reason::ALL.len()],
    /// Connections that a fault of the proxy ended.
    pub panics: Count,
    /// TLS handshakes with clients that failed.
    pub handshake_failures: Count,
    /// Connections to endpoints that were opened.
    pub dials: Count,
    /// Connections to endpoints that could not be opened.
    pub dial_failures: Count,
    /// Requests and connections that waited for the details of a destination.
    pub details_waits: Count,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            opened: Default::default(),
            closed: Default::default(),
            reasons: std::array::from_fn(|_| Count::default()),
            panics: Count::default(),
            handshake_failures: Count::default(),
            dials: Count::default(),
            dial_failures: Count::default(),
            details_waits: Count::default(),
        }
    }
}

impl Counters {
    /// A downstream connection was taken.
    pub fn opened(&self, direction: Direction) {
        self.opened[direction as usize].increment();
    }

    /// A downstream connection has ended.
    pub fn closed(&self, direction: Direction) {
        self.closed[direction as usize].increment();
    }

    /// Downstream connections that are open.
    #[must_use]
    pub fn active(&self) -> u64 {
        let sum = |counts: &[Count]| counts.iter().map(Count::get).sum::<u64>();
        let closed = sum(&self.closed);
        sum(&self.opened).saturating_sub(closed)
    }

    /// An exchange or connection ended for this reason.
    pub(super) fn ended(&self, reason: Reason) {
        self.reasons[reason as usize].increment();
    }
}

/// Writes the counters of all workers in Prometheus' text format.
pub(super) fn write(out: &mut String, workers: &[impl AsRef<Counters>]) {
    let sum = |count: &dyn Fn(&Counters) -> u64| -> u64 {
        workers.iter().map(|worker| count(worker.as_ref())).sum()
    };
    let metric = |out: &mut String, name: &str, help: &str, kind: &str| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    };
    let opened = |index: usize| sum(&|worker| worker.opened[index].get());
    let closed = |index: usize| sum(&|worker| worker.closed[index].get());

    let name = "lateen_connections_total";
    metric(out, name, "Downstream connections that were taken.", "counter");
    for (index, direction) in DIRECTIONS.into_iter().enumerate() {
        let (direction, value) = (super::direction_name(direction), opened(index));
        let _ = writeln!(out, "{name}{{direction=\"{direction}\"}} {value}");
    }
    let name = "lateen_connections_active";
    metric(out, name, "Downstream connections that are open.", "gauge");
    for (index, direction) in DIRECTIONS.into_iter().enumerate() {
        // Read one after the other while both grow: never below zero.
        let (closed, opened) = (closed(index), opened(index));
        let (direction, value) = (super::direction_name(direction), opened.saturating_sub(closed));
        let _ = writeln!(out, "{name}{{direction=\"{direction}\"}} {value}");
    }
    let name = "lateen_reasons_total";
    metric(out, name, "Exchanges and connections that the proxy ended, by reason code.", "counter");
    for (index, reason) in Reason::ALL.iter().enumerate() {
        let value = sum(&|worker| worker.reasons[index].get());
        if value > 0 {
            let side = reason.facts().side.name();
            let code = reason.code();
            let _ = writeln!(out, "{name}{{reason=\"{code}\",side=\"{side}\"}} {value}");
        }
    }
    type Plain = (&'static str, &'static str, fn(&Counters) -> u64);
    let plain: [Plain; 5] = [
        ("lateen_panics_total", "Connections that a fault of the proxy ended.", |worker| {
            worker.panics.get()
        }),
        ("lateen_handshake_failures_total", "TLS handshakes with clients that failed.", |worker| {
            worker.handshake_failures.get()
        }),
        ("lateen_dials_total", "Connections to endpoints that were opened.", |worker| {
            worker.dials.get()
        }),
        (
            "lateen_dial_failures_total",
            "Connections to endpoints that could not be opened.",
            |worker| worker.dial_failures.get(),
        ),
        (
            "lateen_details_waits_total",
            "Requests and connections that waited for the details of a destination.",
            |worker| worker.details_waits.get(),
        ),
    ];
    for (name, help, value) in plain {
        metric(out, name, help, "counter");
        let _ = writeln!(out, "{name} {}", sum(&value));
    }
}
