//! The headers that a proxy adds, changes and takes out, by direction. Envoy's behaviour as Istio
//! configures it.

mod client_cert;
mod edge;
mod hop;
mod joined;

pub(super) use client_cert::{forwarded_client_cert, sanitized_client_cert};
pub(super) use edge::{strip_at_edge, strip_instructions};
#[cfg(test)]
use hop::Hop;
pub(super) use hop::{strip_request_hop, strip_response_hop};
pub(super) use joined::{drop_empty_cookie, join_repeated};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Names that are not in the `http` crate.
pub(super) mod names {
    use http::HeaderName;

    macro_rules! names {
        ($($(#[$attribute:meta])* $name:ident = $text:literal;)+) => {
            $($(#[$attribute])* pub(in crate::http) const $name: HeaderName = HeaderName::from_static($text);)+
        };
    }

    names! {
        ATTEMPT_COUNT = "x-envoy-attempt-count";
        DECORATOR_OPERATION = "x-envoy-decorator-operation";
        EXPECTED_TIMEOUT = "x-envoy-expected-rq-timeout-ms";
        EXTERNAL_ADDRESS = "x-envoy-external-address";
        FORWARDED_CLIENT_CERT = "x-forwarded-client-cert";
        FORWARDED_FOR = "x-forwarded-for";
        FORWARDED_PROTO = "x-forwarded-proto";
        GRPC_MESSAGE = "grpc-message";
        GRPC_STATUS = "grpc-status";
        HTTP2_SETTINGS = "http2-settings";
        KEEP_ALIVE = "keep-alive";
        ORIGINAL_HOST = "x-envoy-original-host";
        ORIGINAL_PATH = "x-envoy-original-path";
        OVERLOADED = "x-envoy-overloaded";
        PROXY_CONNECTION = "proxy-connection";
        REASON = "x-lateen-reason";
        SERVICE_TIME = "x-envoy-upstream-service-time";
        /// Between native peers: the version in which a request is to arrive.
        VERSION = "x-lateen-version";
    }
}

/// Whether a message is gRPC, by its content type (`application/grpc`, `application/grpc+proto`;
/// not `application/grpc-web`).
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// The number of bytes that headers take on the wire of HTTP/1.
pub(super) fn wire_length(headers: &HeaderMap) -> u64 {
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    bytes as u64
}

/// Appends to a header that is a list, as Envoy does: one header, joined by commas.
pub(super) fn append_to_list(headers: &mut HeaderMap, name: &HeaderName, value: HeaderValue) {
    let mut joined = Vec::new();
    // Empty values leave no trace, as with Envoy.
    for present in headers.get_all(name).iter().filter(|present| !present.is_empty()) {
        joined.extend_from_slice(present.as_bytes());
        joined.push(b',');
    }
    if joined.is_empty() {
        headers.insert(name, value);
        return;
    }
    joined.extend_from_slice(value.as_bytes());
    // Joined from valid values by a comma.
    if let Ok(joined) = HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)) {
        headers.insert(name, joined);
    }
}

/// A header value of a number. Small ones, which are most, cost nothing.
pub(super) fn number(value: u64) -> HeaderValue {
    const SMALL: [&str; 16] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    match usize::try_from(value).ok().and_then(|index| SMALL.get(index)) {
        Some(text) => HeaderValue::from_static(text),
        None => HeaderValue::from(value),
    }
}

#[cfg(test)]
mod tests;
