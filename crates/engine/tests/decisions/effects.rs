//! What rules do to requests: rewrites, headers, redirects, responses, timeouts.

use std::time::Duration;

use lateen_engine::HttpDecision;
use lateen_mesh::v1;
use lateen_mesh::v1::path_match::Kind as Path;

use crate::fixture::*;
use crate::route::{decide, forward, with_rules};

#[test]
fn paths_are_rewritten() {
    let none = headers(&[]);
    let plain = |path: &str| v1::Rewrite { path: path.to_owned(), ..Default::default() };
    let regex = |regex: &str, substitution: &str| v1::Rewrite {
        regex: regex.to_owned(),
        substitution: substitution.to_owned(),
        ..Default::default()
    };
    for (matched, rewrite, target, expected) in [
        (Some(Path::Prefix("/foo".into())), plain("/bar"), "/foo/x?q=1", "/bar/x?q=1"),
        (Some(Path::Prefix("/foo".into())), plain("/"), "/foo/bar", "//bar"),
        (Some(Path::Prefix("/foo/".into())), plain("/"), "/foo/bar", "/bar"),
        (Some(Path::Exact("/foo".into())), plain("/bar"), "/foo?x", "/bar?x"),
        (Some(Path::Regex("/f.*".into())), plain("/bar"), "/foo/x", "/bar"),
        (Some(Path::SegmentPrefix("/foo".into())), plain("/"), "/foo/bar", "/bar"),
        (Some(Path::SegmentPrefix("/foo".into())), plain("/"), "/foo?x", "/?x"),
        (Some(Path::SegmentPrefix("/foo".into())), plain("/a/"), "/foo/b", "/a/b"),
        (None, plain("/v1/"), "/foo", "/v1/foo"),
        (None, regex("/([a-z]+)/([0-9]+)", r"/\2/\1"), "/x/12/y?q=/a/1", "/12/x/y?q=/a/1"),
        (None, regex("o", r"<\0>"), "/foo", "/f<o><o>"),
        (None, regex("x", r"\\"), "/x", r"/\"),
    ] {
        let matches = matched.clone().map(path).into_iter().collect();
        let rule = v1::HttpRule {
            rewrite: Some(rewrite.clone()),
            ..when(to("r", vec![backend("one", 80)]), matches)
        };
        let plan = with_rules(vec![rule]);
        let decision = decide(&plan, &get("web.ext", target, &none));
        assert_eq!(
            forward(decision).path_and_query.as_deref(),
            Some(expected),
            "{matched:?} {rewrite:?} {target}"
        );
    }
}

#[test]
fn the_authority_follows_its_precedence() {
    let none = headers(&[]);
    let sets = |name: &str, value: &str| {
        let header = v1::Header { name: name.to_owned(), value: value.to_owned() };
        Some(v1::HeaderOperations { set: vec![header], ..Default::default() })
    };
    for (rewrite, rule, backends, expected) in [
        ("r.ext", sets("Host", "h.ext"), sets(":authority", "b.ext"), Some("r.ext")),
        ("", sets("host", "h.ext"), sets(":authority", "b.ext"), Some("h.ext")),
        ("", None, sets(":authority", "b.ext"), Some("b.ext")),
        ("", None, None, None),
    ] {
        let backend = v1::Backend { request_headers: backends, ..backend("one", 80) };
        let rule = v1::HttpRule {
            rewrite: Some(v1::Rewrite { authority: rewrite.to_owned(), ..Default::default() }),
            request_headers: rule,
            ..to("r", vec![backend])
        };
        let plan = with_rules(vec![rule]);
        let decision = decide(&plan, &get("web.ext", "/", &none));
        let forward = forward(decision);
        assert_eq!(forward.authority, expected);
        assert!(forward.request_headers.iter().all(|operations| operations.is_empty()));
    }
}

#[test]
fn headers_are_removed_set_and_added() {
    let header = |name: &str, value: &str| v1::Header { name: name.into(), value: value.into() };
    let operations = v1::HeaderOperations {
        set: vec![header("X-Set", "100%%"), header("x-command", "%REQ(x)%")],
        add: vec![header("x-add", "2"), header("x-gone", "back")],
        remove: vec!["x-gone".to_owned()],
    };
    let backend = v1::Backend {
        request_headers: Some(v1::HeaderOperations {
            set: vec![header("x-set", "backend")],
            ..Default::default()
        }),
        ..backend("one", 80)
    };
    let rule = v1::HttpRule { request_headers: Some(operations), ..to("r", vec![backend]) };
    let plan = with_rules(vec![rule]);
    let mut map = headers(&[("x-set", "old"), ("x-add", "1"), ("x-gone", "a"), ("x-gone", "b")]);
    let decision = decide(&plan, &get("web.ext", "/", &map.clone()));
    for operations in forward(decision).request_headers {
        operations.apply(&mut map);
    }
    let values = |name: &str| -> Vec<&str> {
        map.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    };
    assert_eq!(values("x-set"), ["100%"]);
    assert_eq!(values("x-command"), ["%REQ(x)%"]);
    assert_eq!(values("x-add"), ["1", "2"]);
    assert_eq!(values("x-gone"), ["back"]);
}

#[test]
fn redirects_lead_where_envoy_would() {
    use v1::redirect::Port;
    let none = headers(&[]);
    let base = v1::Redirect::default;
    let scheme = |scheme: &str| v1::Redirect { scheme: scheme.to_owned(), ..base() };
    let port = |port, redirect: v1::Redirect| v1::Redirect { port: Some(port), ..redirect };
    for (redirect, authority, target, expected) in [
        (base(), "web.ext", "/a?b", "http://web.ext/a?b"),
        (base(), "web.ext:8080", "/a", "http://web.ext:8080/a"),
        (base(), "web.ext:80", "/a", "http://web.ext:80/a"),
        (scheme("https"), "web.ext:80", "/a", "https://web.ext/a"),
        (scheme("https"), "web.ext:8080", "/a", "https://web.ext:8080/a"),
        (port(Port::PortFromScheme(true), base()), "web.ext:8080", "/a", "http://web.ext:8080/a"),
        (port(Port::PortFromRequest(true), base()), "web.ext:8080", "/a", "http://web.ext:8080/a"),
        (port(Port::PortNumber(80), base()), "web.ext", "/a", "http://web.ext/a"),
        (
            port(Port::PortFromRequest(true), scheme("https")),
            "web.ext",
            "/a",
            "https://web.ext:80/a",
        ),
        (port(Port::PortNumber(443), scheme("https")), "web.ext:1", "/a", "https://web.ext:1/a"),
        (port(Port::PortNumber(444), scheme("https")), "web.ext", "/a", "https://web.ext:444/a"),
        (
            v1::Redirect { authority: "new.ext".into(), ..base() },
            "web.ext:8080",
            "/a",
            "http://new.ext/a",
        ),
        (v1::Redirect { path: "/new".into(), ..base() }, "web.ext", "/a?b", "http://web.ext/new?b"),
        (v1::Redirect { path: "new".into(), ..base() }, "web.ext", "/a", "http://web.ext/new"),
        (
            v1::Redirect { path: "/new?c".into(), ..base() },
            "web.ext",
            "/a?b",
            "http://web.ext/new?c",
        ),
        (
            v1::Redirect { path_prefix: "/new".into(), ..base() },
            "web.ext",
            "/a/x?b",
            "http://web.ext/new/x?b",
        ),
    ] {
        let rule = v1::HttpRule {
            matches: vec![path(Path::Prefix("/a".into()))],
            action: Some(v1::http_rule::Action::Redirect(redirect.clone())),
            ..to("r", Vec::new())
        };
        let plan = with_rules(vec![rule]);
        let decision = decide(&plan, &get(authority, target, &none));
        let HttpDecision::Redirect(location) = decision else { panic!("{decision:?}") };
        assert_eq!(location.location, expected, "{redirect:?} {authority} {target}");
        assert_eq!(location.status, 301);
    }
}

#[test]
fn direct_responses_and_timeouts() {
    let respond = v1::HttpRule {
        action: Some(v1::http_rule::Action::DirectResponse(v1::DirectResponse {
            status: 418,
            body: b"teapot".to_vec().into(),
        })),
        matches: vec![path(Path::Exact("/tea".into()))],
        ..to("tea", Vec::new())
    };
    let timed = |timeout_ms| v1::HttpRule { timeout_ms, ..to("timed", vec![backend("one", 80)]) };
    let none = headers(&[]);
    let plan = with_rules(vec![respond.clone(), timed(0)]);
    let HttpDecision::Respond(response) = decide(&plan, &get("web.ext", "/tea", &none)) else {
        panic!("no response")
    };
    assert_eq!((response.status, &response.body[..]), (418, &b"teapot"[..]));
    let millis = Duration::from_millis;
    for (rule, deadline, expected) in [
        (0, None, None),
        (500, None, Some(millis(500))),
        (0, Some("2S"), Some(millis(2000))),
        (500, Some("2S"), Some(millis(500))),
        (5000, Some("100m"), Some(millis(100))),
        (500, Some("bad"), Some(millis(500))),
        (0, Some("123456789S"), None),
    ] {
        let plan = with_rules(vec![timed(rule)]);
        let pairs: Vec<_> = deadline.map(|value| ("grpc-timeout", value)).into_iter().collect();
        let headers = headers(&pairs);
        let decision = decide(&plan, &get("web.ext", "/", &headers));
        assert_eq!(forward(decision).timeout, expected, "{rule} {deadline:?}");
    }
}
