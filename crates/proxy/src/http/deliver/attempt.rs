//! One attempt: a connection, the request on it, the head of the response.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request};
use lateen_engine::retry::{Attempt, RetryPolicy};
use lateen_engine::upstream::Carried;

use super::Delivery;
use super::pick::Picked;
use crate::connection::Direction;
use crate::http::client::{Lease, Pools, SendError};
use crate::http::exchange::{Incoming, StreamError};
use crate::http::headers::{names, number};
use crate::http::local::Refusal;
use crate::http::native::{has_authority, http2_head};
use crate::http::ongoing::SentTo;
use crate::http::request::InProgress;
use crate::http::timeout::{Deadline, within};
use crate::http::upload::Gate;
use crate::telemetry::Reason;
use crate::upstream::DialError;

/// How often a connection that turns out to have ended is replaced, before that counts as a failed
/// attempt.
const STALE: u32 = 8;

/// How long a body is held back for an endpoint that was asked with `Expect: 100-continue` and says
/// nothing. The client may have begun to send by then, which it may do at any time.
const EXPECT: Duration = Duration::from_secs(1);

/// A response whose head has come.
#[derive(Debug)]
pub(in crate::http) struct Received {
    pub(in crate::http) response: Response<Incoming>,
    pub(in crate::http) lease: Lease,
}

/// Why an attempt gave no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection.
    Dial(Rc<DialError>),
    /// The connection ended before anything of the request was written.
    NotSent,
    /// The endpoint refused the stream unseen.
    Refused,
    /// The response's head is too large.
    HeadersTooLarge,
    /// The connection or stream ended before there was a response.
    Ended(StreamError),
    /// `perTryTimeout`.
    TimedOut,
    /// The client's side of the exchange ended first.
    Client(StreamError),
}

impl Failure {
    /// As the retry policy sees it.
    pub(super) fn for_policy(&self) -> Attempt<'static> {
        match self {
            Self::Dial(_) => Attempt::ConnectFailure,
            Self::NotSent => Attempt::ResetBeforeRequest,
            Self::Refused => Attempt::RefusedStream,
            Self::TimedOut => Attempt::PerTryTimeout,
            Self::HeadersTooLarge | Self::Ended(_) | Self::Client(_) => Attempt::Reset,
        }
    }

    /// Whether the endpoint's name has no address: Envoy has no such endpoint.
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Dial(error) if matches!(**error, DialError::Unresolved(_)))
    }

    pub(super) fn into_refusal(self) -> Refusal {
        let reason = match &self {
            Self::Dial(error) => return refused_dial(error),
            Self::NotSent => Reason::UpstreamClosed,
            Self::Refused => Reason::UpstreamRefusedStream,
            Self::HeadersTooLarge => Reason::UpstreamHeadersTooLarge,
            Self::Ended(StreamError::Reset(_)) => Reason::UpstreamReset,
            Self::Ended(StreamError::Protocol) => Reason::UpstreamProtocolError,
            Self::Ended(_) => Reason::UpstreamClosed,
            Self::TimedOut => Reason::TryTimedOut,
            Self::Client(StreamError::Reset(_)) => Reason::DownstreamReset,
            Self::Client(StreamError::Protocol) => Reason::DownstreamProtocolError,
            Self::Client(_) => Reason::DownstreamClosed,
        };
        Refusal::new(reason)
    }
}

fn refused_dial(error: &DialError) -> Refusal {
    let (reason, transport) = match error {
        DialError::Timeout(_) => (Reason::ConnectTimedOut, None),
        DialError::Tls(why) => (Reason::UpstreamTlsFailed, Some(why.as_str().into())),
        DialError::NoCertificate => (Reason::NoWorkloadCertificate, None),
        DialError::Settings(why) => (Reason::UpstreamTlsMisconfigured, Some(why.as_str().into())),
        DialError::Identity(why) => (Reason::UpstreamIdentityMismatch, Some(why.as_str().into())),
        DialError::Unresolved(_) => (Reason::DnsFailed, Some(error.to_string().into())),
        DialError::Refused | DialError::Io(_) => {
            (Reason::ConnectFailed, Some(error.to_string().into()))
        }
    };
    Refusal { transport, ..Refusal::new(reason) }
}

/// Makes one attempt. `may_follow`: another one may come, so the head is kept. `left`: of the time
/// for the whole exchange, where that is limited.
pub(super) async fn attempt(
    exchange: &mut InProgress,
    delivery: &Delivery<'_>,
    picked: Picked,
    may_follow: bool,
    left: Option<Duration>,
) -> Result<Received, Failure> {
    exchange.ongoing.in_flight = Some(picked.cell.enter());
    let mut head = Some(outgoing_head(exchange, delivery, may_follow, left));
    for _ in 0..STALE {
        let dialled =
            Pools::acquire(exchange.ctx(), &picked.lane, &picked.cell, || picked.target.clone());
        let mut lease = dialled.await.map_err(Failure::Dial)?;
        exchange.ongoing.link = Some(Rc::clone(lease.link()));
        let Some(sent) = head.take() else { return Err(Failure::NotSent) };
        let limit = delivery.retries.and_then(RetryPolicy::per_try_timeout);
        let now = exchange.ctx().clock.now();
        let mut deadline = limit.map(|limit| Deadline::new(&exchange.source, limit, now));
        let answered =
            within(&mut deadline, send(exchange, &mut lease, sent, delivery.carried)).await;
        let Some(answered) = answered else { return Err(Failure::TimedOut) };
        match answered {
            Ok(response) => {
                note_service_time(exchange);
                return Ok(Received { response, lease });
            }
            // Found to have ended when it was used: nobody has seen the request.
            Err(SendError::NotSent(Some(returned))) if lease.is_reused() => {
                head = Some(canonical(*returned));
            }
            Err(error) => return Err(failed(exchange, &error)),
        }
    }
    Err(Failure::NotSent)
}

