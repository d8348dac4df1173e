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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lateen_engine::{Cut, Resources};
    use lateen_mesh::v1::{self, resource::Body};
    use prost::Message;

    use super::*;

    /// A destination with endpoints on these ports.
    fn destination(ports: &[u32]) -> Arc<Destination> {
        let slice = v1::EndpointSlice {
            host: "a.shop".to_owned(),
            port: 80,
            templates: vec![v1::EndpointTemplate::default()],
            endpoints: ports
                .iter()
                .map(|port| v1::Endpoint {
                    workload_uid: "c/shop/a".to_owned(),
                    addresses: vec![Bytes::from_static(&[127, 1, 0, 2])],
                    port: *port,
                    ..v1::Endpoint::default()
                })
                .collect(),
        };
        let destination = v1::Destination {
            host: "a.shop".to_owned(),
            port: 80,
            endpoint_slices: vec!["endpoints/a.shop/80/0".to_owned()],
            ..v1::Destination::default()
        };
        let upserts = [
            ("endpoints/a.shop/80/0", Body::Endpoints(slice)),
            ("destination/a.shop/80/", Body::Destination(destination)),
        ];
        let upserts = upserts.into_iter().map(|(name, body)| {
            let resource = v1::Resource { objects: Vec::new(), body: Some(body) };
            (name.to_owned(), Bytes::from(resource.encode_to_vec()))
        });
        let cut = Cut { upserts: upserts.collect(), removed: Vec::new() };
        let plan = Resources::new().apply(&cut).unwrap();
        plan.destinations().next().unwrap().clone()
    }

    #[test]
    fn workers_see_each_others_requests_and_ejections() {
        let shared = Arc::new(EndpointCells::default());
        let (one, other) = (KnownCells::new(Arc::clone(&shared)), KnownCells::new(shared));
        let destination = destination(&[8080, 8081]);
        let (mine, theirs) = (one.of(&destination, 0), other.of(&destination, 0));
        let request = mine.cell(1).unwrap().enter();
        mine.cell(0).unwrap().eject(Duration::from_secs(5));
        let view = theirs.view(Duration::from_secs(4));
        assert_eq!((view.active(0), view.active(1), view.active(2)), (0, 1, 0));
        assert!(view.ejected(0) && !view.ejected(1) && !view.ejected(2));
        assert!(!theirs.view(Duration::from_secs(5)).ejected(0));
        drop(request);
        assert_eq!(theirs.view(Duration::ZERO).active(1), 0);
    }

    #[test]
    fn what_is_in_use_outlives_changes_of_the_plan_and_the_rest_does_not() {
        let shared = Arc::new(EndpointCells::default());
        let known = KnownCells::new(Arc::clone(&shared));
        let destination = destination(&[8080]);
        let first = known.of(&destination, 7);
        assert_eq!((first.next_turn(), first.next_turn()), (7, 8));
        known.turn_over();
        assert!(Rc::ptr_eq(&first, &known.of(&destination, 0)), "used again: it stays");
        drop(first);
        known.turn_over();
        shared.prune();
        assert_eq!(shared.len(), 1);
        known.turn_over();
        shared.prune();
        assert!(shared.is_empty(), "unused for two changes");
    }
}
