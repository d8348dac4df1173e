//! Metrics, access log, reasons and the ring of failures.
//!
//! One [`Telemetry`] serves the proxy, and each worker has a [`Shard`] of it. The request path fills
//! a record ([`record`]) when an exchange has ended and gives it to its shard: that counts
//! ([`metrics`]), writes the line of the access log ([`access_log`]) and, if it failed, keeps it in
//! the ring (`failures`). Nothing of that waits or locks; what is shared is read by the admin
//! endpoints from cells that only one worker writes.
//!
//! [`reason`] is the registry of everything that the proxy answers by itself.

pub mod access_log;
mod capture;
mod counters;
mod failures;
pub mod flags;
mod grpc;
pub mod metrics;
pub mod peer;
mod process;
pub mod reason;
pub mod record;
mod shard;
pub mod trace;

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use lateen_mesh::v1;

pub use capture::Captured;
pub use counters::{Count, Counters};
pub use failures::Failure;
pub use flags::Flags;
pub use grpc::MessageCounter;
pub use metrics::{Bounds, TcpMeter};
pub use peer::{OwnWorkload, PeerMetadata};
pub use reason::Reason;
pub use record::{Cluster, Exchange, Grpc, HttpRecord, Object, Peer, Service, Upstream};
pub use shard::Shard;

use crate::connection::Direction;
use access_log::{Format, Writer};
use failures::Ring;
use metrics::Collector;

/// The access log in force, a worker's own copy of it: shared between exchanges without atomics.
type SharedFormat = Rc<Format>;

/// What can be set of telemetry.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Bounds of the metrics.
    pub bounds: Bounds,
    /// How long a line of the access log waits for others at most. Istio's `fileFlushInterval`.
    pub flush: Duration,
    /// A worker hands its lines over when they are this many bytes. Istio's `fileFlushMinSizeKb`.
    pub flush_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { bounds: Bounds::default(), flush: Duration::from_secs(1), flush_bytes: 64 * 1024 }
    }
}

/// The telemetry of a proxy.
#[derive(Debug)]
pub struct Telemetry {
    options: Options,
    writer: Writer,
    collector: Collector,
    /// What the configuration says, and how often it has changed.
    configured: ArcSwap<Configured>,
    generation: AtomicU64,
    shards: Mutex<Vec<Shared>>,
    used: Mutex<UsedEntries>,
}

/// What the configuration says about telemetry.
#[derive(Debug)]
struct Configured {
    own: OwnWorkload,
    access_log: Option<Format>,
}

/// The parts of a shard that others read.
#[derive(Debug, Clone)]
struct Shared {
    ring: Arc<Ring>,
    counters: Arc<Counters>,
}

/// Directory entries that were used since somebody last asked.
#[derive(Debug, Default)]
struct UsedEntries {
    names: HashSet<String>,
    /// Something was used that has no name here: too many series.
    unnamed: bool,
}

/// Directory entries that were used, see [`Telemetry::take_used`].
#[derive(Debug, PartialEq, Eq)]
pub enum Used {
    /// These and no others.
    Exactly(HashSet<String>),
    /// It cannot be told: any may have been.
    Unknown,
}

impl Telemetry {
    /// Telemetry without configuration: it counts, and logs nothing.
    ///
    /// # Errors
    /// When the system gives no thread for the access log.
    pub fn new(options: Options) -> std::io::Result<Arc<Self>> {
        let configured = Configured { own: OwnWorkload::unknown(), access_log: None };
        Ok(Arc::new(Self {
            options,
            writer: Writer::start()?,
            collector: Collector::new(options.bounds),
            configured: ArcSwap::from_pointee(configured),
            generation: AtomicU64::new(0),
            shards: Mutex::default(),
            used: Mutex::default(),
        }))
    }

    /// The part of one more worker, to be made on its thread.
    #[must_use]
    pub fn shard(self: &Arc<Self>) -> Rc<Shard> {
        let shard = Shard::new(Arc::clone(self), self.collector.worker());
        lock(&self.shards).push(shard.shared().clone());
        Rc::new(shard)
    }

    /// Takes over what the configuration says. The strings are for people: what of the access
    /// log's format is not honoured.
    pub fn configure(&self, own: OwnWorkload, access_log: &v1::AccessLog) -> Vec<String> {
        let (access_log, problems) = Format::compile(access_log);
        self.configured.store(Arc::new(Configured { own, access_log }));
        self.generation.fetch_add(1, Ordering::Release);
        problems
    }

    /// The metrics, piece by piece, in Prometheus' text format. Those of configuration and
    /// certificates are not among them.
    pub fn expose(&self) -> impl Iterator<Item = String> + Send + use<> {
        let mut rest = String::new();
        let shards = lock(&self.shards).clone();
        counters::write(&mut rest, &shards);
        for (name, help, value) in [
            ("lateen_access_log_lines_total", "Lines written.", self.writer.written()),
            (
                "lateen_access_log_lost_total",
                "Lines that could not be written.",
                self.writer.lost(),
            ),
        ] {
            use std::fmt::Write as _;
            let _ = writeln!(rest, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
        }
        process::write(&mut rest);
        self.collector.expose().chain(std::iter::once(rest))
    }

    /// Istio's standard metrics and those of this process alone, for a process that counts what
    /// another one serves.
    pub fn expose_standard(&self) -> impl Iterator<Item = String> + Send + use<> {
        let mut rest = String::new();
        process::write(&mut rest);
        self.collector.expose().chain(std::iter::once(rest))
    }

    /// The last failures of all workers, the latest last.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let shards = lock(&self.shards).clone();
        failures::merge(shards.iter().map(|shard| &*shard.ring))
    }

    /// Directory entries that were used since the last call. Known a minute late at most.
    pub fn take_used(&self) -> Used {
        let UsedEntries { names, unnamed } = std::mem::take(&mut *lock(&self.used));
        if unnamed { Used::Unknown } else { Used::Exactly(names) }
    }

    /// Forgets what is not needed any more. Called now and then.
    pub fn settle(&self) {
        self.collector.settle();
    }

    /// Opens the files of the access log anew, for log rotation. Whether the request was taken.
    #[must_use]
    pub fn reopen_access_log(&self) -> bool {
        self.writer.reopen()
    }

    /// Downstream connections that are open.
    #[must_use]
    pub fn active_connections(&self) -> u64 {
        lock(&self.shards).iter().map(|shard| shard.counters.active()).sum()
    }

    /// Writes what was handed over and ends the thread of the access log. The last call: shards
    /// must have been flushed.
    pub fn stop(&self) {
        self.writer.stop();
    }
}

impl AsRef<Counters> for Shared {
    fn as_ref(&self) -> &Counters {
        &self.counters
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "outbound",
        Direction::Inbound => "inbound",
        Direction::Gateway => "gateway",
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
