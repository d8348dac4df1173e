//! Adding up what the workers counted.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

use super::Bounds;
use super::exposition::{Exposition, Line};
use super::series::{Cells, Http, Kind, Tcp};
use super::worker::{Announcement, Begun, WorkerMetrics};

/// Adds up the series of all workers. Its lock is between those who scrape; workers never take it.
#[derive(Debug)]
pub struct Collector {
    bounds: Bounds,
    announce: Sender<Announcement>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    announced: Receiver<Announcement>,
    http: Sums<Http>,
    tcp: Sums<Tcp>,
}

/// The series of one kind, by their labels.
#[derive(Debug)]
struct Sums<C: Kind> {
    by_labels: BTreeMap<Arc<[u8]>, Sum<C>>,
    remainder: Sum<C>,
}

#[derive(Debug)]
struct Sum<C: Kind> {
    /// What workers counted that have let go of the series.
    past: Option<Box<C::Totals>>,
    live: SmallVec<[Arc<Cells<C>>; 2]>,
}

impl Collector {
    /// A collector without any series yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let (announce, announced) = channel();
        let state = State { announced, http: Sums::default(), tcp: Sums::default() };
        Self { bounds, announce, state: Mutex::new(state) }
    }

    /// The metrics of one more worker.
    pub(in crate::telemetry) fn worker(&self) -> WorkerMetrics {
        WorkerMetrics::new(self.bounds, self.announce.clone())
    }

    /// Takes note of what workers have begun and let go. Called now and then, so that a proxy that
    /// nobody scrapes keeps no more than one that is.
    pub fn settle(&self) {
        self.lock().settle(self.bounds.series);
    }

    /// What there is now, to be printed.
    #[must_use]
    pub fn expose(&self) -> Exposition {
        let mut state = self.lock();
        state.settle(self.bounds.series);
        Exposition::new(state.http.lines(), state.tcp.lines(), self.bounds.series)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, budget: usize) {
        self.http.settle();
        self.tcp.settle();
        while let Ok(announcement) = self.announced.try_recv() {
            match announcement {
                Announcement::Http(begun) => self.http.begin(begun, budget),
                Announcement::Tcp(begun) => self.tcp.begin(begun, budget),
            }
        }
    }
}

impl<C: Kind> Default for Sums<C> {
    fn default() -> Self {
        Self { by_labels: BTreeMap::new(), remainder: Sum::default() }
    }
}

impl<C: Kind> Default for Sum<C> {
    fn default() -> Self {
        Self { past: None, live: SmallVec::new() }
    }
}

impl<C: Kind> Sums<C> {
    /// Puts a worker's part where it belongs for as long as the worker keeps it.
    fn begin(&mut self, begun: Begun<C>, budget: usize) {
        let sum = match begun.labels {
            None => &mut self.remainder,
            Some(labels)
                if self.by_labels.len() < budget || self.by_labels.contains_key(&*labels) =>
            {
                self.by_labels.entry(labels.into()).or_default()
            }
            Some(_) => &mut self.remainder,
        };
        sum.live.push(begun.cells);
    }

    /// Adds what workers have let go to the past, and drops what all of them have.
    fn settle(&mut self) {
        self.remainder.settle();
        self.by_labels.retain(|_, sum| {
            sum.settle();
            !sum.live.is_empty()
        });
    }

    fn lines(&self) -> Vec<Line<C>> {
        let with_labels = self.by_labels.iter().map(|(labels, sum)| (Some(labels), sum));
        let remainder = self.remainder.is_used().then_some((None, &self.remainder));
        with_labels
            .chain(remainder)
            .map(|(labels, sum)| Line { labels: labels.cloned(), totals: sum.totals() })
            .collect()
    }
}

impl<C: Kind> Sum<C> {
    fn settle(&mut self) {
        let past = &mut self.past;
        self.live.retain(|cells| {
            if cells.is_retired() {
                cells.values.add_to(past.get_or_insert_default());
                return false;
            }
            true
        });
    }

    fn is_used(&self) -> bool {
        self.past.is_some() || self.live.iter().any(|cells| cells.values.count() > 0)
    }

    fn totals(&self) -> C::Totals {
        let mut totals = self.past.as_deref().cloned().unwrap_or_default();
        for cells in &self.live {
            cells.values.add_to(&mut totals);
        }
        totals
    }
}
