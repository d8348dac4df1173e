//! A client's connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

use super::super::stream::Stream;
use super::super::tls::Keys;
use super::end_of;
use crate::observe::Observed;
use crate::scenario::{End, Exchange, HttpVersion};

/// A proxy has acknowledged a mesh a moment before its new listeners listen.
const LISTENING: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(2);

/// A connection, TLS put on where the exchange says so.
pub struct Connection {
    pub stream: Stream,
    pub from: SocketAddr,
    pub certificate: String,
    pub alpn: String,
}

/// Why there is no answer.
pub enum Failure {
    /// What the operating system or TLS said, and the client's address where it was connected.
    Io(io::Error, Option<SocketAddr>),
    /// The TLS handshake did not succeed.
    Handshake(Option<SocketAddr>),
    /// Not within the time.
    Timeout,
}

impl Failure {
    /// The client's address, where it was connected.
    pub fn from(&self) -> Option<SocketAddr> {
        match self {
            Self::Io(_, from) | Self::Handshake(from) => *from,
            Self::Timeout => None,
        }
    }

    /// As it is compared.
    pub fn observed(self) -> Observed {
        let end = match self {
            Self::Io(error, _) => end_of(&error),
            Self::Handshake(_) => End::Handshake,
            Self::Timeout => End::Timeout,
        };
        Observed { end, ..Observed::default() }
    }
}

impl Connection {
    pub async fn open(
        exchange: &Exchange,
        to: SocketAddr,
        from: IpAddr,
        keys: &Keys,
    ) -> Result<Self, Failure> {
        let limit = Instant::now() + LISTENING;
        let (stream, from) = loop {
            match connect(to, from).await {
                Ok(connected) => break connected,
                Err(error)
                    if error.kind() == io::ErrorKind::ConnectionRefused
                        && Instant::now() < limit =>
                {
                    sleep(PAUSE).await;
                }
                Err(error) => return Err(Failure::Io(error, None)),
            }
        };
        let Some(tls) = &exchange.tls else {
            let (certificate, alpn) = (String::new(), String::new());
            return Ok(Self { stream, from, certificate, alpn });
        };
        let alpn = tls.alpn.clone().unwrap_or_else(|| offered(exchange));
        match keys.connect(stream, tls, alpn).await {
            Ok(tls) => {
                Ok(Self { stream: tls.stream, from, certificate: tls.certificate, alpn: tls.alpn })
            }
            Err(_) => Err(Failure::Handshake(Some(from))),
        }
    }

    /// What is known of an answer over this connection before it comes.
    pub fn observed(&self) -> Observed {
        Observed {
            certificate: self.certificate.clone(),
            alpn: self.alpn.clone(),
            ..Observed::default()
        }
    }
}

async fn connect(to: SocketAddr, from: IpAddr) -> io::Result<(Stream, SocketAddr)> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if from.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let tcp = socket.connect(to).await?;
    let from = tcp.local_addr()?;
    Ok((Stream::new(tcp)?, from))
}

/// What a client offers by ALPN, when the exchange does not say: with an identity as a sidecar, else
/// its version of HTTP.
fn offered(exchange: &Exchange) -> Vec<String> {
    let mesh = exchange.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
    let protocols: &[&str] = match (mesh, &exchange.bytes, exchange.http) {
        (true, Some(_), _) => &["istio"],
        (true, None, HttpVersion::Http1) => &["istio-http/1.1", "istio", "http/1.1"],
        (true, None, HttpVersion::Http2) => &["istio-h2", "istio", "h2"],
        (false, Some(_), _) => &[],
        (false, None, HttpVersion::Http1) => &["http/1.1"],
        (false, None, HttpVersion::Http2) => &["h2"],
    };
    protocols.iter().map(|&protocol| protocol.to_owned()).collect()
}
