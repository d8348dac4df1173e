use http::{HeaderMap, HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;

use super::*;
use crate::connection::PeerCertificate;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::try_from(*name).expect("name"),
                HeaderValue::try_from(*value).expect("value"),
            )
        })
        .collect()
}

fn names_of(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[test]
fn connection_headers_stay_on_their_connection() {
    let mut map = headers(&[
        ("host", "a"),
        ("connection", "keep-alive, X-Secret, te"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "3"),
        ("te", "gzip, trailers"),
        ("x-secret", "1"),
        ("accept", "*/*"),
    ]);
    let hop = strip_request_hop(&mut map);
    assert_eq!(hop, Hop { chunked: true, ..Hop::default() });
    assert_eq!(names_of(&map), ["accept", "host", "te"]);
    assert_eq!(map["te"], "trailers");
}

#[test]
fn upgrades_are_recognized() {
    for (connection, upgrade, websocket, other) in [
        ("Upgrade", "websocket", true, false),
        ("keep-alive, upgrade", "WebSocket", true, false),
        ("upgrade, http2-settings", "h2c", false, false),
        ("upgrade", "foo/2", false, true),
        ("keep-alive", "websocket", false, false),
    ] {
        let mut map = headers(&[
            ("connection", connection),
            ("upgrade", upgrade),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        ]);
        let hop = strip_request_hop(&mut map);
        assert_eq!(
            (hop.websocket, hop.other_upgrade),
            (websocket, other),
            "{connection} {upgrade}"
        );
        assert_eq!(map.contains_key("upgrade"), websocket);
        assert!(!map.contains_key("http2-settings") && !map.contains_key("connection"));
    }
}

#[test]
fn grpc_is_told_by_its_content_type() {
    for (content_type, grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        assert_eq!(is_grpc(&headers(&[("content-type", content_type)])), grpc, "{content_type}");
    }
    assert!(!is_grpc(&HeaderMap::new()));
}

#[test]
fn lists_are_appended_to_in_one_header() {
    let mut map = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
    append_to_list(&mut map, &names::FORWARDED_FOR, HeaderValue::from_static("3.3.3.3"));
    assert_eq!(map["x-forwarded-for"], "1.1.1.1,2.2.2.2,3.3.3.3");
    let mut empty = HeaderMap::new();
    append_to_list(&mut empty, &names::FORWARDED_FOR, HeaderValue::from_static("3.3.3.3"));
    assert_eq!(empty["x-forwarded-for"], "3.3.3.3");
    let mut blank = headers(&[("x-forwarded-for", "")]);
    append_to_list(&mut blank, &names::FORWARDED_FOR, HeaderValue::from_static("3.3.3.3"));
    assert_eq!(blank["x-forwarded-for"], "3.3.3.3");
}

#[test]
fn the_edge_takes_out_what_only_the_mesh_may_say() {
    let mut map = headers(&[
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-lateen-version", "1.1"),
        ("x-request-id", "mine"),
        ("accept", "*/*"),
    ]);
    strip_at_edge(&mut map);
    assert_eq!(names_of(&map), ["accept", "x-request-id"]);
}

#[test]
fn client_certificates_are_forwarded_as_envoy_writes_them() {
    let peer = PeerCertificate {
        spiffe: "spiffe://cluster.local/ns/a/sa/b".parse().ok(),
        uri_sans: vec!["spiffe://cluster.local/ns/a/sa/b".to_owned()],
        dns_sans: vec!["b.example".to_owned()],
        subject: "CN=\"b\"".to_owned(),
        sha256: "ab12".to_owned(),
        der: CertificateDer::from(vec![0_u8; 3]),
    };
    assert_eq!(
        forwarded_client_cert("spiffe://cluster.local/ns/c/sa/d", &peer).expect("valid"),
        "By=spiffe://cluster.local/ns/c/sa/d;Hash=ab12;Subject=\"CN=\\\"b\\\"\";\
         URI=spiffe://cluster.local/ns/a/sa/b;DNS=b.example"
    );
    assert_eq!(
        sanitized_client_cert("", &peer).expect("valid"),
        "Hash=ab12;Cert=\"-----BEGIN%20CERTIFICATE-----%0AAAAA%0A-----END%20CERTIFICATE-----%0A\";\
         Subject=\"CN=\\\"b\\\"\";URI=spiffe://cluster.local/ns/a/sa/b;DNS=b.example"
    );
}
