//! Reading a request's head: what is asked for, and whether it can be served at all.

use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use lateen_engine::settings::Settings;

use super::InProgress;
use crate::http::downstream::Downstream;
use crate::http::exchange::Incoming;
use crate::http::headers::{names, strip_request_hop, wire_length};
use crate::http::local::Refusal;
use crate::http::ongoing::Ongoing;
use crate::http::upload::Source;
use crate::telemetry::Reason;

/// An exchange begins.
pub(super) fn begin(
    downstream: &Rc<Downstream>,
    request: Request<Incoming>,
    upgrade: Option<OnUpgrade>,
) -> InProgress {
    let (mut head, body) = request.into_parts();
    restore_version(downstream, &mut head);
    let mut ongoing = Ongoing::begin(downstream, &head);
    ongoing.head_received = wire_length(&head.headers) + head.uri.path().len() as u64 + 16;
    let length = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let source = Source::new(body, length, ongoing.grpc, ongoing.began);
    ongoing.source = Some(Rc::clone(&source));
    InProgress {
        downstream: Rc::clone(downstream),
        head,
        source,
        ongoing,
        upgrade,
        expects_continue: false,
        told_metadata: false,
    }
}

/// A request that a native peer has carried over HTTP/2 is again in the version that it had. Nobody
/// else's word on it is taken.
fn restore_version(downstream: &Downstream, head: &mut http::request::Parts) {
    let said = head.headers.remove(names::VERSION);
    if downstream.native && said.is_some_and(|version| version == "1.1") {
        head.version = Version::HTTP_11;
    }
}

/// Refuses what cannot be served, and brings the head into the one form that everything after
/// reads: the path in the URI and normalised, the authority in `host`, nothing that concerns only
/// the client's connection.
pub(super) fn admit(exchange: &mut InProgress, settings: &Settings) -> Result<(), Refusal> {
    let refuse = |reason| Err(Refusal::new(reason));
    if exchange.head.version < Version::HTTP_11 {
        return refuse(Reason::Http10);
    }
    if exchange.head.headers.len() > exchange.ctx().settings.limits.header_count {
        return refuse(Reason::TooManyHeaders);
    }
    if exchange.head.method == Method::CONNECT {
        return refuse(Reason::UpgradeRefused);
    }
    let authority = authority(&exchange.head)?;
    exchange.head.headers.insert(header::HOST, authority.clone());
    exchange.ongoing.authority = authority;

    let hop = strip_request_hop(&mut exchange.head.headers);
    if hop.other_upgrade {
        return refuse(Reason::UpgradeRefused);
    }
    if !hop.websocket {
        exchange.upgrade = None;
    } else if exchange.upgrade.is_none() {
        exchange.head.headers.remove(header::UPGRADE);
    }
    let headers = &exchange.head.headers;
    exchange.expects_continue = !exchange.source.ended()
        && headers
            .get(header::EXPECT)
            .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    normalize_path(exchange, settings)
}

/// The authority of an absolute URI or of HTTP/2, else the one `host` header.
fn authority(head: &http::request::Parts) -> Result<HeaderValue, Refusal> {
    if let Some(authority) = head.uri.authority() {
        return HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::new(Reason::BadRequest));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next().filter(|host| !host.is_empty()) else {
        return Err(Refusal::new(Reason::MissingHost));
    };
    // Two hosts invite two readings, and so do bytes that no host has.
    if hosts.next().is_some() || http::uri::Authority::try_from(host.as_bytes()).is_err() {
        return Err(Refusal::new(Reason::BadRequest));
    }
    Ok(host.clone())
}

fn normalize_path(exchange: &mut InProgress, settings: &Settings) -> Result<(), Refusal> {
    let uri = std::mem::take(&mut exchange.head.uri);
    let path = uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let normalized = match settings.normalize(path.as_str()) {
        Some(std::borrow::Cow::Borrowed(same)) if same.len() == path.as_str().len() => None,
        Some(changed) => Some(changed.into_owned()),
        None => return Err(Refusal::new(Reason::BadPath)),
    };
    let path = match normalized {
        None => path,
        Some(changed) => {
            PathAndQuery::try_from(changed).map_err(|_| Refusal::new(Reason::BadPath))?
        }
    };
    exchange.ongoing.path = path.clone();
    exchange.head.uri = Uri::from(path);
    Ok(())
}

/// Sends another path; the one that was asked for goes along as `x-envoy-original-path`.
pub(super) fn rewrite_path(exchange: &mut InProgress, path: &str) {
    let Ok(rewritten) = PathAndQuery::try_from(path) else {
        // The route's own words made it so; the request goes on as it came.
        tracing::debug!(path, "rewritten path is not valid");
        return;
    };
    let original = exchange.head.uri.path_and_query().map_or("/", |path| path.as_str());
    if let Ok(original) = HeaderValue::from_str(original) {
        exchange.head.headers.insert(names::ORIGINAL_PATH, original);
    }
    exchange.ongoing.sent_path = Some(rewritten.clone());
    exchange.head.uri = Uri::from(rewritten);
}

/// Sends another authority.
pub(super) fn rewrite_authority(exchange: &mut InProgress, authority: &str) {
    if let Ok(authority) = HeaderValue::from_str(authority) {
        exchange.head.headers.insert(header::HOST, authority.clone());
        exchange.ongoing.authority = authority;
    }
}
