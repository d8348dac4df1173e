//! What a worker knows about the endpoints of the destinations that it uses.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::Plan;
use lateen_engine::balance::EndpointView;
use lateen_engine::destination::{Destination, EndpointKey, PoolKey};
use lateen_engine::upstream::UpstreamTls;
use rustc_hash::FxHashMap;

use crate::cell::{EndpointCell, EndpointCells};
use crate::worker::WorkerContext;

/// What a worker knows about the endpoints that it uses. Made anew when the plan changes: the
/// shared cells themselves outlive that.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// The plan that the rest belongs to.
    plan: RefCell<Option<Arc<Plan>>>,
    /// By the address of the destination in that plan.
    destinations: RefCell<FxHashMap<usize, Rc<Known>>>,
    addresses: RefCell<FxHashMap<SocketAddr, Rc<KnownAddress>>>,
}

/// A destination's endpoints.
#[derive(Debug)]
pub(super) struct Known {
    cells: Vec<OnceCell<Arc<EndpointCell>>>,
    turn: Cell<u64>,
}

/// An address that no destination lists.
#[derive(Debug)]
pub(super) struct KnownAddress {
    pub(super) cell: Arc<EndpointCell>,
    pub(super) pool: Arc<PoolKey>,
}

/// Addresses that are remembered; beyond, the memory is begun anew.
const ADDRESSES: usize = 4096;

impl Endpoints {
    /// What is known about a destination of this plan.
    pub(super) fn known(&self, ctx: &WorkerContext, destination: &Arc<Destination>) -> Rc<Known> {
        self.follow(&ctx.plan());
        let key = Arc::as_ptr(destination).addr();
        let mut destinations = self.destinations.borrow_mut();
        let known = destinations.entry(key).or_insert_with(|| {
            Rc::new(Known {
                cells: destination.targets().iter().map(|_| OnceCell::new()).collect(),
                turn: Cell::new(ctx.random.next()),
            })
        });
        Rc::clone(known)
    }

    /// What is known about an address that is spoken to in plain text.
    pub(super) fn address(&self, cells: &EndpointCells, address: SocketAddr) -> Rc<KnownAddress> {
        let mut addresses = self.addresses.borrow_mut();
        if let Some(known) = addresses.get(&address) {
            return Rc::clone(known);
        }
        if addresses.len() >= ADDRESSES {
            addresses.clear();
        }
        let key = EndpointKey { uid: address.to_string().into(), port: address.port() };
        let known = Rc::new(KnownAddress {
            cell: cells.cell(&key),
            pool: Arc::new(PoolKey::new(key, Arc::new(UpstreamTls::Plain))),
        });
        addresses.insert(address, Rc::clone(&known));
        known
    }

    fn follow(&self, plan: &Arc<Plan>) {
        let mut current = self.plan.borrow_mut();
        if current.as_ref().is_none_or(|current| !Arc::ptr_eq(current, plan)) {
            // Holding the plan keeps its destinations where they are, so that an address names one.
            *current = Some(Arc::clone(plan));
            self.destinations.borrow_mut().clear();
        }
    }
}

impl Known {
    /// The next turn, for ROUND_ROBIN.
    pub(super) fn take_turn(&self) -> u64 {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// The shared cell of a target.
    pub(super) fn cell(
        &self,
        cells: &EndpointCells,
        destination: &Destination,
        index: usize,
    ) -> Option<&Arc<EndpointCell>> {
        let target = destination.target(index)?;
        Some(self.cells.get(index)?.get_or_init(|| cells.cell(&target.endpoint.key)))
    }
}

/// The state of a destination's endpoints at one moment.
pub(super) struct View<'a> {
    pub(super) ctx: &'a WorkerContext,
    pub(super) known: &'a Known,
    pub(super) destination: &'a Destination,
}

impl View<'_> {
    fn cell(&self, index: usize) -> Option<&Arc<EndpointCell>> {
        self.known.cell(&self.ctx.cells, self.destination, index)
    }
}

impl EndpointView for View<'_> {
    fn active(&self, index: usize) -> u32 {
        self.cell(index).map_or(0, |cell| cell.active())
    }

    fn ejected(&self, index: usize) -> bool {
        self.cell(index).is_some_and(|cell| cell.ejected(self.ctx.clock.since_start()))
    }
}
