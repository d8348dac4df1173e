//! A client's byte stream, watched for when a request begins.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::connection::ServerIo;
use crate::http::date::date;

/// What HTTP/2 with prior knowledge begins with.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What has happened on a client's connection.
#[derive(Debug, Default)]
pub(in crate::http) struct Activity {
    /// Exchanges in flight.
    exchanges: Cell<usize>,
    /// Exchanges that ever began.
    begun: Cell<u64>,
    /// When the last one ended, or the connection began.
    idle_since: Cell<Option<Instant>>,
}

impl Activity {
    /// An exchange begins.
    pub(in crate::http) fn begin(&self) {
        self.exchanges.set(self.exchanges.get() + 1);
        self.begun.set(self.begun.get() + 1);
    }

    /// Exchanges that ever began.
    pub(in crate::http) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// An exchange has ended at `now`.
    pub(in crate::http) fn end(&self, now: Instant) {
        self.exchanges.set(self.exchanges.get().saturating_sub(1));
        self.idle_since.set(Some(now));
    }

    /// Exchanges in flight.
    pub(in crate::http) fn exchanges(&self) -> usize {
        self.exchanges.get()
    }

    /// When the last exchange ended; `None` before the first.
    pub(in crate::http) fn idle_since(&self) -> Option<Instant> {
        self.idle_since.get()
    }
}

/// A client's byte stream. Counts what is read, so that the codec's task can tell a connection
/// that is idle from one on which a request's head has begun.
#[derive(Debug)]
pub(in crate::http) struct WatchedIo {
    io: ServerIo,
    /// Read already, by [`looks_like_http2`].
    seen: Bytes,
    read: Arc<AtomicU64>,
    lingering: Option<Pin<Box<Sleep>>>,
    /// Value of `server` in what the codec answers by itself.
    server: &'static str,
    /// What is left to write of an answer that stands for the codec's own.
    instead: Bytes,
}

/// What hyper answers by itself to a head that it cannot read: status line, and the rest.
const CODEC_REFUSALS: [&str; 2] = ["400 Bad Request", "431 Request Header Fields Too Large"];
const CODEC_REST: &str = "\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The status of what the codec answers by itself, if that is what is written.
fn codec_refusal(written: &[u8]) -> Option<&'static str> {
    let rest = written.strip_prefix(b"HTTP/1.1 ")?;
    let fits = |status: &&&str| rest.strip_prefix(status.as_bytes()) == Some(CODEC_REST.as_bytes());
    CODEC_REFUSALS.iter().find(fits).copied()
}

/// The same answer in Envoy's words.
fn in_envoys_words(status: &str, server: &str, date: Option<&HeaderValue>) -> Bytes {
    let text = status.split_once(' ').map_or(status, |(_, text)| text);
    let date = date.and_then(|date| date.to_str().ok()).unwrap_or_default();
    let length = text.len();
    Bytes::from(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\ncontent-type: text/plain\r\n\
         date: {date}\r\nserver: {server}\r\nconnection: close\r\n\r\n{text}"
    ))
}

/// How long a connection that we close is read on, for nothing: closing a socket with bytes unread
/// would reset it, and could take an answer with it that the client has not read yet.
const LINGER: Duration = Duration::from_secs(1);

impl WatchedIo {
    pub(in crate::http) fn new(io: ServerIo, seen: Bytes, server: &'static str) -> Self {
        let read = Arc::new(AtomicU64::new(seen.len() as u64));
        Self { io, seen, read, lingering: None, server, instead: Bytes::new() }
    }

    /// Writes the answer that stands for the codec's own, of which all counts as written then.
    fn poll_instead(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(length))
    }

    /// Bytes read so far. Atomic only because hyper wants to be able to send a stream that is
    /// upgraded; both sides run on one thread.
    pub(in crate::http) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }
}

impl AsyncRead for WatchedIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.seen.is_empty() {
            let length = this.seen.len().min(buf.remaining());
            buf.put_slice(&this.seen[..length]);
            this.seen.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        // One thread writes, so that adding needs no atomic operation.
        this.read.store(this.read.load(Ordering::Relaxed) + read, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_empty() {
            let Some(status) = codec_refusal(buf) else {
                return Pin::new(&mut self.io).poll_write(cx, buf);
            };
            let date = date(SystemTime::now());
            self.instead = in_envoys_words(status, self.server, date.as_ref());
        }
        self.poll_instead(cx, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [head] = bufs
            && (!self.instead.is_empty() || codec_refusal(head).is_some())
        {
            return self.poll_write(cx, head);
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut scratch = [0; 4096];
        while lingering.as_mut().poll(cx).is_pending() {
            let mut unread = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.io).poll_read(cx, &mut unread));
            if read.is_err() || unread.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads until it is clear whether the client speaks HTTP/2. What was read comes back.
pub(in crate::http) async fn looks_like_http2(io: &mut ServerIo) -> io::Result<(bool, Bytes)> {
    let mut seen = BytesMut::with_capacity(1024);
    loop {
        if io.read_buf(&mut seen).await? == 0 {
            return Ok((false, seen.freeze()));
        }
        let length = seen.len().min(HTTP2_PREFACE.len());
        if seen[..length] != HTTP2_PREFACE[..length] {
            return Ok((false, seen.freeze()));
        }
        if length == HTTP2_PREFACE.len() {
            return Ok((true, seen.freeze()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_codec_answers_by_itself_is_said_in_envoys_words() {
        let own = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let status = codec_refusal(own).expect("hyper's own answer");
        let date = HeaderValue::from_static("today");
        assert_eq!(
            in_envoys_words(status, "envoy", Some(&date)),
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\ncontent-type: text/plain\r\n\
             date: today\r\nserver: envoy\r\nconnection: close\r\n\r\nBad Request"
        );
        let ours = b"HTTP/1.1 400 Bad Request\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(codec_refusal(ours), None);
    }
}
