//! One HTTP request to the application: over a connection of its own, from the address that the packet
//! filter leaves alone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

use super::trust;

/// Why the application did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("{0} cannot be reached: {1}")]
    Connect(SocketAddr, io::Error),
    #[error("no TLS with {0}: {1}")]
    Tls(SocketAddr, io::Error),
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    #[error("no answer: {0}")]
    Grpc(#[from] h2::Error),
    #[error("the answer's body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    #[error("{0}")]
    Answer(String),
}

/// From where the proxy asks: Istio's addresses.
fn source(to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => Ipv4Addr::new(127, 0, 0, 6).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6).into(),
    }
}

/// Connects to the application.
pub(super) async fn connect(to: SocketAddr) -> Result<TcpStream, AskError> {
    let dial = async {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        let from = SocketAddr::new(source(to.ip()), 0);
        if let Err(error) = socket.bind(from) {
            // ::6 is there only where IPv6 is captured.
            tracing::debug!(%from, %error, "asks from another address");
        }
        socket.connect(to).await
    };
    dial.await.map_err(|error| AskError::Connect(to, error))
}

/// Sends a request and reads the answer; of its body, `limit` bytes at most are taken.
pub(super) async fn ask(
    to: SocketAddr,
    tls: bool,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<Response<Bytes>, AskError> {
    let stream = connect(to).await?;
    if !tls {
        return exchange(stream, request, limit).await;
    }
    let name = ServerName::IpAddress(to.ip().into());
    let connector = tokio_rustls::TlsConnector::from(trust::anybody());
    let stream = connector.connect(name, stream).await.map_err(|error| AskError::Tls(to, error))?;
    exchange(stream, request, limit).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
    limit: usize,
) -> Result<Response<Bytes>, AskError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let running = tokio::spawn(connection);
    let asked = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(AskError::Body)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let answer = asked.await;
    running.abort();
    answer
}
