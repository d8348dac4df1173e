//! What can be seen of a connection, and what becomes of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::destination::Destination;
use crate::origin::Origin;
use crate::plan::Need;
use crate::reason::Refusal;

/// What must be looked at before a connection can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Inspect {
    /// Whether the first bytes may be a TLS ClientHello that matters.
    pub tls: bool,
    /// Whether it matters if the first bytes are HTTP.
    pub http: bool,
    /// What to do while the client says nothing.
    pub on_silence: OnSilence,
}

impl Inspect {
    /// Nothing needs to be seen.
    pub const NOTHING: Self = Self { tls: false, http: false, on_silence: OnSilence::Wait };

    /// Whether any byte needs to be seen at all; if not, decide with [`Seen::Nothing`].
    #[must_use]
    pub const fn needed(&self) -> bool {
        self.tls || self.http
    }
}

/// What to do while the client of an inspected connection says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnSilence {
    /// Wait for bytes, at most [`crate::settings::Settings::protocol_detection_timeout`]; then
    /// decide with [`Seen::Nothing`].
    Wait,
    /// After a short while ([`SILENCE`]) decide with [`Seen::Nothing`] and dial what it says;
    /// whichever side speaks first then settles the protocol.
    Dial,
}

/// How long a client may be silent on a port whose protocol is not declared before its TCP
/// destination is dialled.
pub const SILENCE: Duration = Duration::from_millis(50);

/// What was seen of a connection's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Nothing: nobody looked, or the client was silent.
    Nothing,
    /// Bytes that are neither TLS nor HTTP.
    Opaque,
    /// An HTTP/1 request line.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A TLS ClientHello.
    Tls {
        /// The server name, as sent.
        sni: Option<&'a str>,
        /// The protocols offered, in the client's order.
        alpn: &'a [&'a [u8]],
    },
}

impl Seen<'_> {
    pub(crate) const fn is_http(&self) -> bool {
        matches!(self, Self::Http1 | Self::Http2)
    }

    /// In words, for explanations.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Nothing => "nothing seen".to_owned(),
            Self::Opaque => "neither TLS nor HTTP".to_owned(),
            Self::Http1 => "HTTP/1".to_owned(),
            Self::Http2 => "HTTP/2".to_owned(),
            Self::Tls { sni, alpn } => {
                let alpn: Vec<_> = alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
                format!("TLS for {}, ALPN [{}]", sni.unwrap_or("no name"), alpn.join(", "))
            }
        }
    }
}

/// Whose virtual hosts serve the requests of an HTTP connection. Owned and cheap to clone: it
/// outlives the plan it was decided on, and each request is routed on the plan of its moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpScope {
    /// The port that route matches compare with: the listener's, or at a gateway the server's.
    pub port: u16,
    /// The address that the client dialled.
    pub destination: SocketAddr,
    /// Which virtual hosts there are.
    pub hosts: Hosts,
}

/// Which virtual hosts an HTTP connection sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hosts {
    /// Those of the directory that declare the port as HTTP, by authority.
    Port,
    /// One directory entry, whatever the authority says (a sniffed port of its own address).
    Entry(Arc<str>),
    /// Those of a gateway's port that plain HTTP servers share.
    GatewayHttp(u16),
    /// Those of one server of a gateway's port: (port, server name).
    GatewayServer(u16, Arc<str>),
}

/// What becomes of a captured connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection<'p> {
    /// Serve HTTP; each request is decided by [`crate::Plan::route`].
    Http(HttpScope),
    /// Relay bytes to a destination.
    Tcp(TcpForward<'p>),
    /// Relay bytes to the address that the client dialled; the setting that allows it.
    Passthrough(&'p Origin),
    /// Close it.
    Refuse(Refusal<'p>),
    /// Details must arrive first.
    Need(Need<'p>),
}

/// Bytes on their way to a destination.
#[derive(Debug, Clone)]
pub struct TcpForward<'p> {
    /// Where to. Shared, so that a relay can outlive the plan.
    pub destination: &'p Arc<Destination>,
    /// The rule that decided.
    pub rule: &'p Origin,
    /// The backend that was chosen.
    pub backend: &'p Origin,
}

impl PartialEq for TcpForward<'_> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.destination, other.destination)
            && self.rule == other.rule
            && self.backend == other.backend
    }
}

impl Eq for TcpForward<'_> {}