fn failed(exchange: &InProgress, error: &SendError) -> Failure {
    if let Some(error) = exchange.source.failed() {
        return Failure::Client(error);
    }
    match error {
        SendError::NotSent(_) => Failure::NotSent,
        SendError::Refused => Failure::Refused,
        SendError::HeadersTooLarge => Failure::HeadersTooLarge,
        SendError::Failed(error) => Failure::Ended(*error),
    }
}

fn note_service_time(exchange: &mut InProgress) {
    let now = exchange.ctx().clock.now();
    exchange.ongoing.service_time =
        exchange.source.completed().map(|completed| now.saturating_duration_since(completed));
}

async fn send(
    exchange: &InProgress,
    lease: &mut Lease,
    head: request::Parts,
    carried: Carried,
) -> Result<Response<Incoming>, SendError> {
    let restore = lease.link().native && carried == Carried::Http1;
    // Envoy sends it without one, and has its stream reset for that.
    if lease.is_http2() && !restore && !has_authority(&head) {
        return Err(SendError::Failed(StreamError::Protocol));
    }
    let gate = exchange.expects_continue.then(|| Arc::new(Gate::default()));
    let upload = exchange.source.upload(gate.clone());
    let head = if lease.is_http2() {
        http2_head(head, restore, lease.link().scheme)
    } else {
        http1_head(head, !upload.is_empty())
    };
    let mut request = Request::from_parts(head, upload);
    let Some(gate) = gate else { return lease.send(request, None).await };
    if !lease.is_http2() {
        let asked = Arc::clone(&gate);
        hyper::ext::on_informational(&mut request, move |interim| {
            if interim.status() == StatusCode::CONTINUE {
                asked.open();
            }
        });
    }
    let mut patience = pin!(tokio::time::sleep(EXPECT));
    let mut sending = pin!(lease.send(request, Some(&gate)));
    let mut waiting = true;
    poll_fn(|cx| {
        if let Poll::Ready(answered) = sending.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if waiting && patience.as_mut().poll(cx).is_ready() {
            waiting = false;
            gate.open();
        }
        Poll::Pending
    })
    .await
}

/// How many milliseconds an endpoint has to answer, as Envoy tells it: those of one attempt, but no
/// more than what is left of all; at least one.
fn expected(per_try: Option<Duration>, left: Option<Duration>) -> Option<u64> {
    let limit = per_try.into_iter().chain(left).min()?;
    Some(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX).max(1))
}

/// The head of this attempt, in the form of HTTP/1: path in the URI, authority in `host`.
fn outgoing_head(
    exchange: &mut InProgress,
    delivery: &Delivery<'_>,
    may_follow: bool,
    left: Option<Duration>,
) -> request::Parts {
    let attempts = exchange.ongoing.attempts;
    let retries = delivery.retries;
    let own = exchange.ctx().telemetry.own();
    let in_mesh = match &exchange.ongoing.sent_to {
        SentTo::Destination(destination) => !destination.external(),
        SentTo::Nowhere | SentTo::Application(_) | SentTo::Passthrough | SentTo::BlackHole => false,
    };
    let direction = exchange.downstream.facts.direction;
    let headers = &mut exchange.head.headers;
    if direction != Direction::Inbound {
        headers.insert(names::ATTEMPT_COUNT, number(attempts.into()));
        if in_mesh {
            own.announce(headers);
        }
    }
    let per_try = retries.and_then(RetryPolicy::per_try_timeout);
    if let Some(limit) = expected(per_try, left) {
        headers.insert(names::EXPECTED_TIMEOUT, number(limit));
    }
    if attempts <= 1 {
        exchange.ongoing.captured.request(&exchange.head.headers);
    }
    if may_follow {
        return exchange.head.clone();
    }
    let mut rest = Request::new(()).into_parts().0;
    std::mem::swap(&mut rest, &mut exchange.head);
    rest
}

fn http1_head(mut head: request::Parts, has_body: bool) -> request::Parts {
    if head.headers.contains_key(header::UPGRADE) {
        head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if !head.headers.contains_key(header::CONTENT_LENGTH) {
        if has_body {
            // Said outright: hyper would take a GET for one without a body.
            head.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        } else if !has_no_body(&head.method) && !head.headers.contains_key(header::UPGRADE) {
            head.headers.insert(header::CONTENT_LENGTH, number(0));
        }
    }
    head.version = Version::HTTP_11;
    head
}

/// Methods whose requests are complete without a word about a body.
fn has_no_body(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::TRACE | Method::CONNECT)
}

/// Undoes what [`http1_head`] and [`http2_head`] did.
fn canonical(mut head: request::Parts) -> request::Parts {
    head.headers.remove(header::CONNECTION);
    head.headers.remove(header::TRANSFER_ENCODING);
    if let Some(version) = head.headers.remove(names::VERSION) {
        head.version = if version == "1.1" { Version::HTTP_11 } else { head.version };
    }
    if !head.headers.contains_key(header::HOST)
        && let Some(authority) = head.uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        head.headers.insert(header::HOST, host);
    }
    if let Some(path) = head.uri.path_and_query() {
        head.uri = Uri::from(path.clone());
    }
    head
}
