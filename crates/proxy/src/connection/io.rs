//! The byte streams of a connection's two sides.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A TCP stream of which some bytes were read already: they come first.
#[derive(Debug)]
pub struct Replay {
    seen: Bytes,
    stream: TcpStream,
}

impl Replay {
    /// `seen` are the bytes that were taken from `stream`, in order.
    #[must_use]
    pub fn new(seen: Bytes, stream: TcpStream) -> Self {
        Self { seen, stream }
    }

    /// The stream, and what has been read from it but not from here.
    #[must_use]
    pub fn into_parts(self) -> (Bytes, TcpStream) {
        (self.seen, self.stream)
    }

    /// The stream below.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.seen.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.seen.len().min(buf.remaining());
        buf.put_slice(&self.seen[..length]);
        self.seen.advance(length);
        if self.seen.is_empty() {
            self.seen = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// Forwards the writing half of a stream to the expression that holds it.
macro_rules! forward_writes {
    ($self:ident => $stream:expr) => {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let $self = self.get_mut();
            $stream.poll_write(cx, buf)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let $self = self.get_mut();
            $stream.poll_write_vectored(cx, bufs)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let $self = self.get_mut();
            $stream.poll_flush(cx)
        }

        fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            let $self = self.get_mut();
            $stream.poll_shutdown(cx)
        }
    };
}

impl AsyncWrite for Replay {
    forward_writes!(this => Pin::new(&mut this.stream));
}

/// The side of a connection that was dialled to us.
#[derive(Debug)]
pub enum ServerIo {
    /// Plain text, or TLS that does not end here.
    Plain(Replay),
    /// TLS that ends here.
    Tls(Box<server::TlsStream<Replay>>),
}

impl ServerIo {
    /// The TCP stream below.
    #[must_use]
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(replay) => replay.stream(),
            Self::Tls(tls) => tls.get_ref().0.stream(),
        }
    }
}

/// Calls `$call` on the pinned stream of whichever variant there is.
macro_rules! each {
    ($value:expr, $kind:ident { $($variant:ident),+ }, $stream:ident => $call:expr) => {
        match $value {
            $($kind::$variant($stream) => { let $stream = Pin::new($stream); $call })+
        }
    };
}

macro_rules! forward_stream {
    ($kind:ident { $($variant:ident),+ }) => {
        impl AsyncRead for $kind {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $kind { $($variant),+ }, stream => stream.poll_read(cx, buf))
            }
        }

        impl AsyncWrite for $kind {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!(self.get_mut(), $kind { $($variant),+ }, stream => stream.poll_write(cx, buf))
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                each!(self.get_mut(), $kind { $($variant),+ },
                    stream => stream.poll_write_vectored(cx, bufs))
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    $(Self::$variant(stream) => stream.is_write_vectored()),+
                }
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $kind { $($variant),+ }, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $kind { $($variant),+ }, stream => stream.poll_shutdown(cx))
            }
        }
    };
}

forward_stream!(ServerIo { Plain, Tls });

/// What a dialled connection runs over.
#[derive(Debug)]
pub enum Transport {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

forward_stream!(Transport { Tcp, Unix });

/// The side of a connection that we dialled.
#[derive(Debug)]
pub enum ClientIo {
    /// Plain text.
    Plain(Transport),
    /// TLS.
    Tls(Box<client::TlsStream<Transport>>),
}

forward_stream!(ClientIo { Plain, Tls });

impl ClientIo {
    /// The protocol that TLS negotiated; `None` without TLS or when the server chose none.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// Our own address, for TCP.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.tcp().and_then(|stream| stream.local_addr().ok())
    }

    /// The address that was dialled, for TCP.
    #[must_use]
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.tcp().and_then(|stream| stream.peer_addr().ok())
    }

    /// The TCP stream below, if it is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        let transport = match self {
            Self::Plain(transport) => transport,
            Self::Tls(tls) => tls.get_ref().0,
        };
        match transport {
            Transport::Tcp(stream) => Some(stream),
            Transport::Unix(_) => None,
        }
    }
}
