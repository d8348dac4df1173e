//! Headers that concern one connection only.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use super::names;

/// What a request's connection headers asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::http) struct Hop {
    /// The request asks for an upgrade to WebSocket.
    pub(in crate::http) websocket: bool,
    /// The request asks for an upgrade to something that is not allowed.
    pub(in crate::http) other_upgrade: bool,
    /// The body's length is not known beforehand.
    pub(in crate::http) chunked: bool,
}

/// Takes out what concerns the connection that a request came on, and what the request itself says
/// does. Headers of an upgrade to WebSocket stay.
pub(in crate::http) fn strip_request_hop(headers: &mut HeaderMap) -> Hop {
    let mut hop = Hop::default();
    if headers.contains_key(header::CONNECTION) {
        hop = upgrade_asked_for(headers);
        strip_named_by_connection(headers);
    }
    if !hop.websocket {
        headers.remove(header::UPGRADE);
    }
    hop.chunked = headers.remove(header::TRANSFER_ENCODING).is_some();
    if hop.chunked {
        // Two ways to say where a body ends invite two readings of it.
        headers.remove(header::CONTENT_LENGTH);
    }
    strip_common(headers);
    keep_only_trailers(headers);
    hop
}

/// Takes out of a response what concerns the connection that it came on. `upgraded`: the answer is
/// `101` and its headers belong to the upgrade.
pub(in crate::http) fn strip_response_hop(headers: &mut HeaderMap, upgraded: bool) {
    if upgraded {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        strip_named_by_connection(headers);
    }
    headers.remove(header::UPGRADE);
    if headers.remove(header::TRANSFER_ENCODING).is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
    strip_common(headers);
}

fn strip_common(headers: &mut HeaderMap) {
    for name in [names::KEEP_ALIVE, names::PROXY_CONNECTION, names::HTTP2_SETTINGS] {
        headers.remove(name);
    }
}

/// `te` may go on only as far as it says that trailers are welcome.
fn keep_only_trailers(headers: &mut HeaderMap) {
    let Some(te) = headers.get(header::TE) else { return };
    if te == "trailers" {
        return;
    }
    let trailers = tokens(te).any(|token| token.eq_ignore_ascii_case("trailers"));
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        headers.remove(header::TE);
    }
}

fn upgrade_asked_for(headers: &HeaderMap) -> Hop {
    let asked = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(tokens)
        .any(|token| token.eq_ignore_ascii_case("upgrade"));
    let Some(protocol) = headers.get(header::UPGRADE).filter(|_| asked) else {
        return Hop::default();
    };
    let websocket = protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    // An offer of HTTP/2 may be declined by not mentioning it.
    let h2c = tokens(protocol).any(|token| token.eq_ignore_ascii_case("h2c"));
    Hop { websocket, other_upgrade: !websocket && !h2c, chunked: false }
}

/// Removes the headers that `connection` lists, and `connection` itself.
fn strip_named_by_connection(headers: &mut HeaderMap) {
    let named: SmallVec<[HeaderName; 2]> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(tokens)
        .filter_map(|token| HeaderName::try_from(token).ok())
        .filter(|name| name != header::UPGRADE && name != header::HOST && name != header::TE)
        .collect();
    for name in named {
        headers.remove(name);
    }
    headers.remove(header::CONNECTION);
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|token| !token.is_empty())
}
