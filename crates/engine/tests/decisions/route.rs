//! Virtual hosts, rules and backends.

use lateen_engine::{Forward, HttpDecision, Plan, Reason, Request};
use lateen_mesh::v1::path_match::Kind as Path;
use lateen_mesh::v1::string_match::Kind as Text;
use lateen_mesh::v1::{self, Protocol};

use crate::fixture::*;

pub fn forward<'p>(decision: HttpDecision<'p>) -> Forward<'p> {
    match decision {
        HttpDecision::Forward(forward) => forward,
        other => panic!("not forwarded: {other:?}"),
    }
}

/// The decision on port 80, which the explanation must agree with.
pub fn decide<'p>(plan: &'p Plan, request: &Request<'_>) -> HttpDecision<'p> {
    let decision = plan.route(&on_port(80), request, 0);
    assert_eq!(plan.explain_route(&on_port(80), request, 0).decision, decision);
    decision
}

#[test]
fn authorities_select_virtual_hosts_as_envoy_does() {
    let web = "web.shop.svc.cluster.local";
    let far = "web.far.svc.cluster.local";
    let headless = "db.shop.svc.cluster.local";
    let http = [(80, Protocol::Http), (8080, Protocol::Tcp)];
    let mut mesh = Mesh::new().entries(vec![
        v1::DirectoryEntry {
            aliases: vec!["old.shop.svc.cluster.local".to_owned(), "alias.ext".to_owned()],
            ..kubernetes(web, &["10.0.0.1", "fd00::1"], &http)
        },
        kubernetes(far, &[], &http),
        v1::DirectoryEntry {
            kind: v1::EntryKind::Headless.into(),
            aliases: vec!["base.shop.svc.cluster.local".to_owned(), "base.ext".to_owned()],
            ..entry(headless, &[], &http)
        },
        entry("a.ext", &[], &http),
        entry("*.ext", &[], &http),
        entry("*.b.ext", &[], &http),
        entry("8080.ext", &[], &[(8080, Protocol::Http)]),
        entry("single", &[], &http),
    ]);
    for host in [web, far, headless, "a.ext", "*.ext", "*.b.ext", "8080.ext", "single"] {
        mesh = mesh.service(host, &[(80, Protocol::Http), (8080, Protocol::Http)]);
    }
    let plan = mesh.plan();
    let none = headers(&[]);
    for (authority, expected) in [
        ("web", Some(web)),
        ("WEB:80", Some(web)),
        ("web.shop", Some(web)),
        ("web.shop.svc", Some(web)),
        (web, Some(web)),
        ("web.shop.svc.cluster.local.", Some(web)),
        ("Web.Shop.svc.cluster.local.:1234", Some(web)),
        ("10.0.0.1:80", Some(web)),
        ("[fd00::1]:80", Some(web)),
        ("alias.ext", Some(web)),
        ("old", Some(web)),
        ("old.shop", Some(web)),
        ("web.far", Some(far)),
        ("web.far.svc", Some(far)),
        ("db", Some(headless)),
        ("db-0.db.shop.svc.cluster.local", Some(headless)),
        ("db-0.db.shop.svc", Some(headless)),
        ("db-0.db.shop", Some(headless)),
        ("db-0.db:80", Some(headless)),
        ("DB-0.db.", Some(headless)),
        ("db-0.base.ext", Some(headless)),
        ("db-0.base", Some(headless)),
        ("db-0", None),
        ("x.web", None),
        ("a.ext", Some("a.ext")),
        ("x.ext", Some("*.ext")),
        ("x.y.ext", Some("*.ext")),
        ("x.b.ext", Some("*.b.ext")),
        ("b.ext", Some("*.ext")),
        // It exists, but is no HTTP host of this port: the wildcard is next.
        ("8080.ext", Some("*.ext")),
        ("single", Some("single")),
        ("single.shop", None),
        ("ext", None),
        ("10.0.0.2", None),
        ("", None),
    ] {
        let decision = decide(&plan, &get(authority, "/", &none));
        match expected {
            Some(host) => {
                let forward = forward(decision);
                assert_eq!(&*forward.destination.key().host, host, "{authority}");
                assert_eq!(forward.virtual_host, host, "{authority}");
            }
            None => assert!(matches!(decision, HttpDecision::Passthrough(_)), "{authority}"),
        }
    }
    let scope = on_port(8080);
    let decision = plan.route(&scope, &get("8080.ext", "/", &none), 0);
    assert_eq!(forward(decision).destination.key().port, 8080);
}

