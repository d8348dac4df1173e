//! The head of the answer: what is taken out of a response, what is added, and the record of it.

use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;

use super::answer::{Answer, Relayed};
use super::client::Lease;
use super::date::date;
use super::downstream::Downstream;
use super::exchange::Incoming;
use super::headers::{names, number, strip_response_hop, wire_length};
use super::local::{self, Refusal};
use super::ongoing::SentTo;
use super::request::InProgress;
use super::timeout::Deadline;
use super::upgrade;
use crate::connection::Direction;
use crate::telemetry::Reason;
use crate::telemetry::peer::{METADATA, METADATA_ID};

/// What the path of a request came to.
pub(super) enum Reply {
    /// An answer of our own, as configured.
    Fixed(Response<Bytes>, Reason),
    /// A response that streams from an endpoint.
    Streamed(Streamed),
}

/// A response whose head has come from an endpoint.
pub(super) struct Streamed {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
    pub(super) deadline: Option<Deadline>,
}

/// Answers with what the path came to.
pub(super) fn reply(exchange: InProgress, reply: Reply) -> Response<Answer> {
    match reply {
        Reply::Fixed(response, reason) => fixed(exchange, response, reason),
        Reply::Streamed(streamed) => stream(exchange, streamed),
    }
}

/// Answers with a refusal.
pub(super) fn refuse(mut exchange: InProgress, refusal: &Refusal) -> Response<Answer> {
    if matches!(refusal.reason, Reason::DownstreamClosed | Reason::DownstreamReset) {
        exchange.ongoing.fail(refusal.reason);
        exchange.ongoing.finish();
        return Response::new(Answer::nobody());
    }
    let grpc = exchange.ongoing.grpc;
    let mut response = refusal.answer(grpc, exchange.ongoing.attempts > 1);
    if grpc {
        let status = response.headers().get(names::GRPC_STATUS);
        exchange.ongoing.grpc_status = status.and_then(|status| status.to_str().ok()?.parse().ok());
    }
    exchange.ongoing.transport.clone_from(&refusal.transport);
    if let Some(origin) = &refusal.origin {
        exchange.ongoing.decided_by = Some(origin.clone());
    }
    if exchange.downstream.facts.mutual_tls() {
        let code = HeaderValue::from_static(refusal.reason.code());
        response.headers_mut().insert(names::REASON, code);
    }
    if refusal.reason == Reason::TokenNotChecked
        && let Some(challenge) = challenge(&exchange)
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    exchange.ongoing.fail(refusal.reason);
    let details = refusal.details.clone();
    if let Some(details) = details {
        exchange.ongoing.details = details;
    }
    finish_fixed(exchange, response)
}

/// How much of the path and query a challenge repeats; Envoy's bound.
const REALM_PATH: usize = 256;

/// What a client is told whose token does not count (RFC 6750, section 3), with Envoy's realm.
fn challenge(exchange: &InProgress) -> Option<HeaderValue> {
    let scheme = exchange.scheme();
    let authority = exchange.ongoing.authority.to_str().ok()?;
    let path = exchange.head.uri.path_and_query()?.as_str();
    let path = path.get(..REALM_PATH).unwrap_or(path);
    let realm = format!("Bearer realm=\"{scheme}://{authority}{path}\", error=\"invalid_token\"");
    HeaderValue::try_from(realm).ok()
}

fn fixed(mut exchange: InProgress, response: Response<Bytes>, reason: Reason) -> Response<Answer> {
    exchange.ongoing.fail(reason);
    finish_fixed(exchange, response)
}

fn finish_fixed(mut exchange: InProgress, mut response: Response<Bytes>) -> Response<Answer> {
    if exchange.ongoing.attempts == 0 {
        // The access log shows headers of requests that were never sent, too.
        exchange.ongoing.captured.request(&exchange.head.headers);
    }
    let operations = std::mem::take(&mut exchange.answer_headers);
    if !operations.is_empty() {
        local::edit(&mut response, |headers| operations.iter().for_each(|it| it.apply(headers)));
    }
    name_operation(&exchange, response.headers_mut());
    finish_head(&exchange.downstream, response.headers_mut());
    if exchange.downstream.one_at_a_time && is_last(&exchange) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if exchange.ongoing.method == Method::HEAD {
        *response.body_mut() = Bytes::new();
    }
    note_head(&mut exchange, response.status(), response.headers());
    exchange.ongoing.bytes_sent = response.body().len() as u64;
    exchange.ongoing.finish();
    response.map(Answer::fixed)
}

