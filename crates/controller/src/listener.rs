//! Accepting connections: TCP, then TLS (but on the plain-text port), off to the side, so that one
//! that is slow delays no other.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use lateen_identity::peer_identity;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

use crate::{
    authentication::Peer,
    metrics::{Metrics, Refusal},
};

/// How long to wait after the kernel refused a connection for want of something (descriptors).
const EXHAUSTED: Duration = Duration::from_millis(100);

/// What the listener needs.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) tcp: TcpListener,
    /// `None`: the connections are taken as they come.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) max_connections: usize,
    pub(crate) handshake_timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
}

impl Listener {
    /// Accepts until stopped; gives the connections whose handshake went well.
    pub(crate) fn run(self) -> ReceiverStream<io::Result<Connection>> {
        let (sender, accepted) = mpsc::channel(1);
        tokio::spawn(self.accept(sender));
        ReceiverStream::new(accepted)
    }

    async fn accept(self, sender: mpsc::Sender<io::Result<Connection>>) {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        let acceptor = self.tls.map(TlsAcceptor::from);
        loop {
            let next = async {
                let slot = slots.clone().acquire_owned().await;
                let slot = slot.expect("invariant: the semaphore is never closed");
                (slot, self.tcp.accept().await)
            };
            let Some((slot, accepted)) = self.stop.run_until_cancelled(next).await else { return };
            let (tcp, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(EXHAUSTED).await;
                    continue;
                }
            };
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            let (timeout, metrics) = (self.handshake_timeout, self.metrics.clone());
            tokio::spawn(async move {
                match handshake(acceptor.as_ref(), tcp, remote, slot, timeout).await {
                    // Only a server that has stopped takes no connections.
                    Ok(connection) => drop(sender.send(Ok(connection)).await),
                    Err(error) => {
                        metrics.stream_refused(Refusal::Handshake);
                        tracing::info!(%remote, %error, "a TLS handshake failed");
                    }
                }
            });
        }
    }
}

async fn handshake(
    acceptor: Option<&TlsAcceptor>,
    tcp: TcpStream,
    remote: SocketAddr,
    slot: OwnedSemaphorePermit,
    timeout: Duration,
) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    let Some(acceptor) = acceptor else {
        let peer = Peer { remote, has_certificate: false, identity: None };
        return Ok(Connection { transport: Transport::Plain(tcp), peer, _slot: slot });
    };
    let tls = tokio::time::timeout(timeout, acceptor.accept(tcp))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long"))??;
    let certificates = tls.get_ref().1.peer_certificates();
    let peer = Peer {
        remote,
        has_certificate: certificates.is_some(),
        identity: certificates.and_then(peer_identity),
    };
    Ok(Connection { transport: Transport::Tls(Box::new(tls)), peer, _slot: slot })
}

/// A connection with what is known of its peer.
#[derive(Debug)]
pub(crate) struct Connection {
    transport: Transport,
    peer: Peer,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Transport {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// Does to whichever transport it is.
macro_rules! either {
    ($connection:expr, $transport:ident => $call:expr) => {
        match &mut $connection.transport {
            Transport::Tls(tls) => {
                let $transport = Pin::new(&mut **tls);
                $call
            }
            Transport::Plain(tcp) => {
                let $transport = Pin::new(tcp);
                $call
            }
        }
    };
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, transport => transport.poll_read(context, buffer))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, transport => transport.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, transport => transport.poll_write_vectored(context, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tls(tls) => tls.is_write_vectored(),
            Transport::Plain(tcp) => tcp.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, transport => transport.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, transport => transport.poll_shutdown(context))
    }
}
