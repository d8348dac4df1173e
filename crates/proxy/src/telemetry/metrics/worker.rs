//! The series of one worker.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustc_hash::FxHashMap;

use super::labels::Encoder;
use super::series::{Cells, Http, Kind, Observation, Tcp, TcpMeter};
use super::{Bounds, SWEEP};
use crate::telemetry::peer::OwnWorkload;
use crate::telemetry::record::{Exchange, HttpRecord};

/// A series that a worker has begun: to be added up with others of the same labels.
#[derive(Debug)]
pub(super) struct Begun<C> {
    /// `None`: the worker's part of the remainder.
    pub(super) labels: Option<Box<[u8]>>,
    pub(super) cells: Arc<Cells<C>>,
}

/// Either kind of a series that was begun.
#[derive(Debug)]
pub(super) enum Announcement {
    Http(Begun<Http>),
    Tcp(Begun<Tcp>),
}

/// The metrics of one worker.
#[derive(Debug)]
pub(in crate::telemetry) struct WorkerMetrics {
    encoder: Encoder,
    http: Family<Http>,
    tcp: Family<Tcp>,
    announce: Sender<Announcement>,
    bounds: Bounds,
}

#[derive(Debug)]
struct Family<C> {
    by_labels: FxHashMap<Box<[u8]>, Rc<Entry<C>>>,
    /// Where everything beyond the budget goes.
    remainder: Option<Rc<Entry<C>>>,
}

#[derive(Debug)]
struct Entry<C> {
    cells: Arc<Cells<C>>,
    /// Cloned by connections that are open.
    open: Rc<()>,
    labels_end: usize,
    /// Activity at the last sweep, and for how many sweeps it has been the same.
    seen: Cell<u64>,
    idle_sweeps: Cell<u32>,
}

impl WorkerMetrics {
    pub(super) fn new(bounds: Bounds, announce: Sender<Announcement>) -> Self {
        Self {
            encoder: Encoder::default(),
            http: Family::default(),
            tcp: Family::default(),
            announce,
            bounds,
        }
    }

    /// Counts an exchange.
    pub(in crate::telemetry) fn http(&mut self, record: &HttpRecord<'_>, own: &OwnWorkload) {
        self.encoder.http(record, own);
        let entry =
            self.http.entry(&self.encoder, self.bounds.series, &self.announce, Announcement::Http);
        let grpc = record.grpc.unwrap_or_default();
        entry.cells.values.observe(&Observation {
            duration: record.exchange.duration,
            request_bytes: record.wire_received,
            response_bytes: record.wire_sent,
            request_messages: grpc.request_messages,
            response_messages: grpc.response_messages,
        });
    }

    /// Counts a connection as opened.
    pub(in crate::telemetry) fn tcp(
        &mut self,
        exchange: &Exchange<'_>,
        own: &OwnWorkload,
    ) -> TcpMeter {
        self.encoder.tcp(exchange, own);
        let entry =
            self.tcp.entry(&self.encoder, self.bounds.series, &self.announce, Announcement::Tcp);
        TcpMeter::open(&entry.cells, &entry.open)
    }

    /// Lets go of series that have been idle, and calls `used` with the directory entry of each
    /// that has not been since the last sweep. Called every [`SWEEP`]. Whether the calls name
    /// everything that was used: series beyond the budget do not say what they stand for.
    pub(in crate::telemetry) fn sweep(&mut self, mut used: impl FnMut(&str)) -> bool {
        let sweeps = self.bounds.idle.as_secs().div_ceil(SWEEP.as_secs());
        let allowed = u32::try_from(sweeps).unwrap_or(u32::MAX).max(1);
        let http = self.http.sweep(allowed, &mut used);
        let tcp = self.tcp.sweep(allowed, &mut used);
        http && tcp
    }
}

impl<C> Default for Family<C> {
    fn default() -> Self {
        Self { by_labels: FxHashMap::default(), remainder: None }
    }
}

impl<C: Kind> Family<C> {
    /// The series with the labels that the encoder holds, begun if it is not there.
    fn entry(
        &mut self,
        encoder: &Encoder,
        budget: usize,
        announce: &Sender<Announcement>,
        wrap: fn(Begun<C>) -> Announcement,
    ) -> Rc<Entry<C>> {
        let bytes = encoder.bytes();
        if let Some(entry) = self.by_labels.get(bytes) {
            return Rc::clone(entry);
        }
        if self.by_labels.len() >= budget {
            let begin = || Entry::begin(None, 0, announce, wrap);
            return Rc::clone(self.remainder.get_or_insert_with(begin));
        }
        let labels_end = encoder.labels_end();
        let entry = Entry::begin(Some(bytes[..labels_end].into()), labels_end, announce, wrap);
        self.by_labels.insert(bytes.into(), Rc::clone(&entry));
        entry
    }

    fn sweep(&mut self, allowed: u32, used: &mut impl FnMut(&str)) -> bool {
        self.by_labels.retain(|key, entry| {
            if entry.is_active() {
                if let Ok(name) = std::str::from_utf8(&key[entry.labels_end..])
                    && !name.is_empty()
                {
                    used(name);
                }
                return true;
            }
            let idle_sweeps = entry.idle_sweeps.get() + 1;
            entry.idle_sweeps.set(idle_sweeps);
            let keep = idle_sweeps < allowed;
            if !keep {
                entry.cells.retire();
            }
            keep
        });
        self.remainder.as_ref().is_none_or(|entry| !entry.is_active())
    }
}

impl<C: Kind> Entry<C> {
    fn begin(
        labels: Option<Box<[u8]>>,
        labels_end: usize,
        announce: &Sender<Announcement>,
        wrap: fn(Begun<C>) -> Announcement,
    ) -> Rc<Self> {
        let cells = Cells::new();
        // Without a collector nobody reads metrics: the proxy is going down.
        let _ = announce.send(wrap(Begun { labels, cells: Arc::clone(&cells) }));
        let (seen, idle_sweeps) = (Cell::new(0), Cell::new(0));
        Rc::new(Self { cells, open: Rc::new(()), labels_end, seen, idle_sweeps })
    }

    /// Whether something was counted since the last sweep, or a connection is open.
    fn is_active(&self) -> bool {
        let activity = self.cells.values.activity();
        let active = self.seen.replace(activity) != activity || Rc::strong_count(&self.open) > 1;
        if active {
            self.idle_sweeps.set(0);
        }
        active
    }
}