#[test]
fn unknown_hosts_and_missing_details() {
    let none = headers(&[]);
    let cold = || vec![entry("cold.ext", &[], &[(80, Protocol::Http)])];
    let plan = Mesh::with_settings(registry_only()).entries(cold()).plan();
    let HttpDecision::Refuse(refusal) = decide(&plan, &get("unknown", "/", &none)) else {
        panic!("not refused")
    };
    assert_eq!((refusal.reason, refusal.status), (Reason::NotInRegistry, 502));
    assert_eq!(refusal.reason.body(), "");
    let HttpDecision::Need(need) = decide(&plan, &get("cold.ext", "/", &none)) else {
        panic!("not needed")
    };
    assert_eq!(&**need.host, "cold.ext");
}

/// A mesh of one host, `web.ext`, with these rules, and destinations for hosts `one` to `three`.
pub fn with_rules(rules: Vec<v1::HttpRule>) -> std::sync::Arc<Plan> {
    let mut mesh = Mesh::new()
        .entries(vec![entry("web.ext", &[], &[(80, Protocol::Http), (81, Protocol::Http)])])
        .routes(v1::Routes { host: "web.ext".to_owned(), http: rules, ..Default::default() });
    for host in ["one", "two", "three"] {
        for port in [80, 81] {
            mesh = mesh.destination(v1::Destination {
                endpoint_slices: Vec::new(),
                ..destination(host, port)
            });
        }
    }
    mesh.plan()
}

