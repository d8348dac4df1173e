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

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

pub use acceptor::{Acceptor, ListenReport};
pub use handout::{Handout, Slot, WorkerLoad};
pub use socket::{Inherited, bind, bind_everywhere};
pub use wanted::{Listener, wanted};

use rustix::net::sockopt;

use crate::connection::Direction;

/// How the address that a client dialled is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capture {
    /// The listener is bound at the address itself, as in local mode; the address in the words of
    /// the model stands beside it.
    Address(SocketAddr),
    /// It is the connection's own local address, as at gateways.
    Own,
    /// One socket accepts for all addresses, and the packet filter knows where the connection was on
    /// its way to (REDIRECT).
    Redirected,
    /// The same, where the kernel gives connections their own local address (TPROXY); those that come
    /// from this pod are redirected all the same.
    Transparent,
}

impl Capture {
    /// The address that the client of an accepted connection dialled.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn original_destination(self, stream: &std::net::TcpStream) -> io::Result<SocketAddr> {
        match self {
            Self::Address(original) => Ok(original),
            Self::Own | Self::Transparent | Self::Redirected => {
                let own = canonical(stream.local_addr()?);
                if self == Self::Own {
                    return Ok(own);
                }
                // What the packet filter did not redirect was dialled as it arrived.
                Ok(redirected_from(stream, own).map_or(own, canonical))
            }
        }
    }
}

/// Where a connection was on its way to, by the packet filter's memory (`SO_ORIGINAL_DST`).
fn redirected_from(stream: &std::net::TcpStream, own: SocketAddr) -> Option<SocketAddr> {
    match own {
        SocketAddr::V4(_) => sockopt::ip_original_dst(stream).ok().map(SocketAddr::V4),
        SocketAddr::V6(_) => sockopt::ipv6_original_dst(stream).ok().map(SocketAddr::V6),
    }
}

/// IPv4 as such where a socket of IPv6 accepted it.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
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
