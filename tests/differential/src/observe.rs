//! What one side saw of a scenario.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scenario::{End, HttpVersion, SeenTls};

/// How the body begins of what a client could not send at all.
pub const UNSENT: &str = "cannot be sent: ";

/// Name and value of headers, in order.
pub type Headers = Vec<(String, String)>;

/// What a side saw of an exchange: of each request as often as it was sent, or of each connection
/// where bytes were.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exchanged(pub Vec<Vec<Observed>>);

/// What was seen of one request, or of one connection where bytes were sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// How it ended for the client.
    pub end: End,
    /// The status that the client received; 0 for none.
    pub status: u16,
    /// The headers that the client received.
    pub headers: Headers,
    /// The body, or the bytes, that the client received.
    pub body: String,
    /// The trailers that the client received.
    pub trailers: Headers,
    /// Which certificate the client was shown.
    pub certificate: String,
    /// What ALPN agreed on.
    pub alpn: String,
    /// What backends saw, in the order in which it arrived.
    pub seen: Vec<SeenRequest>,
    /// The access log's entries for it.
    pub log: Vec<BTreeMap<String, String>>,
    /// Whole lines of the access log, where the mesh has a format of its own.
    pub lines: Vec<String>,
    /// How long it took.
    pub milliseconds: u64,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            end: End::Closed,
            status: 0,
            headers: Vec::new(),
            body: String::new(),
            trailers: Vec::new(),
            certificate: String::new(),
            alpn: String::new(),
            seen: Vec::new(),
            log: Vec::new(),
            lines: Vec::new(),
            milliseconds: 0,
        }
    }
}

/// What a backend saw of one request, or of one connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeenRequest {
    /// Name of the backend.
    pub backend: String,
    /// The port at which it was reached.
    pub port: u16,
    /// How it was spoken to.
    pub tls: SeenTls,
    /// The server's name in TLS.
    pub sni: String,
    /// Who called, by certificate.
    pub peer: String,
    /// The version of HTTP; `None` where it was something else.
    pub http: Option<HttpVersion>,
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The authority.
    pub authority: String,
    /// The headers, without the authority.
    pub headers: Headers,
    /// The body, or the bytes.
    pub body: String,
    /// The trailers.
    pub trailers: Headers,
}

impl SeenRequest {
    /// Whether this is the copy that a mirror got: Envoy marks its host.
    #[must_use]
    pub fn is_mirrored(&self) -> bool {
        let host = self.authority.rsplit_once(':').map_or(&*self.authority, |(host, _)| host);
        host.ends_with("-shadow") || self.authority.ends_with("-shadow")
    }
}

impl Observed {
    /// The backend that was asked last, mirrors left out.
    #[must_use]
    pub fn last(&self) -> Option<&SeenRequest> {
        self.seen.iter().rfind(|seen| !seen.is_mirrored())
    }

    /// Name of the backend that was asked last, or `none`.
    #[must_use]
    pub fn destination(&self) -> &str {
        self.last().map_or("none", |seen| &seen.backend)
    }

    /// How often backends were asked, mirrors left out.
    #[must_use]
    pub fn attempts(&self) -> usize {
        self.seen.iter().filter(|seen| !seen.is_mirrored()).count()
    }

    /// The backends that got a copy, sorted.
    #[must_use]
    pub fn mirrored(&self) -> Vec<String> {
        let copies = self.seen.iter().filter(|seen| seen.is_mirrored());
        let mut names: Vec<String> = copies.map(|seen| seen.backend.clone()).collect();
        names.sort();
        names
    }

    /// All values of a header of the response.
    #[must_use]
    pub fn header(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }
}

/// All values of a header.
#[must_use]
pub fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}
