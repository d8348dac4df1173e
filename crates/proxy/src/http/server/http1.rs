//! HTTP/1 from a client, by hyper.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::Sleep;

use super::WatchedIo;
use super::drain::{Drain, Signal};
use crate::http::downstream::Downstream;
use crate::http::exchange::Incoming;
use crate::http::request;
use crate::telemetry::reason::Reason;

/// How long a connection without an exchange is kept open for one more when the proxy drains, so
/// that a request that is on its way is answered, with `connection: close`.
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// What an HTTP/1 client is told whose request head did not come in time.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 22\r\n\
    content-type: text/plain\r\nconnection: close\r\n\r\nrequest header timeout";

/// How a connection came to its end.
enum Ended {
    Closed(hyper::Result<()>),
    HeadersTimedOut,
    Idle,
    DrainTimedOut,
    /// The workload does not take connections like this one any more.
    Revoked,
}

/// Serves a connection until it ends, and the relay of an upgrade if it came to one.
pub(in crate::http) async fn serve(downstream: Rc<Downstream>, io: WatchedIo) {
    let limits = downstream.ctx.settings.limits;
    let mut deadlines = Deadlines::new(&downstream, &io);
    let exchanges = Rc::clone(&downstream);
    let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let downstream = Rc::clone(&exchanges);
        async move {
            let mut request = request;
            let upgrade = request.extensions_mut().remove::<hyper::upgrade::OnUpgrade>();
            let request = request.map(Incoming::http1);
            Ok::<_, Infallible>(request::serve(&downstream, request, upgrade).await)
        }
    });
    let mut connection = Builder::new()
        .auto_date_header(false)
        .header_read_timeout(None)
        .max_headers(limits.header_count)
        .max_header_size(limits.header_bytes)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();

    let mut drain = Drain::new(&downstream);
    let mut ended = drive(&mut connection, &downstream, &mut deadlines, &mut drain).await;
    if matches!(ended, Ended::Revoked) {
        // What is in flight was allowed when it began, and has as long as in a drain.
        downstream.draining.set(true);
        Pin::new(&mut connection).graceful_shutdown();
        let rest = drive(&mut connection, &downstream, &mut deadlines, &mut drain);
        let limit = downstream.ctx.settings.timeouts.drain;
        ended = tokio::time::timeout(limit, rest).await.unwrap_or(Ended::Revoked);
    }
    match &ended {
        Ended::Closed(Ok(())) => {}
        Ended::Closed(Err(error)) => refused_by_codec(&downstream, error),
        Ended::HeadersTimedOut => {
            downstream.refuse_unread(Reason::HeadersTimedOut);
            if let Some(parts) = connection.into_parts() {
                let mut io = parts.io.into_inner();
                // The client may be gone; it is only told why.
                let _ = io.write_all(TIMED_OUT).await;
                let _ = io.shutdown().await;
            }
            return;
        }
        Ended::Idle => Pin::new(&mut connection).graceful_shutdown(),
        Ended::DrainTimedOut => downstream.ending.set(Reason::DrainTimedOut),
        Ended::Revoked => downstream.ending.set(Reason::MtlsRequired),
    }
    if matches!(ended, Ended::Idle) {
        let _ = connection.await;
    } else {
        drop(connection);
    }
    downstream.join_relay().await;
}

async fn drive<C>(
    connection: &mut C,
    downstream: &Downstream,
    deadlines: &mut Deadlines,
    drain: &mut Drain,
) -> Ended
where
    C: Future<Output = hyper::Result<()>> + Unpin,
{
    poll_fn(|cx| {
        if let Poll::Ready(result) = Pin::new(&mut *connection).poll(cx) {
            return Poll::Ready(Ended::Closed(result));
        }
        while let Poll::Ready(signal) = drain.poll(cx) {
            match signal {
                Signal::Ending => return Poll::Ready(Ended::DrainTimedOut),
                Signal::Revoked => return Poll::Ready(Ended::Revoked),
                Signal::Draining => {
                    downstream.draining.set(true);
                    deadlines.shorten_idle();
                }
            }
        }
        deadlines.poll(cx, downstream)
    })
    .await
}

/// The times by which a connection without an exchange must have become busy.
///
/// The timer is not moved for each request: it fires at the earliest time that may matter, and
/// only then the true deadline is worked out.
struct Deadlines {
    timer: Pin<Box<Sleep>>,
    read: Arc<AtomicU64>,
    /// What had been read when the connection was last seen without an exchange.
    read_when_idle: u64,
    /// The beginning of the connection, or of the drain.
    idle_from: Instant,
    /// When the first byte of a head was noticed.
    head_from: Option<Instant>,
    /// Exchanges that had begun when it was last looked.
    begun: u64,
    idle: Duration,
    headers: Duration,
}

impl Deadlines {
    fn new(downstream: &Downstream, io: &WatchedIo) -> Self {
        let timeouts = downstream.ctx.settings.timeouts;
        let now = Instant::now();
        Self {
            timer: Box::pin(tokio::time::sleep(timeouts.http_idle)),
            read: io.bytes_read(),
            read_when_idle: 0,
            idle_from: now,
            head_from: None,
            begun: 0,
            idle: timeouts.http_idle,
            headers: timeouts.headers,
        }
    }

    /// The proxy drains: a connection that stays idle is not kept for long.
    fn shorten_idle(&mut self) {
        self.idle = self.idle.min(LAST_REQUEST);
        self.idle_from = Instant::now();
        self.timer.as_mut().reset((self.idle_from + self.idle).into());
    }

    fn poll(&mut self, cx: &mut Context<'_>, downstream: &Downstream) -> Poll<Ended> {
        let read = self.read.load(Ordering::Relaxed);
        let busy = downstream.activity.exchanges() > 0;
        if busy || downstream.activity.begun() != self.begun {
            self.begun = downstream.activity.begun();
            self.head_from = None;
            self.read_when_idle = read;
        } else if self.head_from.is_none() && read > self.read_when_idle {
            // The codec has taken these bytes and has not come to the end of a head with them.
            let now = Instant::now();
            self.head_from = Some(now);
            self.timer.as_mut().reset((now + self.headers).into());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let due = match self.head_from {
                _ if busy => now + self.idle,
                Some(from) => from + self.headers,
                None => {
                    let ended = downstream.activity.idle_since().unwrap_or(self.idle_from);
                    ended.max(self.idle_from) + self.idle
                }
            };
            if due <= now {
                return Poll::Ready(match self.head_from {
                    Some(_) => Ended::HeadersTimedOut,
                    None => Ended::Idle,
                });
            }
            self.timer.as_mut().reset(due.into());
        }
        Poll::Pending
    }
}

/// hyper answers by itself what it cannot read; such a request is logged like any other.
fn refused_by_codec(downstream: &Rc<Downstream>, error: &hyper::Error) {
    if downstream.activity.exchanges() > 0 {
        if error.is_parse() {
            downstream.ending.set(Reason::DownstreamProtocolError);
        }
        return;
    }
    if error.is_parse_too_large() {
        downstream.refuse_unread(Reason::HeadersTooLarge);
    } else if error.is_parse() {
        downstream.refuse_unread(Reason::BadRequest);
    }
}
