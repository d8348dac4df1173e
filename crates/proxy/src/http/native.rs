//! Requests of HTTP/1.1 that travel over HTTP/2 between two native proxies.
//!
//! A header says in which version they are to arrive. An authority that HTTP/2 cannot state (an empty
//! one, above all) travels in `host`, beside a [`STAND_IN`].

use http::uri::Uri;
use http::{HeaderValue, Version, header, request};

use crate::http::headers::names;

/// What stands where HTTP/2 needs an authority, when the request's own is in `host`.
const STAND_IN: &[u8] = b"-";

/// Whether HTTP/2 can carry the request as it is: without an authority it is malformed there
/// (RFC 9113, section 8.3.1).
pub(in crate::http) fn has_authority(head: &request::Parts) -> bool {
    let host = head.headers.get(header::HOST).is_some_and(|host| !host.is_empty());
    host || head.uri.authority().is_some()
}

/// The head as HTTP/2 has it. `restore`: the peer is native and is to take the request for one of
/// HTTP/1.1.
pub(in crate::http) fn http2_head(
    mut head: request::Parts,
    restore: bool,
    scheme: &'static str,
) -> request::Parts {
    let host = head.headers.remove(header::HOST);
    let mut target = host.as_ref().and_then(|host| absolute(scheme, host.as_bytes(), &head.uri));
    if restore {
        head.headers.insert(names::VERSION, HeaderValue::from_static("1.1"));
        if target.is_none() {
            target = absolute(scheme, STAND_IN, &head.uri);
            head.headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static("")));
        }
    }
    if let Some(target) = target {
        head.uri = target;
    }
    head.version = Version::HTTP_2;
    head
}

/// Undoes [`http2_head`] with `restore`, where the client is native. Nobody else's word on the version
/// is taken.
pub(in crate::http) fn restore(head: &mut request::Parts, native: bool) {
    let said = head.headers.remove(names::VERSION);
    if !native || said.is_none_or(|version| version != "1.1") {
        return;
    }
    head.version = Version::HTTP_11;
    if head.headers.contains_key(header::HOST)
        && let Some(path) = head.uri.path_and_query()
    {
        head.uri = Uri::from(path.clone());
    }
}

fn absolute(scheme: &'static str, authority: &[u8], of: &Uri) -> Option<Uri> {
    let mut target = Uri::builder().scheme(scheme).authority(authority);
    if let Some(path) = of.path_and_query() {
        target = target.path_and_query(path.clone());
    }
    target.build().ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(host: &str) -> request::Parts {
        let request = Request::get("/a?b=c").header(header::HOST, host).body(()).unwrap();
        request.into_parts().0
    }

    #[test]
    fn a_request_of_http1_arrives_as_it_was() {
        for (host, authority) in
            [("shop", "shop"), ("shop:80", "shop:80"), ("", "-"), ("a:b:c", "-")]
        {
            let mut carried = http2_head(head(host), true, "http");
            assert_eq!(carried.version, Version::HTTP_2);
            assert_eq!(carried.uri.to_string(), format!("http://{authority}/a?b=c"), "{host}");
            restore(&mut carried, true);
            assert_eq!(carried.version, Version::HTTP_11);
            assert!(!carried.headers.contains_key(names::VERSION));
            let said = carried.uri.authority().map_or_else(
                || carried.headers[header::HOST].to_str().unwrap(),
                |authority| authority.as_str(),
            );
            assert_eq!(said, host);
            assert_eq!(carried.uri.path_and_query().unwrap(), "/a?b=c");
        }
    }

    #[test]
    fn only_a_native_peer_says_what_a_request_was() {
        let mut carried = http2_head(head(""), true, "http");
        restore(&mut carried, false);
        assert_eq!(carried.version, Version::HTTP_2);
        assert_eq!(carried.uri.authority().unwrap(), "-");
        assert!(!carried.headers.contains_key(names::VERSION));
    }

    #[test]
    fn without_an_authority_nothing_is_sent_to_others() {
        assert!(has_authority(&head("shop")));
        assert!(!has_authority(&head("")));
    }
}
