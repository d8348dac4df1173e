//! What a worker knows about addresses that no destination lists.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::destination::{EndpointKey, PoolKey};
use lateen_engine::upstream::UpstreamTls;
use rustc_hash::FxHashMap;

use crate::cell::{EndpointCell, EndpointCells};
use crate::upstream::Source;

/// Addresses that are remembered; beyond, the memory is begun anew.
const REMEMBERED: usize = 4096;

/// An address, and from where it is dialled.
type Dialled = (SocketAddr, Option<Source>);

/// The addresses that a worker has sent requests to: the application's, and those that were passed
/// through.
#[derive(Debug, Default)]
pub(super) struct Addresses(RefCell<FxHashMap<Dialled, Rc<KnownAddress>>>);

/// An address that is spoken to in plain text.
#[derive(Debug)]
pub(super) struct KnownAddress {
    pub(super) cell: Arc<EndpointCell>,
    pub(super) pool: Arc<PoolKey>,
}

impl Addresses {
    /// What is known about an address, dialled from `source`: connections from one are not those from
    /// another.
    pub(super) fn known(
        &self,
        cells: &EndpointCells,
        address: SocketAddr,
        source: Option<Source>,
    ) -> Rc<KnownAddress> {
        let mut addresses = self.0.borrow_mut();
        if let Some(known) = addresses.get(&(address, source)) {
            return Rc::clone(known);
        }
        if addresses.len() >= REMEMBERED {
            addresses.clear();
        }
        let key = EndpointKey { uid: address.to_string().into(), port: address.port() };
        let known = Rc::new(KnownAddress {
            cell: cells.cell(&key),
            pool: Arc::new(PoolKey::new(from(source, key), Arc::new(UpstreamTls::Plain))),
        });
        addresses.insert((address, source), Rc::clone(&known));
        known
    }
}

/// Of connections from several clients to one application each is a client's own.
fn from(source: Option<Source>, key: EndpointKey) -> EndpointKey {
    match source {
        Some(Source::Client(client)) => {
            EndpointKey { uid: format!("{}<{client}", key.uid).into(), ..key }
        }
        Some(Source::Own(_)) | None => key,
    }
}
