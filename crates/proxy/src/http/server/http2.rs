//! HTTP/2 from a client, by h2.
//!
//! All exchanges of a connection run in the connection's own task: what they write in one turn is
//! flushed together, and a connection that ends takes them with it.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, Stream};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason as Code, RecvStream};
use http::{Request, header};
use http_body::Body;
use tokio::time::Sleep;

use super::WatchedIo;
use super::drain::{Drain, Signal};
use crate::http::downstream::Downstream;
use crate::http::exchange::{Incoming, StreamError};
use crate::http::pump::pump;
use crate::http::request;
use crate::telemetry::reason::Reason;

/// What one request may have in flight unread.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all requests of a connection together may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What one response may have waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;

type Exchange = Pin<Box<dyn Future<Output = ()>>>;

/// Serves a connection until it ends.
pub(in crate::http) async fn serve(downstream: Rc<Downstream>, io: WatchedIo) {
    let settings = &downstream.ctx.settings;
    let mut builder = Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(settings.limits.concurrent_streams)
        .max_header_list_size(u32::try_from(settings.limits.header_bytes).unwrap_or(u32::MAX));
    let handshake = builder.handshake::<_, Bytes>(io);
    let connection = match tokio::time::timeout(settings.timeouts.headers, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "client does not speak HTTP/2");
            return;
        }
        Err(_) => return,
    };
    drive(connection, &downstream).await;
}

async fn drive(mut connection: Connection<WatchedIo, Bytes>, downstream: &Rc<Downstream>) {
    let mut exchanges: FuturesUnordered<Exchange> = FuturesUnordered::new();
    let mut drain = Drain::new(downstream);
    let mut revoked: Option<Pin<Box<Sleep>>> = None;
    let idle = downstream.ctx.settings.timeouts.http_idle;
    let mut idle_timer = pin!(tokio::time::sleep(idle));
    let opened = Instant::now();
    poll_fn(|cx| {
        while let Poll::Ready(signal) = drain.poll(cx) {
            match signal {
                Signal::Ending => {
                    downstream.ending.set(Reason::DrainTimedOut);
                    return Poll::Ready(());
                }
                // What is in flight was allowed when it began, and has as long as in a drain.
                Signal::Revoked => {
                    let limit = downstream.ctx.settings.timeouts.drain;
                    revoked = Some(Box::pin(tokio::time::sleep(limit)));
                }
                Signal::Draining => {}
            }
            downstream.draining.set(true);
            connection.graceful_shutdown();
        }
        if let Some(limit) = &mut revoked
            && limit.as_mut().poll(cx).is_ready()
        {
            downstream.ending.set(Reason::MtlsRequired);
            return Poll::Ready(());
        }
        while idle_timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let since = downstream.activity.idle_since().unwrap_or(opened);
            let busy = downstream.activity.exchanges() > 0;
            let mut due = if busy { now + idle } else { since + idle };
            if due <= now {
                connection.graceful_shutdown();
                due = now + idle;
            }
            idle_timer.as_mut().reset(due.into());
        }
        poll_streams(&mut connection, &mut exchanges, downstream, cx)
    })
    .await;
}

/// Lets exchanges and connection make what progress they can. Ready when the connection is over.
fn poll_streams(
    connection: &mut Connection<WatchedIo, Bytes>,
    exchanges: &mut FuturesUnordered<Exchange>,
    downstream: &Rc<Downstream>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        while let Poll::Ready(Some(())) = Pin::new(&mut *exchanges).poll_next(cx) {}
        // Reads what came, and writes what the exchanges have just handed over.
        match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                let downstream = Rc::clone(downstream);
                exchanges.push(Box::pin(serve_stream(downstream, request, respond)));
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::debug!(%error, "HTTP/2 connection ended");
                if error.is_library() {
                    downstream.ending.set(Reason::DownstreamProtocolError);
                }
                return Poll::Ready(());
            }
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// One exchange, from its head to the end of the answer or to a reset.
async fn serve_stream(
    downstream: Rc<Downstream>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let respond = Rc::new(RefCell::new(respond));
    let expects = request.headers().contains_key(header::EXPECT);
    let request = request.map(|stream| match expects {
        true if !stream.is_end_stream() => Incoming::http2_announced(stream, Rc::clone(&respond)),
        _ => Incoming::http2(stream),
    });
    let mut answering = pin!(Some(request::serve(&downstream, request, None)));
    let answered = poll_fn(|cx| {
        if let Some(answering) = answering.as_mut().as_pin_mut()
            && let Poll::Ready(response) = answering.poll(cx)
        {
            return Poll::Ready(Some(response));
        }
        // A reset, or the end of the connection, ends the exchange.
        respond.borrow_mut().poll_reset(cx).map(|_| None)
    })
    .await;
    let Some(response) = answered else {
        downstream.end_with(Reason::DownstreamReset, || answering.set(None));
        return;
    };
    let (mut head, mut body) = response.into_parts();
    head.version = http::Version::HTTP_2;
    let end = body.is_end_stream();
    let sent = respond.borrow_mut().send_response(http::Response::from_parts(head, ()), end);
    let mut stream = match sent {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "response could not be sent");
            downstream.end_with(Reason::DownstreamReset, || drop(body));
            return;
        }
    };
    if end {
        return;
    }
    if let Err(error) = pump(Pin::new(&mut body), &mut stream).await {
        let code = match error {
            // The client's own reset needs no answer; ours says what went wrong.
            StreamError::Reset(Code::CANCEL) => Code::CANCEL,
            other => other.reset_code(),
        };
        stream.send_reset(code);
        downstream.end_with(Reason::DownstreamReset, || drop(body));
    }
}
