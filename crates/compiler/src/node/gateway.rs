//! Gateways, and the secrets that they serve with.

use std::fmt;
use std::sync::Arc;

use lateen_mesh::v1;

use super::{NamespacePattern, Source};
use crate::scope::Selector;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Gateway {
    pub source: Source,
    /// `namespace/name`.
    pub name: Arc<str>,
    pub namespace: Arc<str>,
    /// None: only by `services`.
    pub selector: Option<Selector>,
    /// The services whose workloads serve it (an annotation), instead of a selector.
    pub services: Arc<[Arc<str>]>,
    pub servers: Vec<Server>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerProtocol {
    Http,
    /// TLS terminated, HTTP inside.
    Https,
    /// TLS passed through by SNI.
    Passthrough,
    Tcp,
    /// TLS terminated, bytes inside.
    TlsTerminated,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    pub number: u16,
    /// `<namespace>.<gateway>.<server or port name>`.
    pub name: Arc<str>,
    pub protocol: ServerProtocol,
    pub hosts: Vec<(NamespacePattern, Arc<str>)>,
    pub tls: Option<ServerTls>,
    pub https_redirect: bool,
    pub field: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ServerTls {
    /// Complete but for the secrets' namespace, which is the gateway workload's.
    pub tls: v1::ServerTls,
    /// Name of the Secret.
    pub credential: Option<Arc<str>>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    pub source: Source,
    pub certificate_chain: Vec<u8>,
    pub private_key: Vec<u8>,
    pub ca_certificates: Vec<u8>,
}

/// Without the key, which belongs in no log.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("source", &self.source).finish_non_exhaustive()
    }
}
