//! Protocol detection: what a connection's first bytes say.
//!
//! The bytes that are looked at are read from the socket and kept, so that whoever serves the
//! connection sees them first; nothing is lost and nothing is answered. How much is looked at and
//! for how long is bounded.

mod client_hello;
mod http;
mod memory;
mod sniff;
#[cfg(test)]
mod tests;

pub use client_hello::ClientHello;
pub use memory::ServerFirst;
pub use sniff::{Patience, Sniffed, sniff};

use lateen_engine::{Inspect, Seen};
use smallvec::SmallVec;

/// What the first bytes are, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detected {
    /// Nobody looked, or the client was silent.
    Nothing,
    /// Neither TLS nor HTTP.
    Opaque,
    /// An HTTP/1 request line.
    Http1,
    /// The preface of HTTP/2.
    Http2,
    /// A TLS ClientHello.
    Tls(ClientHello),
}

impl Detected {
    /// Calls `decide` with the engine's view of it.
    pub fn with_seen<R>(&self, decide: impl FnOnce(Seen<'_>) -> R) -> R {
        match self {
            Self::Nothing => decide(Seen::Nothing),
            Self::Opaque => decide(Seen::Opaque),
            Self::Http1 => decide(Seen::Http1),
            Self::Http2 => decide(Seen::Http2),
            Self::Tls(hello) => {
                let alpn: SmallVec<[&[u8]; 8]> =
                    hello.alpn.iter().map(|protocol| &**protocol).collect();
                decide(Seen::Tls { sni: hello.sni.as_deref(), alpn: &alpn })
            }
        }
    }
}

/// What a prefix of a stream says so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed to tell.
    Undecided,
    /// The answer; more bytes would not change it.
    Decided(Detected),
}

/// Classifies `bytes`, the beginning of a stream. What `inspect` does not ask for is opaque.
///
/// Never panics, whatever the bytes are, and decides at the latest when `limit` bytes are there.
#[must_use]
pub fn classify(bytes: &[u8], inspect: Inspect, limit: usize) -> Verdict {
    if bytes.is_empty() {
        return Verdict::Undecided;
    }
    if client_hello::starts_record(bytes) {
        return if inspect.tls { classify_tls(bytes, limit) } else { opaque() };
    }
    if !inspect.http {
        return opaque();
    }
    match (http::preface(bytes), http::request_line(bytes)) {
        (http::Match::Yes, _) => Verdict::Decided(Detected::Http2),
        (_, http::Match::Yes) => Verdict::Decided(Detected::Http1),
        (http::Match::No, http::Match::No) => opaque(),
        // A request line longer than what is looked at: everything in it so far was HTTP.
        _ if bytes.len() >= limit => Verdict::Decided(Detected::Http1),
        _ => Verdict::Undecided,
    }
}

fn classify_tls(bytes: &[u8], limit: usize) -> Verdict {
    match client_hello::parse(bytes) {
        client_hello::Parsed::Hello(hello) => Verdict::Decided(Detected::Tls(hello)),
        client_hello::Parsed::Incomplete if bytes.len() < limit => Verdict::Undecided,
        client_hello::Parsed::Incomplete | client_hello::Parsed::Malformed => opaque(),
    }
}

const fn opaque() -> Verdict {
    Verdict::Decided(Detected::Opaque)
}
