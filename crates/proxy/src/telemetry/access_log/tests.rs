use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::connection::Direction;
use crate::telemetry::sample::{call, denied, facts, headers, http, start};
use crate::telemetry::{Captured, Cluster, Exchange, Reason};

fn config(encoding: v1::access_log::Encoding, format: &str) -> v1::AccessLog {
    v1::AccessLog {
        file: "/dev/stdout".to_owned(),
        encoding: encoding.into(),
        format: format.to_owned(),
    }
}

fn compile(encoding: v1::access_log::Encoding, format: &str) -> (Rc<Format>, Vec<String>) {
    let (format, problems) = Format::compile(&config(encoding, format));
    (Rc::new(format.unwrap()), problems)
}

fn line(format: &Format, entry: Entry<'_>) -> String {
    let mut out = Vec::new();
    format.write(&mut out, entry, &mut SecondCache::default());
    String::from_utf8(out).unwrap()
}

/// The line of an HTTP exchange with the headers that clients usually send.
fn http_line(format: &Rc<Format>, exchange: Exchange<'_>) -> String {
    let mut captured = Captured::new(Some(Rc::clone(format)));
    captured.request(&headers(&[
        ("user-agent", "curl/8.5.0"),
        ("x-request-id", "9e8c1a52-0000-4000-8000-000000000001"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-tenant", "blue"),
    ]));
    captured.response(&headers(&[("content-type", "text/plain")]));
    let record = http(exchange, &captured);
    line(format, Entry { exchange: &record.exchange, http: Some(&record) })
}

#[test]
fn the_default_line_is_istios() {
    let (format, problems) = compile(v1::access_log::Encoding::Text, "");
    assert!(problems.is_empty(), "{problems:?}");
    let plain = facts(Direction::Outbound, None);
    assert_eq!(
        http_line(&format, call(&plain)),
        "[2026-02-03T04:05:06.789Z] \"GET /reviews/1?all=true HTTP/1.1\" 200 - via_upstream - \
         \"-\" 12 345 12 11 \"203.0.113.7\" \"curl/8.5.0\" \
         \"9e8c1a52-0000-4000-8000-000000000001\" \"reviews:9080\" \"127.2.0.2:9080\" \
         outbound|9080|v1|reviews.shop.svc.cluster.local 127.0.0.1:50001 127.1.0.9:9080 \
         127.1.0.1:41234 - default\n"
    );
    let no_route = Exchange {
        reason: Some(Reason::NoRoute),
        flags: Reason::NoRoute.flags(),
        details: "route_not_found",
        route_name: "",
        duration: Duration::ZERO,
        upstream: None,
        cluster: Cluster::None,
        ..call(&plain)
    };
    let captured = Captured::default();
    let mut record = http(no_route, &captured);
    record.status = 404;
    record.upstream_service_time = None;
    assert_eq!(
        line(&format, Entry { exchange: &record.exchange, http: Some(&record) }),
        "[2026-02-03T04:05:06.789Z] \"GET /reviews/1?all=true HTTP/1.1\" 404 NR route_not_found - \
         \"-\" 12 345 0 - \"-\" \"-\" \"-\" \"reviews:9080\" \"-\" - - 127.1.0.9:9080 \
         127.1.0.1:41234 - -\n"
    );
}

#[test]
fn a_tcp_connection_has_a_line_too() {
    let (format, _) = compile(v1::access_log::Encoding::Text, "");
    let facts = facts(Direction::Inbound, Some(crate::telemetry::sample::CALLER));
    let exchange = Exchange {
        details: "",
        cluster: Cluster::Inbound { port: 9080 },
        route_name: "",
        ..call(&facts)
    };
    assert_eq!(
        line(&format, Entry { exchange: &exchange, http: None }),
        "[2026-02-03T04:05:06.789Z] \"- - -\" 0 - - - \"-\" 12 345 12 - \"-\" \"-\" \"-\" \"-\" \
         \"127.2.0.2:9080\" inbound|9080|| 127.0.0.1:50001 127.1.0.9:9080 127.1.0.1:41234 \
         outbound_.9080_._.reviews.shop.svc.cluster.local -\n"
    );
}

#[test]
fn the_json_line_says_why_and_by_whom() {
    let (format, problems) = compile(v1::access_log::Encoding::Json, "");
    assert!(problems.is_empty(), "{problems:?}");
    let facts = facts(Direction::Inbound, Some(crate::telemetry::sample::CALLER));
    let text = http_line(&format, denied(&facts));
    assert!(text.ends_with("}\n"));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let written = access_log::JSON.iter().chain(&OWN_JSON);
    let mut written: Vec<_> = written.map(|(key, _)| *key).collect();
    written.sort_unstable();
    assert_eq!(keys, written);
    let expected = [
        ("response_code", serde_json::json!(403)),
        ("response_flags", serde_json::json!("-")),
        ("duration", serde_json::json!(12)),
        ("upstream_host", serde_json::Value::Null),
        ("upstream_cluster", serde_json::json!("inbound|9080||")),
        ("reason", serde_json::json!("authorization_denied")),
        ("reason_side", serde_json::json!("policy")),
        ("reached_application", serde_json::json!("no")),
        (
            "decided_by",
            serde_json::json!({
                "kind": "AuthorizationPolicy",
                "namespace": "shop",
                "name": "no-admin",
                "field": "spec.rules[0]",
            }),
        ),
    ];
    for (key, expected) in expected {
        assert_eq!(value[key], expected, "{key}");
    }
}

#[test]
fn formats_of_the_users() {
    let facts = facts(Direction::Inbound, Some(crate::telemetry::sample::CALLER));
    let table = [
        ("%%%REQ(:METHOD)%%%\n", "%GET%\n"),
        ("%START_TIME(%Y/%m/%d %H:%M (UTC))% end", "2026/02/03 04:05 (UTC) end"),
        ("%REQ(X-TENANT):2% %REQ(X-NOT-THERE?X-TENANT)% %REQ(x-not-there)%", "bl blue -"),
        ("%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH)%", "/v1/reviews/1?all=true /reviews/1?all=true"),
        ("%RESP(content-type)% %TRAILER(grpc-message)%", "text/plain -"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_LOCAL_PORT%", "127.1.0.1 9080"),
        (
            "%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TLS_VERSION%",
            "spiffe://cluster.local/ns/shop/sa/front TLSv1.3",
        ),
        (
            "%LATEEN_REASON% %LATEEN_DECIDED_BY%",
            "authorization_denied AuthorizationPolicy/shop/no-admin spec.rules[0]",
        ),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%%CONNECTION_ID%", "17"),
        ("", "not checked"),
    ];
    for (format, expected) in table.iter().filter(|(format, _)| !format.is_empty()) {
        let (compiled, problems) = compile(v1::access_log::Encoding::Text, format);
        assert!(problems.is_empty(), "{format}: {problems:?}");
        let expected = format!("{}\n", expected.trim_end_matches('\n'));
        assert_eq!(http_line(&compiled, denied(&facts)), expected, "{format}");
    }
}

#[test]
fn what_is_not_honoured_is_said_and_prints_a_dash() {
    let table = [
        ("a %NO_SUCH_THING% b", "a - b", "operator %NO_SUCH_THING% is not honoured"),
        (
            "%DYNAMIC_METADATA(istio:x)%",
            "-",
            "operator %DYNAMIC_METADATA(istio:x)% is not honoured",
        ),
        ("100% sure", "100% sure", "is no operator"),
        ("%REQ(bad name)%", "-", "`bad name` is no header name"),
        ("%START_TIME(%!)%", "2026-02-03T04:05:06.789Z", "%START_TIME"),
    ];
    let facts = facts(Direction::Outbound, None);
    for (format, expected, problem) in table {
        let (compiled, problems) = compile(v1::access_log::Encoding::Text, format);
        assert_eq!(http_line(&compiled, call(&facts)), format!("{expected}\n"), "{format}");
        assert!(
            problems.iter().any(|said| said.contains(problem)),
            "{format}: {problems:?} does not say {problem:?}"
        );
    }
    assert!(Format::compile(&v1::AccessLog::default()).0.is_none());
}

#[test]
fn json_of_the_users_is_sorted_keeps_types_and_nests() {
    let (format, problems) = compile(
        v1::access_log::Encoding::Json,
        r#"{"code":"%RESPONSE_CODE%","who":{"agent":"%REQ(USER-AGENT)%"},"both":"%REQ(:METHOD)% %DURATION%ms","none":"%REQ(X-NO)%","fixed":3}"#,
    );
    assert!(problems.is_empty(), "{problems:?}");
    let facts = facts(Direction::Outbound, None);
    assert_eq!(
        http_line(&format, call(&facts)),
        "{\"both\":\"GET 12ms\",\"code\":200,\"fixed\":3,\"none\":null,\
         \"who\":{\"agent\":\"curl/8.5.0\"}}\n"
    );
    let (_, problems) = compile(v1::access_log::Encoding::Json, "[1]");
    assert_eq!(problems, ["access log format: no JSON object"]);
}

#[test]
fn json_survives_whatever_a_client_sends() {
    let (format, _) = compile(v1::access_log::Encoding::Json, r#"{"agent":"%REQ(USER-AGENT)%"}"#);
    let facts = facts(Direction::Outbound, None);
    let mut map = http::HeaderMap::new();
    let bytes = b"a\"b\\c\td\xff\xc3\xa9".as_slice();
    map.insert("user-agent", http::HeaderValue::from_bytes(bytes).unwrap());
    let mut captured = Captured::new(Some(Rc::clone(&format)));
    captured.request(&map);
    let record = http(call(&facts), &captured);
    let text = line(&format, Entry { exchange: &record.exchange, http: Some(&record) });
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["agent"], "a\"b\\c\td\u{fffd}é");
}

#[test]
fn the_cached_second_is_the_right_one() {
    let mut cache = SecondCache::default();
    for millis in [0, 211, 999, 1000, 999, 60_000] {
        let time = start() + Duration::from_millis(millis);
        let fresh = timestamp_text(time);
        assert_eq!(cache.millisecond_text(time), fresh);
    }
}
