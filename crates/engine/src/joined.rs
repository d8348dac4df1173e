//! Headers of which Envoy keeps one: what comes or is added beside it stands behind a comma. Asked of
//! Envoy 1.40, name by name.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Those of requests.
pub static REQUEST: [HeaderName; 30] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::ORIGIN,
    header::PRAGMA,
    header::REFERER,
    header::TE,
    header::USER_AGENT,
    header::VIA,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("proxy-status"),
    HeaderName::from_static("x-client-trace-id"),
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-forwarded-client-cert"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-request-id"),
];

/// Those of responses.
pub static RESPONSE: [HeaderName; 23] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::ETAG,
    header::EXPIRES,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::VARY,
    header::VIA,
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("proxy-status"),
    HeaderName::from_static("x-envoy-attempt-count"),
    HeaderName::from_static("x-envoy-decorator-operation"),
    HeaderName::from_static("x-envoy-degraded"),
    HeaderName::from_static("x-request-id"),
];

/// Makes one header of those of this name. Empty ones leave no trace.
pub fn join(headers: &mut HeaderMap, name: &HeaderName, between: &[u8]) {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if values.len() < 2 {
        return;
    }
    let values: Vec<&[u8]> = values.into_iter().filter(|value| !value.is_empty()).collect();
    let joined = HeaderValue::from_bytes(&values.join(between));
    // Joined from valid values by what is valid between them.
    if let Ok(joined) = joined {
        headers.insert(name, joined);
    }
}
