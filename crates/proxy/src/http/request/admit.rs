//! Reading a request's head: what is asked for, and whether it can be served at all.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use lateen_engine::settings::Settings;

use super::{InProgress, known_scheme, method};
use crate::http::downstream::Downstream;
use crate::http::exchange::Incoming;
use crate::http::headers::{
    drop_empty_cookie, join_repeated, names, strip_request_hop, wire_length,
};
use crate::http::local::Refusal;
use crate::http::native;
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
    native::restore(&mut head, downstream.native);
    // What a native peer has carried over HTTP/2 has the scheme of that hop.
    let restored = head.version == Version::HTTP_11 && !downstream.one_at_a_time;
    let scheme = head.uri.scheme_str().filter(|_| !restored);
    let scheme = scheme.and_then(|scheme| known_scheme(scheme.as_bytes()));
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
        scheme,
        upgrade,
        expects_continue: false,
        told_metadata: false,
        answer_headers: Vec::new(),
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
    if exchange.head.version == Version::HTTP_11 && !method::is_known(&exchange.head.method) {
        return refuse(Reason::BadRequest);
    }
    let authority = authority(&exchange.head)?;
    exchange.head.headers.insert(header::HOST, authority.clone());
    exchange.ongoing.authority = authority;
    let split_cookies = exchange.head.version == Version::HTTP_2;
    if exchange.head.headers.len() != exchange.head.headers.keys_len() {
        join_repeated(&mut exchange.head.headers, split_cookies);
    }
    if split_cookies {
        drop_empty_cookie(&mut exchange.head.headers);
    }
    check_framing(&exchange.head.headers)?;

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

/// The authority of an absolute URI or of HTTP/2, else the `host` header; several are one, with
/// commas, as Envoy reads them.
fn authority(head: &http::request::Parts) -> Result<HeaderValue, Refusal> {
    let refuse = |reason| Err(Refusal::new(reason));
    if let Some(authority) = head.uri.authority() {
        // Without a scheme it is a target that begins with no slash.
        if head.version == Version::HTTP_11 && head.uri.scheme().is_none() {
            return refuse(Reason::BadRequest);
        }
        return HeaderValue::from_str(authority.as_str())
            .map_err(|_| Refusal::new(Reason::BadRequest));
    }
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else { return refuse(Reason::MissingHost) };
    if hosts.next().is_some() {
        let values: Vec<&[u8]> =
            head.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes).collect();
        let joined = HeaderValue::from_bytes(&values.join(&b","[..]));
        return joined.map_err(|_| Refusal::new(Reason::BadRequest));
    }
    if !host.as_bytes().iter().all(|byte| is_of_authority(*byte)) {
        return refuse(Reason::BadRequest);
    }
    Ok(host.clone())
}

/// Whether an authority may have this byte: RFC 3986's host, port and user information.
const fn is_of_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || {
        matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'%'
                | b'['
                | b']'
        )
    }
}

/// Refuses a body whose end others may see elsewhere, as Envoy does: of a transfer coding other than
/// `chunked`, once (RFC 9112, section 6.1). A length beside it has been taken away by the codec.
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(Refusal::new(Reason::UnknownTransferEncoding));
    }
    Ok(())
}

fn normalize_path(exchange: &mut InProgress, settings: &Settings) -> Result<(), Refusal> {
    if exchange.head.uri.path() == "*" {
        // No route is for it: all of them begin with a slash.
        let server_wide = exchange.head.method == Method::OPTIONS;
        let reason = if server_wide { Reason::NoRoute } else { Reason::BadRequest };
        return Err(Refusal::new(reason));
    }
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
    let Ok(rewritten) = PathAndQuery::try_from(sendable(path).as_ref()) else {
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

/// A path that a route's words have made, in the form of a request's target (RFC 9112, section
/// 3.2.1): it begins with a slash, and what no target may hold is percent-encoded, a `#` too, which
/// would end the path here and is meant as a part of it.
fn sendable(path: &str) -> Cow<'_, str> {
    let fits = |it: char| !matches!(it, '\0'..=' ' | '#' | '<' | '>' | '`' | '\x7f');
    if path.starts_with('/') && path.chars().all(fits) {
        return Cow::Borrowed(path);
    }
    let mut target = String::with_capacity(path.len() + 4);
    if !path.starts_with('/') {
        target.push('/');
    }
    for it in path.chars() {
        if fits(it) {
            target.push(it);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(target, "%{:02X}", u32::from(it));
        }
    }
    Cow::Owned(target)
}

/// Sends another authority; the one that was asked for goes along as `x-envoy-original-host`.
pub(super) fn rewrite_authority(exchange: &mut InProgress, authority: &str) {
    if let Ok(authority) = HeaderValue::from_str(authority) {
        let original = exchange.head.headers.insert(header::HOST, authority.clone());
        if let Some(original) = original.filter(|original| !original.is_empty()) {
            exchange.head.headers.insert(names::ORIGINAL_HOST, original);
        }
        exchange.ongoing.authority = authority;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_one_end() {
        for (headers, refused) in [
            (&[][..], None),
            (&[("content-length", "3")], None),
            (&[("transfer-encoding", "Chunked")], None),
            (&[("transfer-encoding", "gzip")], Some(Reason::UnknownTransferEncoding)),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Some(Reason::UnknownTransferEncoding),
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(*name, HeaderValue::from_static(value));
            }
            let found = check_framing(&map).err().map(|refusal| refusal.reason);
            assert_eq!(found, refused, "{headers:?}");
        }
    }

    #[test]
    fn what_routes_write_is_sent_as_a_target() {
        for (written, sent) in [
            ("/a?b=c", "/a?b=c"),
            ("", "/"),
            ("new", "/new"),
            ("/part#/x?3=4", "/part%23/x?3=4"),
            ("/a b<c>`", "/a%20b%3Cc%3E%60"),
            ("/ä%20^", "/ä%20^"),
        ] {
            assert_eq!(sendable(written), sent, "{written}");
            PathAndQuery::try_from(sendable(written).as_ref()).unwrap();
        }
    }
}
