//! A worker's own references to the cells of endpoints.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lateen_engine::Destination;
use lateen_engine::balance::EndpointView;
use rustc_hash::FxHashMap;

use crate::cell::{EndpointCell, EndpointCells};

/// The cells of a destination's endpoints, by the index of its targets.
#[derive(Debug)]
pub struct DestinationCells {
    /// Held so that its address stays its own as long as it is a key.
    destination: Arc<Destination>,
    cells: Box<[Arc<EndpointCell>]>,
    turn: Cell<u64>,
}

impl DestinationCells {
    /// The cell of a target.
    #[must_use]
    pub fn cell(&self, index: usize) -> Option<&Arc<EndpointCell>> {
        self.cells.get(index)
    }

    /// Counts the choices of this worker for the destination.
    #[must_use]
    pub fn next_turn(&self) -> u64 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The endpoints as they are at `now` (time since the start of the proxy).
    #[must_use]
    pub fn view(&self, now: Duration) -> View<'_> {
        View { cells: &self.cells, now }
    }
}

/// The state of a destination's endpoints at one moment.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    cells: &'a [Arc<EndpointCell>],
    now: Duration,
}

impl EndpointView for View<'_> {
    fn active(&self, index: usize) -> u32 {
        self.cells.get(index).map_or(0, |cell| cell.active())
    }

    fn ejected(&self, index: usize) -> bool {
        self.cells.get(index).is_some_and(|cell| cell.ejected(self.now))
    }
}

/// What a worker has references to: of destinations that were used since the last but one change of
/// the plan.
#[derive(Debug)]
pub(super) struct KnownCells {
    shared: Arc<EndpointCells>,
    current: RefCell<Known>,
    previous: RefCell<Known>,
}

/// By the address of the destination.
type Known = FxHashMap<usize, Rc<DestinationCells>>;

impl KnownCells {
    pub(super) fn new(shared: Arc<EndpointCells>) -> Self {
        Self { shared, current: RefCell::default(), previous: RefCell::default() }
    }

    /// The cells of a destination; asks the shared registry only the first time. `start` is where
    /// the turns begin, so that workers do not take them in step.
    pub(super) fn of(&self, destination: &Arc<Destination>, start: u64) -> Rc<DestinationCells> {
        let key = Arc::as_ptr(destination) as usize;
        if let Some(known) = self.current.borrow().get(&key) {
            return Rc::clone(known);
        }
        let known = self.previous.borrow_mut().remove(&key).unwrap_or_else(|| {
            let cells = destination.targets().iter();
            Rc::new(DestinationCells {
                destination: Arc::clone(destination),
                cells: cells.map(|target| self.shared.cell(&target.endpoint.key)).collect(),
                turn: Cell::new(start),
            })
        });
        debug_assert!(Arc::ptr_eq(&known.destination, destination));
        self.current.borrow_mut().insert(key, Rc::clone(&known));
        known
    }

    /// The plan has changed: what is not used until the next change goes.
    pub(super) fn turn_over(&self) {
        let used = self.current.take();
        self.previous.replace(used);
    }
}
