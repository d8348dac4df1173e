//! Who sends a request, and what the headers say of it from here on.

use std::net::IpAddr;

use http::HeaderValue;
use lateen_engine::authorize::Peer;
use lateen_identity::SpiffeId;

use super::InProgress;
use crate::connection::Direction;
use crate::http::headers::{append_to_list, names, strip_at_edge, strip_instructions};
use crate::telemetry::peer::{METADATA, METADATA_ID};
use crate::telemetry::trace::{REQUEST_ID, request_id};

/// Sets the headers that tell of the client, and takes out what it may not say of itself.
pub(super) fn identify(exchange: &mut InProgress) {
    exchange.head.headers.remove(names::REASON);
    match exchange.downstream.facts.direction {
        Direction::Inbound => inbound(exchange),
        Direction::Outbound => outbound(exchange),
        Direction::Gateway => gateway(exchange),
    }
}

fn inbound(exchange: &mut InProgress) {
    let downstream = &exchange.downstream;
    let principal = downstream.facts.peer().and_then(|peer| peer.spiffe.as_ref());
    let principal = principal.map(SpiffeId::as_str);
    let headers = &mut exchange.head.headers;
    strip_instructions(headers);
    let taken = downstream.ctx.telemetry.take_peer(headers, principal);
    exchange.told_metadata = taken.present;
    exchange.ongoing.peer = taken.peer;
    match downstream.client_cert() {
        Some(element) => append_to_list(headers, &names::FORWARDED_CLIENT_CERT, element.clone()),
        // Without mutual TLS nobody has proved anything.
        None => {
            headers.remove(names::FORWARDED_CLIENT_CERT);
        }
    }
    set_if_absent(exchange);
}

fn outbound(exchange: &mut InProgress) {
    let headers = &mut exchange.head.headers;
    strip_instructions(headers);
    headers.remove(names::FORWARDED_CLIENT_CERT);
    headers.remove(METADATA);
    headers.remove(METADATA_ID);
    set_if_absent(exchange);
}

fn gateway(exchange: &mut InProgress) {
    let id = new_request_id(exchange);
    let downstream = &exchange.downstream;
    let headers = &mut exchange.head.headers;
    strip_at_edge(headers);
    if let Some(address) = downstream.address() {
        append_to_list(headers, &names::FORWARDED_FOR, address.clone());
        headers.insert(names::EXTERNAL_ADDRESS, address.clone());
    }
    headers.insert(names::FORWARDED_PROTO, HeaderValue::from_static(downstream.scheme()));
    match downstream.client_cert() {
        Some(element) => headers.insert(names::FORWARDED_CLIENT_CERT, element.clone()),
        None => headers.remove(names::FORWARDED_CLIENT_CERT),
    };
    headers.insert(REQUEST_ID, id);
}

fn set_if_absent(exchange: &mut InProgress) {
    if !exchange.head.headers.contains_key(REQUEST_ID) {
        let id = new_request_id(exchange);
        exchange.head.headers.insert(REQUEST_ID, id);
    }
    let scheme = exchange.downstream.scheme();
    let headers = &mut exchange.head.headers;
    if !headers.contains_key(names::FORWARDED_PROTO) {
        headers.insert(names::FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
}

fn new_request_id(exchange: &InProgress) -> HeaderValue {
    let random = &exchange.ctx().random;
    request_id((u128::from(random.next()) << 64) | u128::from(random.next()))
}

/// The caller, as policies see it.
pub(super) fn peer(exchange: &InProgress) -> Peer<'_> {
    let facts = &exchange.downstream.facts;
    let source = facts.downstream_remote.ip();
    let remote = match facts.direction {
        Direction::Gateway => source,
        Direction::Inbound | Direction::Outbound => last_forwarded(exchange).unwrap_or(source),
    };
    Peer {
        identity: facts.peer().and_then(|peer| peer.spiffe.as_ref()).map(SpiffeId::as_str),
        source,
        remote,
        destination: facts.original_destination,
        sni: facts.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
    }
}

/// The last address in `x-forwarded-for`: who the nearest trusted proxy took for its client.
fn last_forwarded(exchange: &InProgress) -> Option<IpAddr> {
    let value = exchange.head.headers.get_all(names::FORWARDED_FOR).iter().next_back()?;
    value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}
