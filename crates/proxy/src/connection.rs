//! A connection: what is known of it, and its two sides as byte streams.
//!
//! [`ConnectionFacts`] are gathered once, when a connection has been accepted, looked at and (where
//! TLS ends here) authenticated; nothing changes in them afterwards. [`ServerIo`] is the side that
//! somebody dialled to us, [`ClientIo`] the side that we dialled.

mod io;
mod peer;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use lateen_identity::SpiffeId;

pub use io::{ClientIo, Replay, ServerIo, Transport};
pub use peer::PeerCertificate;

/// Which way a connection goes, seen from the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// From the workload into the mesh or out of it.
    Outbound,
    /// To the workload.
    Inbound,
    /// Into a gateway from wherever.
    Gateway,
}

/// What is known of an accepted connection.
#[derive(Debug)]
pub struct ConnectionFacts {
    /// Unique in this process.
    pub id: u64,
    /// Which way it goes.
    pub direction: Direction,
    /// Who dialled.
    pub downstream_remote: SocketAddr,
    /// The address of our socket, as it was accepted.
    pub downstream_local: SocketAddr,
    /// What the client dialled in the words of the model: the address before capture, or in local
    /// mode the accepted address with its port shifted back.
    pub original_destination: SocketAddr,
    /// TLS that ended here, or `None` for plain text and for TLS that is passed through.
    pub tls: Option<TlsFacts>,
    /// Server name seen in a ClientHello, whether TLS ended here or not.
    pub sni: Option<Arc<str>>,
    /// When it was accepted.
    pub opened: Instant,
}

impl ConnectionFacts {
    /// A connection of another process, of which nothing is known but which way it goes and the
    /// identity that its peer proved to that process: enough for metrics.
    #[must_use]
    pub fn reported(direction: Direction, identity: Option<SpiffeId>) -> Self {
        let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
        Self {
            id: 0,
            direction,
            downstream_remote: nowhere,
            downstream_local: nowhere,
            original_destination: nowhere,
            tls: identity.map(|identity| TlsFacts {
                version: rustls::ProtocolVersion::Unknown(0),
                cipher: "",
                sni: None,
                alpn: None,
                peer: Some(Arc::new(PeerCertificate::reported(identity))),
            }),
            sni: None,
            opened: Instant::now(),
        }
    }

    /// The authenticated peer: `None` without mutual TLS.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerCertificate> {
        self.tls.as_ref().and_then(|tls| tls.peer.as_deref())
    }

    /// Whether the peer proved an identity of the mesh. At a gateway nobody does: the certificates of
    /// its clients are verified against whatever authority the Gateway names.
    #[must_use]
    pub fn mutual_tls(&self) -> bool {
        self.direction != Direction::Gateway
            && self.peer().is_some_and(|peer| peer.spiffe.is_some())
    }
}

/// TLS that ended here.
#[derive(Debug)]
pub struct TlsFacts {
    /// Negotiated version.
    pub version: rustls::ProtocolVersion,
    /// Negotiated cipher suite, by its IANA name.
    pub cipher: &'static str,
    /// Server name that the client asked for.
    pub sni: Option<Arc<str>>,
    /// Protocol that was negotiated.
    pub alpn: Option<Box<[u8]>>,
    /// The client's certificate; it has been verified.
    pub peer: Option<Arc<PeerCertificate>>,
}
