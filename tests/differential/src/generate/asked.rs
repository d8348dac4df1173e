//! What is asked of a mesh: requests and connections aimed at what its objects match.
//!
//! For each condition of a mesh there is an *aim*: a request that meets all of it. What is asked is an
//! aim at which one or two parts stand at an edge.

mod aim;
mod edges;

use std::collections::BTreeSet;

pub use aim::aims;
pub use edges::{Naming, asked};

use super::edge::{Edge, Spelling};

/// Where the proxy stands that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The client's sidecar, dialled by its application.
    Outbound,
    /// The server's sidecar, dialled by others.
    Inbound,
    /// The gateway.
    Gateway,
}

/// What the connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Plain text.
    Plain,
    /// Mutual TLS of the mesh, by the service account `namespace/name` of a trust domain.
    Mesh {
        /// SPIFFE ID, whole.
        identity: String,
        /// Server name; none is sent where it is empty.
        sni: String,
    },
    /// TLS that is not the mesh's.
    Tls {
        /// Server name; none is sent where it is empty.
        sni: String,
        /// Name of the certificate that the client shows; none where it is empty.
        certificate: &'static str,
    },
}

/// What is said on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// A request.
    Request,
    /// Bytes that are no HTTP.
    Bytes,
}

/// A request, or a connection, before it is written in the bed's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Where.
    pub place: Place,
    /// The service that is dialled, by its whole name; outbound only.
    pub service: String,
    /// The port that is dialled: of the service, of the server's application, of the gateway.
    pub port: u16,
    /// As whom.
    pub caller: Caller,
    /// What is said.
    pub speech: Speech,
    /// Whether it is HTTP/2.
    pub http2: bool,
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// The query's parameters; without a value, only the name is sent.
    pub query: Vec<(String, Option<String>)>,
    /// Values of the `host` header.
    pub authority: Vec<String>,
    /// Other headers, in order.
    pub headers: Vec<(String, String)>,
    /// Changes how the path is written.
    pub spelling: Option<Spelling>,
    /// The edges that it stands at, for the account of what was asked.
    pub about: BTreeSet<About>,
}

/// An edge, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// The path's value.
    Path(Edge),
    /// The way in which the path is written.
    Written(Spelling),
    /// A header.
    Header(Edge),
    /// A query parameter.
    Query(Edge),
    /// The method.
    Method(Edge),
    /// The authority.
    Authority(Naming),
    /// The server name.
    ServerName(Edge),
    /// The caller's identity.
    Identity(Edge),
}

impl Asked {
    /// The path with the query, as it is sent.
    pub fn target(&self, random: &mut super::random::Random) -> String {
        let mut target = self.path.clone();
        for (number, (name, value)) in self.query.iter().enumerate() {
            target.push(if number == 0 { '?' } else { '&' });
            target.push_str(name);
            if let Some(value) = value {
                target.push('=');
                target.push_str(value);
            }
        }
        let target = match self.spelling {
            Some(spelling) => spelling.write(&target, random),
            None => target,
        };
        // What begins in another way is no target, and a connection with it is not HTTP.
        if target.starts_with('/') { target } else { format!("/{target}") }
    }
}
