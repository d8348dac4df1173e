//! Taking TLS off an accepted connection.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::{PeerCertificate, Replay, TlsFacts};

/// Why a handshake did not come about.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// It took too long.
    #[error("the TLS handshake was not finished in time")]
    Timeout,
    /// The connection broke, or the peer closed it.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(#[source] io::Error),
    /// The two sides could not agree, or one did not believe the other.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// The peer's certificate was verified, yet cannot be read.
    #[error("the peer's certificate cannot be read")]
    Unreadable,
}

/// Does the server's side of a handshake, until `deadline`. A client's certificate is in the facts
/// where the configuration asks for one: it has been verified then.
///
/// # Errors
/// When there is no connection that both sides believe in.
pub async fn accept(
    config: Arc<ServerConfig>,
    stream: Replay,
    deadline: Instant,
) -> Result<(Box<TlsStream<Replay>>, TlsFacts), AcceptError> {
    let handshake = TlsAcceptor::from(config).accept(stream);
    let stream = tokio::time::timeout_at(deadline, handshake)
        .await
        .map_err(|_| AcceptError::Timeout)?
        .map_err(failed)?;
    let connection = stream.get_ref().1;
    let peer = match connection.peer_certificates().and_then(<[_]>::first) {
        Some(leaf) => Some(Arc::new(PeerCertificate::read(leaf).ok_or(AcceptError::Unreadable)?)),
        None => None,
    };
    let facts = TlsFacts {
        version: connection.protocol_version().unwrap_or(rustls::ProtocolVersion::TLSv1_2),
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or(""),
        sni: connection.server_name().map(Arc::from),
        alpn: connection.alpn_protocol().map(Box::from),
        peer,
    };
    Ok((Box::new(stream), facts))
}

/// rustls puts its own errors into `io::Error`.
fn failed(error: io::Error) -> AcceptError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => AcceptError::Tls(tls.to_string()),
        None => AcceptError::Io(error),
    }
}
