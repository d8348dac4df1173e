//! The telemetry of one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::HeaderMap;
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at, sleep};

use super::access_log::{Entry, Lines, SecondCache};
use super::counters::Counters;
use super::failures::{Failure, Ring};
use super::metrics::{SWEEP, WorkerMetrics};
use super::peer::{PeerCache, Taken};
use super::{
    Captured, Exchange, HttpRecord, OwnWorkload, Shared, SharedFormat, TcpMeter, Telemetry, lock,
};

/// The telemetry of one worker. It lives on the worker's thread and takes no lock for an exchange
/// that went well.
#[derive(Debug)]
pub struct Shard {
    telemetry: Arc<Telemetry>,
    shared: Shared,
    /// The configuration that `current` was made from.
    generation: Cell<u64>,
    current: RefCell<Current>,
    metrics: RefCell<WorkerMetrics>,
    log: RefCell<LogBuffer>,
    /// Told when the first line goes into an empty buffer.
    written: Notify,
    peers: RefCell<PeerCache>,
}

#[derive(Debug, Clone)]
struct Current {
    own: Rc<OwnWorkload>,
    access_log: Option<SharedFormat>,
}

/// Lines that have not been handed over.
#[derive(Debug, Default)]
struct LogBuffer {
    text: Vec<u8>,
    count: u64,
    /// The format whose file they go to.
    format: Option<SharedFormat>,
    clock: SecondCache,
}

impl Shard {
    pub(super) fn new(telemetry: Arc<Telemetry>, metrics: WorkerMetrics) -> Self {
        let generation = telemetry.generation.load(Ordering::Acquire);
        let current = Current::of(&telemetry);
        Self {
            telemetry,
            shared: Shared {
                ring: Arc::new(Ring::default()),
                counters: Arc::new(Counters::default()),
            },
            generation: Cell::new(generation),
            current: RefCell::new(current),
            metrics: RefCell::new(metrics),
            log: RefCell::default(),
            written: Notify::new(),
            peers: RefCell::default(),
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What this worker counts of the proxy itself.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// The proxy's own workload.
    #[must_use]
    pub fn own(&self) -> Rc<OwnWorkload> {
        self.refresh();
        Rc::clone(&self.current.borrow().own)
    }

    /// Keeps headers for the access log: one for each exchange, from its start.
    #[must_use]
    pub fn capture(&self) -> Captured {
        self.refresh();
        Captured::new(self.current.borrow().access_log.clone())
    }

    /// Takes the headers of peer metadata off and returns what they say. `principal` is the
    /// identity that the peer has proved: without one, nothing is believed.
    pub fn take_peer(&self, headers: &mut HeaderMap, principal: Option<&str>) -> Taken {
        self.peers.borrow_mut().take(headers, principal)
    }

    /// An HTTP exchange has ended.
    pub fn finish_http(&self, record: &HttpRecord<'_>) {
        self.metrics.borrow_mut().http(record, &self.own());
        if let Some(format) = record.captured.format() {
            self.log(format, Entry { exchange: &record.exchange, http: Some(record) });
        }
        self.note(&record.exchange, Some(record));
    }

    /// A TCP connection is about to be relayed, or has failed before: it counts as opened with the
    /// labels that are known now, and as closed when the meter is dropped.
    #[must_use]
    pub fn open_tcp(&self, exchange: &Exchange<'_>) -> TcpMeter {
        self.metrics.borrow_mut().tcp(exchange, &self.own())
    }

    /// A TCP connection has ended.
    pub fn finish_tcp(&self, exchange: &Exchange<'_>) {
        self.refresh();
        let format = self.current.borrow().access_log.clone();
        if let Some(format) = format {
            self.log(&format, Entry { exchange, http: None });
        }
        self.note(exchange, None);
    }

    /// Hands over what the access log still holds.
    pub fn flush(&self) {
        let mut log = self.log.borrow_mut();
        if let Some(format) = log.format.take()
            && !log.text.is_empty()
        {
            let text = std::mem::take(&mut log.text);
            let count = std::mem::take(&mut log.count);
            self.telemetry.writer.send(Lines { file: Arc::clone(format.file()), text, count });
        }
    }

    /// Does what has to be done now and then: hands over lines of the access log, and lets go of
    /// metrics that are idle. To be spawned on the worker; ends with it.
    pub async fn maintain(self: Rc<Self>) {
        let mut sweeps = interval_at(Instant::now() + SWEEP, SWEEP);
        loop {
            tokio::select! {
                () = self.written.notified() => {
                    sleep(self.telemetry.options.flush).await;
                    self.flush();
                }
                _ = sweeps.tick() => self.sweep(),
            }
        }
    }

    fn sweep(&self) {
        let mut names = Vec::new();
        let complete = self.metrics.borrow_mut().sweep(|entry| names.push(entry.to_owned()));
        let mut used = lock(&self.telemetry.used);
        used.names.extend(names);
        used.unnamed |= !complete;
    }

    fn log(&self, format: &SharedFormat, entry: Entry<'_>) {
        let switched = {
            let log = self.log.borrow();
            log.format.as_ref().is_some_and(|current| current.file() != format.file())
        };
        if switched {
            self.flush();
        }
        let full = {
            let mut log = self.log.borrow_mut();
            let LogBuffer { text, count, format: current, clock } = &mut *log;
            if text.is_empty() {
                self.written.notify_one();
            }
            if current.is_none() {
                *current = Some(Rc::clone(format));
            }
            format.write(text, entry, clock);
            *count += 1;
            text.len() >= self.telemetry.options.flush_bytes
        };
        if full {
            self.flush();
        }
    }

    /// Counts a reason, and keeps a failure in the ring.
    fn note(&self, exchange: &Exchange<'_>, http: Option<&HttpRecord<'_>>) {
        let Some(reason) = exchange.reason else { return };
        self.shared.counters.ended(reason);
        if let Some(failure) = Failure::of(exchange, http) {
            self.shared.ring.push(failure);
        }
    }

    /// Follows the configuration: one load of a number that hardly ever changes.
    fn refresh(&self) {
        let generation = self.telemetry.generation.load(Ordering::Acquire);
        if self.generation.replace(generation) != generation {
            *self.current.borrow_mut() = Current::of(&self.telemetry);
        }
    }
}

impl Current {
    fn of(telemetry: &Telemetry) -> Self {
        let configured = telemetry.configured.load();
        Self {
            own: Rc::new(configured.own.clone()),
            access_log: configured.access_log.clone().map(Rc::new),
        }
    }
}