/// Whether an HTTP/1 connection ends with an answer of our own, as Envoy ends it: what comes next is
/// in doubt, or the rest of a body that nobody reads.
fn is_last(exchange: &InProgress) -> bool {
    let doubtful = matches!(
        exchange.ongoing.reason,
        Some(
            Reason::BadRequest
                | Reason::MissingHost
                | Reason::BadPath
                | Reason::Http10
                | Reason::UnknownTransferEncoding
                | Reason::UpgradeRefused
                | Reason::TooManyHeaders
                | Reason::DownstreamProtocolError
                | Reason::MtlsRequired
        )
    );
    doubtful || !exchange.source.ended()
}

fn stream(mut exchange: InProgress, streamed: Streamed) -> Response<Answer> {
    let Streamed { response, lease, deadline } = streamed;
    let (mut head, body) = response.into_parts();
    let upgraded = head.status == StatusCode::SWITCHING_PROTOCOLS;
    strip_response_hop(&mut head.headers, upgraded);
    exchange_metadata(&mut exchange, &lease, &mut head.headers);
    if let Some(time) = exchange.ongoing.service_time {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        head.headers.insert(names::SERVICE_TIME, number(millis));
    }
    finish_head(&exchange.downstream, &mut head.headers);
    exchange.ongoing.details = "via_upstream".into();
    exchange.ongoing.observe_grpc_status(&head.headers);
    note_head(&mut exchange, head.status, &head.headers);
    if upgraded {
        let upstream = head.extensions.remove::<OnUpgrade>();
        return upgrade::begin(exchange, lease, upstream, head);
    }
    let empty = exchange.ongoing.method == Method::HEAD;
    let relayed = Relayed {
        body: if empty { Incoming::Empty } else { body },
        source: Rc::clone(&exchange.source),
        lease: Some(lease),
        deadline,
        ongoing: Some(exchange.ongoing),
        broken: None,
    };
    Response::from_parts(head, Answer::relayed(relayed))
}

/// Takes out what the other side says to the proxy only, and says what is ours to say.
fn exchange_metadata(exchange: &mut InProgress, lease: &Lease, headers: &mut HeaderMap) {
    let principal = lease.link().peer_principal.as_deref();
    let telemetry = &exchange.downstream.ctx.telemetry;
    match exchange.downstream.facts.direction {
        Direction::Outbound | Direction::Gateway => {
            let taken = telemetry.take_peer(headers, principal);
            exchange.ongoing.peer = taken.peer;
            headers.remove(names::DECORATOR_OPERATION);
        }
        Direction::Inbound => {
            headers.remove(METADATA);
            headers.remove(METADATA_ID);
            if exchange.told_metadata {
                telemetry.own().announce(headers);
            }
            name_operation(exchange, headers);
        }
    }
    // Only a peer of the mesh says why it refused, and only to the workload that called it.
    let outbound = exchange.downstream.facts.direction == Direction::Outbound;
    if !(outbound && principal.is_some()) {
        headers.remove(names::REASON);
    }
}

/// Tells the caller which of the application's services answers, be it by a refusal.
fn name_operation(exchange: &InProgress, headers: &mut HeaderMap) {
    if let SentTo::Application(application) = &exchange.ongoing.sent_to
        && let Some(operation) = &application.operation
    {
        headers.insert(names::DECORATOR_OPERATION, operation.clone());
    }
}

/// Value of the `server` header.
pub(super) const fn server_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Outbound => "envoy",
        Direction::Inbound | Direction::Gateway => "istio-envoy",
    }
}

/// What every answer gets.
fn finish_head(downstream: &Downstream, headers: &mut HeaderMap) {
    let server = server_name(downstream.facts.direction);
    headers.insert(header::SERVER, HeaderValue::from_static(server));
    if !headers.contains_key(header::DATE)
        && let Some(date) = date(downstream.ctx.clock.wall())
    {
        headers.insert(header::DATE, date);
    }
    if downstream.draining.get() && downstream.one_at_a_time {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

fn note_head(exchange: &mut InProgress, status: StatusCode, headers: &HeaderMap) {
    let ongoing = &mut exchange.ongoing;
    ongoing.status = status.as_u16();
    ongoing.head_sent = wire_length(headers) + 17;
    ongoing.captured.response(headers);
}
