//! A byte stream whose first bytes can be looked at, and which can be reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Bytes both ways, whatever is below.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection, TCP or TLS over it.
pub struct Stream {
    read: Vec<u8>,
    io: Box<dyn Io>,
    socket: socket2::Socket,
}

impl Stream {
    /// A stream over TCP.
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let socket = socket2::SockRef::from(&tcp).try_clone()?;
        Ok(Self { read: Vec::new(), io: Box::new(tcp), socket })
    }

    /// The same connection with another layer over it.
    pub fn layered(io: impl Io + 'static, socket: socket2::Socket) -> Self {
        Self { read: Vec::new(), io: Box::new(io), socket }
    }

    /// A handle of the socket, for what is layered over this.
    pub fn socket(&self) -> io::Result<socket2::Socket> {
        self.socket.try_clone()
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        // Without it the connection is closed in order, which the expectation will tell.
        let _ = self.socket.set_linger(Some(Duration::ZERO));
    }

    /// The first bytes, at least `wanted` unless the stream ends before; they will be read again.
    pub async fn peek(&mut self, wanted: usize) -> io::Result<&[u8]> {
        while self.read.len() < wanted {
            let mut buffer = [0; 4096];
            match self.io.read(&mut buffer).await? {
                0 => break,
                count => self.read.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(&self.read)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let count = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..count]);
        self.read.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
