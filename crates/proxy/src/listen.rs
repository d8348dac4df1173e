//! Listening sockets: which there should be, where they come from, and who gets what they accept.
//!
//! [`wanted`] reads the set of listeners off the plan. The [`Acceptor`], a thread of its own, binds
//! what is new, closes what is gone, and hands every accepted socket to the worker with the fewest
//! open connections. A socket that a predecessor handed over is used where its address is wanted;
//! what cannot be bound is reported and tried again, and never stops the rest.

mod acceptor;
mod handout;
mod socket;
#[cfg(test)]
mod tests;
mod wanted;

use std::net::SocketAddr;
use std::time::Instant;

pub use acceptor::{Acceptor, ListenReport};
pub use handout::{Handout, Slot, WorkerLoad};
pub use socket::{Inherited, bind};
pub use wanted::{Listener, wanted};

use crate::connection::Direction;

/// How the address that a client dialled is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capture {
    /// The listener is bound at the address itself, as in local mode and at gateways; the address
    /// in the words of the model stands beside it. Transparent capture, where one socket accepts
    /// for all addresses and the kernel is asked, is another variant of this.
    Address(SocketAddr),
}

impl Capture {
    /// The address that the client of an accepted connection dialled.
    #[must_use]
    pub const fn original_destination(&self) -> SocketAddr {
        match self {
            Self::Address(original) => *original,
        }
    }
}

/// A socket that was accepted, on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, non-blocking and not registered with any runtime.
    pub stream: std::net::TcpStream,
    /// Who dialled.
    pub remote: SocketAddr,
    /// The listener's address.
    pub local: SocketAddr,
    /// What the client dialled, in the words of the model.
    pub original_destination: SocketAddr,
    /// Which way the connection goes.
    pub direction: Direction,
    /// When it was accepted.
    pub at: Instant,
    /// Counts the connection as open until it is dropped.
    pub slot: Slot,
}
