//! What a worker knows about addresses that no destination lists.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::destination::{EndpointKey, PoolKey};
use lateen_engine::upstream::UpstreamTls;
use rustc_hash::FxHashMap;

use crate::cell::{EndpointCell, EndpointCells};

/// Addresses that are remembered; beyond, the memory is begun anew.
const REMEMBERED: usize = 4096;

/// The addresses that a worker has sent requests to: the application's, and those that were passed
/// through.
#[derive(Debug, Default)]
pub(super) struct Addresses(RefCell<FxHashMap<SocketAddr, Rc<KnownAddress>>>);

/// An address that is spoken to in plain text.
#[derive(Debug)]
pub(super) struct KnownAddress {
    pub(super) cell: Arc<EndpointCell>,
    pub(super) pool: Arc<PoolKey>,
}

impl Addresses {
    /// What is known about an address.
    pub(super) fn known(&self, cells: &EndpointCells, address: SocketAddr) -> Rc<KnownAddress> {
        let mut addresses = self.0.borrow_mut();
        if let Some(known) = addresses.get(&address) {
            return Rc::clone(known);
        }
        if addresses.len() >= REMEMBERED {
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
}