/// A name, a match, method with scheme, authority and target, headers, whether it matches.
type Case<'a> =
    (&'a str, v1::HttpMatch, (&'a str, &'a str, &'a str, &'a str), http::HeaderMap, bool);

#[test]
fn every_field_of_a_match_counts() {
    let header = |name: &str, value: Option<v1::StringMatch>, invert| v1::HttpMatch {
        headers: vec![v1::NamedMatch { name: name.to_owned(), value, invert }],
        ..Default::default()
    };
    let query = |name: &str, value: Option<v1::StringMatch>| v1::HttpMatch {
        query: vec![v1::NamedMatch { name: name.to_owned(), value, invert: false }],
        ..Default::default()
    };
    let fold = |matched: v1::StringMatch| v1::StringMatch { ignore_case: true, ..matched };
    let fold_path = |kind| v1::HttpMatch {
        path: Some(v1::PathMatch { kind: Some(kind), ignore_case: true }),
        ..Default::default()
    };
    let exact = |text: &str| string(Text::Exact(text.into()));
    let with = |pairs: &[(&'static str, &str)]| headers(pairs);
    let plain = || ("GET", "http", "web.ext", "/");
    let cases: Vec<Case<'_>> = vec![
        (
            "exact path",
            path(Path::Exact("/a".into())),
            ("GET", "http", "web.ext", "/a?b"),
            with(&[]),
            true,
        ),
        (
            "exact path",
            path(Path::Exact("/a".into())),
            ("GET", "http", "web.ext", "/a/"),
            with(&[]),
            false,
        ),
        (
            "exact path",
            path(Path::Exact("/a".into())),
            ("GET", "http", "web.ext", "/A"),
            with(&[]),
            false,
        ),
        (
            "any case",
            fold_path(Path::Exact("/a".into())),
            ("GET", "http", "web.ext", "/A"),
            with(&[]),
            true,
        ),
        (
            "prefix",
            path(Path::Prefix("/foo".into())),
            ("GET", "http", "web.ext", "/foobar"),
            with(&[]),
            true,
        ),
        (
            "prefix",
            path(Path::Prefix("/foo".into())),
            ("GET", "http", "web.ext", "/fo"),
            with(&[]),
            false,
        ),
        (
            "prefix, any case",
            fold_path(Path::Prefix("/foo".into())),
            ("GET", "http", "web.ext", "/FOObar"),
            with(&[]),
            true,
        ),
        (
            "segments",
            path(Path::SegmentPrefix("/foo/".into())),
            ("GET", "http", "web.ext", "/foo"),
            with(&[]),
            true,
        ),
        (
            "segments",
            path(Path::SegmentPrefix("/foo".into())),
            ("GET", "http", "web.ext", "/foo/x"),
            with(&[]),
            true,
        ),
        (
            "segments",
            path(Path::SegmentPrefix("/foo".into())),
            ("GET", "http", "web.ext", "/foobar"),
            with(&[]),
            false,
        ),
        (
            "segments /",
            path(Path::SegmentPrefix("/".into())),
            ("GET", "http", "web.ext", "/x"),
            with(&[]),
            true,
        ),
        (
            "regex",
            path(Path::Regex("/a/[0-9]+".into())),
            ("GET", "http", "web.ext", "/a/12?x=y"),
            with(&[]),
            true,
        ),
        (
            "regex is whole",
            path(Path::Regex("/a/[0-9]+".into())),
            ("GET", "http", "web.ext", "/a/12/b"),
            with(&[]),
            false,
        ),
        (
            "regex keeps its case",
            fold_path(Path::Regex("/a".into())),
            ("GET", "http", "web.ext", "/A"),
            with(&[]),
            false,
        ),
        (
            "method",
            v1::HttpMatch { method: Some(exact("POST")), ..Default::default() },
            plain(),
            with(&[]),
            false,
        ),
        (
            "method",
            v1::HttpMatch { method: Some(exact("GET")), ..Default::default() },
            plain(),
            with(&[]),
            true,
        ),
        (
            "scheme",
            v1::HttpMatch { scheme: Some(exact("https")), ..Default::default() },
            plain(),
            with(&[]),
            false,
        ),
        (
            "authority is raw",
            v1::HttpMatch { authority: Some(exact("web.ext")), ..Default::default() },
            ("GET", "http", "web.ext:80", "/"),
            with(&[]),
            false,
        ),
        (
            "authority prefix",
            v1::HttpMatch {
                authority: Some(string(Text::Prefix("web".into()))),
                ..Default::default()
            },
            ("GET", "http", "web.ext:80", "/"),
            with(&[]),
            true,
        ),
        (
            "port",
            v1::HttpMatch { ports: vec![81], ..Default::default() },
            plain(),
            with(&[]),
            false,
        ),
        (
            "port",
            v1::HttpMatch { ports: vec![79, 80], ..Default::default() },
            plain(),
            with(&[]),
            true,
        ),
        ("header", header("x-a", Some(exact("1")), false), plain(), with(&[("x-a", "1")]), true),
        ("header", header("x-a", Some(exact("1")), false), plain(), with(&[("x-a", "2")]), false),
        ("header missing", header("x-a", Some(exact("1")), false), plain(), with(&[]), false),
        ("header present", header("x-a", None, false), plain(), with(&[("x-a", "")]), true),
        (
            "header present",
            header("x-a", Some(string(Text::Present(true))), false),
            plain(),
            with(&[("x-a", "v")]),
            true,
        ),
        ("header absent", header("x-a", None, false), plain(), with(&[]), false),
        ("without", header("x-a", Some(exact("1")), true), plain(), with(&[("x-a", "1")]), false),
        (
            "without, other",
            header("x-a", Some(exact("1")), true),
            plain(),
            with(&[("x-a", "2")]),
            true,
        ),
        ("without, missing", header("x-a", Some(exact("1")), true), plain(), with(&[]), true),
        ("without any", header("x-a", None, true), plain(), with(&[("x-a", "1")]), false),
        (
            "several values, not as one",
            header("x-a", Some(exact("1,2")), false),
            plain(),
            with(&[("x-a", "1"), ("x-a", "2")]),
            false,
        ),
        (
            "several values, one of them",
            header("x-a", Some(exact("2")), false),
            plain(),
            with(&[("x-a", "1"), ("x-a", "2")]),
            true,
        ),
        (
            "without, several values, one of them",
            header("x-a", Some(exact("2")), true),
            plain(),
            with(&[("x-a", "1"), ("x-a", "2")]),
            false,
        ),
        (
            "without, several values, none of them",
            header("x-a", Some(exact("3")), true),
            plain(),
            with(&[("x-a", "1"), ("x-a", "2")]),
            true,
        ),
        (
            "without, missing counts as empty",
            header("x-a", Some(string(Text::Regex(".*".into()))), true),
            plain(),
            with(&[]),
            false,
        ),
        (
            "header, any case",
            header("x-a", Some(fold(exact("ABC"))), false),
            plain(),
            with(&[("x-a", "abc")]),
            true,
        ),
        (
            "header suffix",
            header("x-a", Some(string(Text::Suffix("bc".into()))), false),
            plain(),
            with(&[("x-a", "abc")]),
            true,
        ),
        (
            "header regex",
            header("x-a", Some(string(Text::Regex("a.".into()))), false),
            plain(),
            with(&[("x-a", "abc")]),
            false,
        ),
        ("pseudo header", header(":method", Some(exact("GET")), false), plain(), with(&[]), true),
        ("host", header("host", Some(exact("web.ext")), false), plain(), with(&[]), true),
        (
            "query",
            query("q", Some(exact("1"))),
            ("GET", "http", "web.ext", "/?a=b&q=1"),
            with(&[]),
            true,
        ),
        (
            "query, first",
            query("q", Some(exact("1"))),
            ("GET", "http", "web.ext", "/?q=2&q=1"),
            with(&[]),
            false,
        ),
        ("query present", query("q", None), ("GET", "http", "web.ext", "/?q"), with(&[]), true),
        ("query missing", query("q", None), ("GET", "http", "web.ext", "/?qq=1"), with(&[]), false),
        ("query, none", query("q", None), plain(), with(&[]), false),
    ];
    for (name, matched, (method, scheme, authority, target), headers, expected) in cases {
        let plan = with_rules(vec![when(to("r", vec![backend("one", 80)]), vec![matched.clone()])]);
        let request =
            Request { method, scheme, authority, path_and_query: target, headers: &headers };
        let decision = decide(&plan, &request);
        let forwarded = matches!(decision, HttpDecision::Forward(_));
        assert_eq!(forwarded, expected, "{name}: {matched:?} {target} {headers:?}");
        if !expected {
            let HttpDecision::Refuse(refusal) = decision else { panic!("{name}: {decision:?}") };
            assert_eq!((refusal.reason, refusal.status), (Reason::NoRoute, 404), "{name}");
            assert_eq!(refusal.virtual_host, "web.ext", "{name}");
        }
    }
}

#[test]
fn the_first_rule_in_order_wins_however_many_there_are() {
    let mut rules = vec![
        when(to("late", vec![backend("one", 80)]), vec![path(Path::Regex("/p/3.*".into()))]),
        when(to("exact", vec![backend("one", 80)]), vec![path(Path::Exact("/p/1/x".into()))]),
    ];
    for number in 0..40 {
        let prefix = path(Path::Prefix(format!("/p/{number}")));
        rules.push(when(to(&format!("p{number}"), vec![backend("two", 80)]), vec![prefix]));
    }
    rules.push(when(to("wide", vec![backend("two", 80)]), vec![path(Path::Prefix("/p".into()))]));
    rules.push(to("all", vec![backend("three", 80)]));
    rules.push(when(to("never", vec![backend("one", 80)]), vec![path(Path::Exact("/q".into()))]));
    let plan = with_rules(rules);
    let none = headers(&[]);
    for (path, expected) in [
        ("/p/1/x", "exact"),
        ("/p/1/y", "p1"),
        // `/p/1` comes before `/p/12` and is a prefix of it.
        ("/p/12", "p1"),
        ("/p/3", "late"),
        ("/p/4", "p4"),
        ("/p/x", "wide"),
        ("/pp", "wide"),
        ("/q", "all"),
        ("/", "all"),
    ] {
        let decision = decide(&plan, &get("web.ext", path, &none));
        assert_eq!(forward(decision).route_name, expected, "{path}");
    }
}

#[test]
fn names_of_routes_are_composed() {
    let named =
        |name: &str| v1::HttpMatch { name: name.to_owned(), ..path(Path::Prefix("/".into())) };
    let none = headers(&[]);
    for (rule, matched, expected) in
        [("r", "m", "r.m"), ("r", "", "r"), ("", "m", ".m"), ("", "", "")]
    {
        let plan = with_rules(vec![when(to(rule, vec![backend("one", 0)]), vec![named(matched)])]);
        let decision = decide(&plan, &get("web.ext", "/", &none));
        assert_eq!(forward(decision).route_name, expected);
    }
}

#[test]
fn weights_are_relative_to_their_sum() {
    let weighted = |weights: &[(&str, u32)]| {
        let backends = weights
            .iter()
            .map(|(host, weight)| v1::Backend { weight: *weight, ..backend(host, 80) });
        with_rules(vec![to("r", backends.collect())])
    };
    let none = headers(&[]);
    let request = get("web.ext", "/", &none);
    let plan = weighted(&[("one", 1), ("two", 0), ("three", 3)]);
    let drawn: Vec<String> = (0..8)
        .map(|random| {
            let forward = forward(plan.route(&on_port(80), &request, random));
            forward.destination.key().host.to_string()
        })
        .collect();
    assert_eq!(drawn, ["one", "three", "three", "three", "one", "three", "three", "three"]);
    // An explanation names a random number for each that can be drawn.
    let draws = plan.explain_route(&on_port(80), &request, 2).draws;
    let explained: Vec<(u64, String)> = draws
        .iter()
        .map(|drawn| {
            let forward = forward(plan.route(&on_port(80), &request, drawn.random));
            (drawn.weight, forward.destination.key().host.to_string())
        })
        .collect();
    assert_eq!(explained, [(1, "one".to_owned()), (3, "three".to_owned())]);
    let plan = weighted(&[("one", 0)]);
    assert_eq!(plan.explain_route(&on_port(80), &request, 0).draws.len(), 1);
    assert_eq!(&*forward(decide(&plan, &request)).destination.key().host, "one");
    let plan = weighted(&[("one", 0), ("two", 0)]);
    let HttpDecision::Refuse(refusal) = decide(&plan, &request) else { panic!("forwarded") };
    assert_eq!((refusal.reason, refusal.status), (Reason::NoBackend, 503));
}

#[test]
fn backends_that_cannot_be_reached_answer_as_written() {
    let none = headers(&[]);
    let invalid = v1::Backend {
        invalid: "host nowhere is not known".to_owned(),
        invalid_status: 500,
        ..backend("nowhere", 80)
    };
    let plan = with_rules(vec![to("r", vec![invalid])]);
    let HttpDecision::Refuse(refusal) = decide(&plan, &get("web.ext", "/", &none)) else {
        panic!("forwarded")
    };
    assert_eq!((refusal.reason, refusal.status), (Reason::InvalidBackend, 500));
    assert_eq!(refusal.detail, "host nowhere is not known");
    assert_eq!((refusal.virtual_host, refusal.route_name), ("web.ext", "r"));
    assert_eq!(refusal.origin.to_string(), "VirtualService shop/reviews route[0]");
    // The listener's port, which the destination does not have.
    let plan = with_rules(vec![to("r", vec![backend("one", 0)])]);
    assert_eq!(forward(decide(&plan, &get("web.ext", "/", &none))).destination.key().port, 80);
    let scope = lateen_engine::HttpScope {
        port: 82,
        hosts: lateen_engine::connection::Hosts::Entry("web.ext".into()),
        ..on_port(80)
    };
    let decision = plan.route(&scope, &get("web.ext", "/", &none), 0);
    assert!(matches!(decision, HttpDecision::Refuse(_)), "{decision:?}");
}
