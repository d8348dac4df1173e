//! The cells of a series: written by one worker, read by whoever scrapes.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, Envoy's: milliseconds for durations, bytes for sizes.
pub(super) const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10000.0,
    30000.0,
    60000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// The same bounds times a thousand, as whole numbers: what values are compared with.
const BOUNDS_BY_1000: [u64; 19] = [
    500,
    1000,
    5000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    600_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// A number with a single writer: adding is a load and a store, without a locked instruction.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts in buckets, and the sum.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last is beyond all bounds.
    buckets: [Counter; BOUNDS.len() + 1],
    /// In thousandths.
    sum: Counter,
}

impl Histogram {
    /// Adds a value given in thousandths.
    fn observe(&self, thousandths: u64) {
        let bucket = BOUNDS_BY_1000.partition_point(|bound| *bound < thousandths);
        self.buckets[bucket].add(1);
        self.sum.add(thousandths);
    }
}

/// The cells of an HTTP series.
#[derive(Debug, Default)]
pub(super) struct Http {
    requests: Counter,
    duration: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
    request_messages: Counter,
    response_messages: Counter,
}

/// What one exchange adds to its series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observation {
    pub(super) duration: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) request_messages: u64,
    pub(super) response_messages: u64,
}

impl Http {
    pub(super) fn observe(&self, observation: &Observation) {
        let micros = u64::try_from(observation.duration.as_micros()).unwrap_or(u64::MAX);
        self.requests.add(1);
        self.duration.observe(micros);
        self.request_bytes.observe(observation.request_bytes.saturating_mul(1000));
        self.response_bytes.observe(observation.response_bytes.saturating_mul(1000));
        if observation.request_messages > 0 {
            self.request_messages.add(observation.request_messages);
        }
        if observation.response_messages > 0 {
            self.response_messages.add(observation.response_messages);
        }
    }
}

/// The cells of a TCP series.
#[derive(Debug, Default)]
pub(super) struct Tcp {
    opened: Counter,
    closed: Counter,
    /// To the client.
    sent: Counter,
    /// From the client.
    received: Counter,
}

/// A worker's part of a series, shared with the collector.
#[derive(Debug)]
pub(super) struct Cells<C> {
    pub(super) values: C,
    /// Set by the worker after its last write: it has let go of the series.
    retired: AtomicBool,
}

impl<C: Default> Cells<C> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { values: C::default(), retired: AtomicBool::new(false) })
    }
}

impl<C> Cells<C> {
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

/// The cells of one kind of series, and their sums.
pub(super) trait Kind: std::fmt::Debug + Default + Send + Sync + 'static {
    /// Plain numbers: what the cells of several workers add up to.
    type Totals: std::fmt::Debug + Default + Clone + Send;

    /// Adds the cells to the totals.
    fn add_to(&self, totals: &mut Self::Totals);

    /// Exchanges or connections so far.
    fn count(&self) -> u64;

    /// Exchanges or connections in the totals.
    fn total_count(totals: &Self::Totals) -> u64;

    /// A number that changes whenever something is counted.
    fn activity(&self) -> u64;
}

/// Sums of a histogram.
#[derive(Debug, Clone, Default)]
pub(super) struct HistogramTotals {
    pub(super) buckets: [u64; BOUNDS.len() + 1],
    /// In thousandths.
    pub(super) sum: u64,
}

impl HistogramTotals {
    fn add(&mut self, histogram: &Histogram) {
        for (total, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *total = total.wrapping_add(bucket.get());
        }
        self.sum = self.sum.wrapping_add(histogram.sum.get());
    }
}

/// Sums of an HTTP series.
#[derive(Debug, Clone, Default)]
pub(super) struct HttpTotals {
    pub(super) requests: u64,
    pub(super) duration: HistogramTotals,
    pub(super) request_bytes: HistogramTotals,
    pub(super) response_bytes: HistogramTotals,
    pub(super) request_messages: u64,
    pub(super) response_messages: u64,
}

impl Kind for Http {
    type Totals = HttpTotals;

    fn add_to(&self, totals: &mut HttpTotals) {
        totals.requests += self.requests.get();
        totals.duration.add(&self.duration);
        totals.request_bytes.add(&self.request_bytes);
        totals.response_bytes.add(&self.response_bytes);
        totals.request_messages += self.request_messages.get();
        totals.response_messages += self.response_messages.get();
    }

    fn count(&self) -> u64 {
        self.requests.get()
    }

    fn total_count(totals: &HttpTotals) -> u64 {
        totals.requests
    }

    fn activity(&self) -> u64 {
        self.requests.get()
    }
}

/// Sums of a TCP series.
#[derive(Debug, Clone, Default)]
pub(super) struct TcpTotals {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Kind for Tcp {
    type Totals = TcpTotals;

    fn add_to(&self, totals: &mut TcpTotals) {
        totals.opened += self.opened.get();
        totals.closed += self.closed.get();
        totals.sent += self.sent.get();
        totals.received += self.received.get();
    }

    fn count(&self) -> u64 {
        self.opened.get()
    }

    fn total_count(totals: &TcpTotals) -> u64 {
        totals.opened
    }

    fn activity(&self) -> u64 {
        let bytes = self.sent.get().wrapping_add(self.received.get());
        bytes.wrapping_add(self.opened.get()).wrapping_add(self.closed.get())
    }
}

/// Counts an open TCP connection. Dropping it counts the connection as closed.
///
/// Adding is cheap enough for every read; Istio adds up and reports every 5 s.
#[derive(Debug)]
pub struct TcpMeter {
    cells: Arc<Cells<Tcp>>,
    /// Keeps the series from going while the connection is open.
    _open: Rc<()>,
}

impl TcpMeter {
    pub(super) fn open(cells: &Arc<Cells<Tcp>>, open: &Rc<()>) -> Self {
        cells.values.opened.add(1);
        Self { cells: Arc::clone(cells), _open: Rc::clone(open) }
    }

    /// Bytes went to the client.
    pub fn sent(&self, bytes: u64) {
        self.cells.values.sent.add(bytes);
    }

    /// Bytes came from the client.
    pub fn received(&self, bytes: u64) {
        self.cells.values.received.add(bytes);
    }
}

impl Drop for TcpMeter {
    fn drop(&mut self) {
        self.cells.values.closed.add(1);
    }
}
