//! Headers that are one, although they may come as several.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::names;
use crate::telemetry::trace::REQUEST_ID;

/// Headers of which Envoy makes one, its values joined by commas, before anything reads them.
const JOINED: [HeaderName; 28] = [
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
    names::CLIENT_TRACE_ID,
    names::FORWARDED_CLIENT_CERT,
    names::FORWARDED_FOR,
    names::FORWARDED_HOST,
    names::FORWARDED_PORT,
    names::FORWARDED_PROTO,
    names::GRPC_TIMEOUT,
    REQUEST_ID,
];

/// Makes one header of each that stands there several times and is meant as one. `split_cookies`:
/// they came over HTTP/2, which may split cookies.
pub(in crate::http) fn join_repeated(headers: &mut HeaderMap, split_cookies: bool) {
    if split_cookies {
        join(headers, &header::COOKIE, b"; ");
    }
    for name in &JOINED {
        join(headers, name, b",");
    }
}

/// Takes out a cookie of HTTP/2 whose pieces amount to nothing: it is none to Envoy.
pub(in crate::http) fn drop_empty_cookie(headers: &mut HeaderMap) {
    if headers.get(header::COOKIE).is_some_and(HeaderValue::is_empty) {
        headers.remove(header::COOKIE);
    }
}

fn join(headers: &mut HeaderMap, name: &HeaderName, between: &[u8]) {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    if values.len() < 2 {
        return;
    }
    // Empty ones leave no trace.
    let values: Vec<&[u8]> = values.into_iter().filter(|value| !value.is_empty()).collect();
    let joined = HeaderValue::from_bytes(&values.join(between));
    // Joined from valid values by what is valid between them.
    if let Ok(joined) = joined {
        headers.insert(name, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_header_is_joined() {
        let given = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "10.0.0.2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-own", "1"),
            ("x-own", "2"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut over_http2 = headers.clone();
        join_repeated(&mut headers, false);
        join_repeated(&mut over_http2, true);
        let all = |headers: &HeaderMap, name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|it| it.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.0.0.1,10.0.0.2"]);
        assert_eq!(all(&headers, "cookie"), ["a=1", "b=2"]);
        assert_eq!(all(&headers, "x-own"), ["1", "2"]);
        assert_eq!(all(&over_http2, "cookie"), ["a=1; b=2"]);
        let mut blank = HeaderMap::new();
        blank.append("cookie", HeaderValue::from_static(""));
        drop_empty_cookie(&mut over_http2);
        assert_eq!(all(&over_http2, "cookie"), ["a=1; b=2"]);
        drop_empty_cookie(&mut blank);
        assert!(blank.is_empty());
    }
}
