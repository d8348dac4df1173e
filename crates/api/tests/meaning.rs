//! What belongs to the objects themselves: names, patterns, selectors, visibility, protocols, durations.

#![cfg(test)]

use std::collections::BTreeMap;

use lateen_api::export_to::Visibility;
use lateen_api::host::{
    HostPattern, NamespaceFilter, NamespacedHost, candidates, most_specific, resolve_host,
};
use lateen_api::mesh_config::{KubernetesLabelSelector, LabelSelectorRequirement};
use lateen_api::path::{parent, pattern};
use lateen_api::selector::selects;
use lateen_api::{Code, Duration, Kind, Protocol, account};

#[test]
fn only_names_without_dots_are_expanded() {
    for (host, full) in [
        ("reviews", "reviews.default.svc.cluster.local"),
        ("Reviews", "reviews.default.svc.cluster.local"),
        ("reviews.foo", "reviews.foo"),
        ("*", "*"),
        ("*.example.com", "*.example.com"),
        ("*-a", "*-a"),
        ("::1", "::1"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        assert_eq!(resolve_host(host, "default", "cluster.local"), full);
    }
}

#[test]
fn patterns_match_by_their_end() {
    for (pattern, name, fits) in [
        ("*", "a.b", true),
        ("*.b", "a.b", true),
        ("*.b", "x.a.b", true),
        ("*.b", ".b", true),
        ("*.b", "b", false),
        ("a.b", "A.B", true),
        ("a.b", "a.bc", false),
        ("*-x.b", "a-x.b", true),
    ] {
        assert_eq!(HostPattern::new(pattern).matches(name), fits, "{pattern} {name}");
    }
}

#[test]
fn exact_names_come_before_longer_wildcards_before_shorter_ones() {
    let mut patterns: Vec<HostPattern> =
        ["*", "*.c", "z.b.c", "*.b.c", "a.b.c"].map(HostPattern::new).into();
    patterns.sort();
    let sorted: Vec<&str> = patterns.iter().map(HostPattern::as_str).collect();
    assert_eq!(sorted, ["a.b.c", "z.b.c", "*.b.c", "*.c", "*"]);
    let best = |name| most_specific(name, &patterns).map(HostPattern::as_str);
    assert_eq!(best("a.b.c"), Some("a.b.c"));
    assert_eq!(best("x.b.c"), Some("*.b.c"));
    assert_eq!(best("x.y"), Some("*"));
    assert_eq!(most_specific("x.y", &patterns[..4]), None);
}

#[test]
fn candidates_are_the_name_and_its_parents() {
    let all = |name| candidates(name).map(String::from).collect::<Vec<_>>();
    assert_eq!(all("a.b.c"), ["a.b.c", "*.b.c", "*.c", "*"]);
    assert_eq!(all("*.b.c"), ["*.b.c", "*.c", "*"]);
    assert_eq!(all("*"), ["*"]);
}

#[test]
fn wildcards_cover_and_overlap() {
    let [all, wide, narrow, exact] = ["*", "*.c", "*.b.c", "a.b.c"].map(HostPattern::new);
    assert!(all.covers(&wide) && wide.covers(&narrow) && narrow.covers(&exact));
    assert!(!exact.covers(&narrow) && !narrow.covers(&wide));
    assert!(narrow.overlaps(&wide) && exact.overlaps(&all));
    assert!(!exact.overlaps(&HostPattern::new("*.d")));
}

#[test]
fn hosts_with_namespaces_are_read() {
    for (text, namespace, excluded, host) in [
        ("a.b", NamespaceFilter::Any, false, "a.b"),
        ("*/a.b", NamespaceFilter::Any, false, "a.b"),
        ("./*", NamespaceFilter::Own, false, "*"),
        ("~/*", NamespaceFilter::None, false, "*"),
        ("ns/a.b", NamespaceFilter::Named("ns".to_owned()), false, "a.b"),
        ("~ns/*", NamespaceFilter::Named("ns".to_owned()), true, "*"),
    ] {
        let host = HostPattern::new(host);
        assert_eq!(NamespacedHost::parse(text), NamespacedHost { namespace, excluded, host });
    }
    assert!(NamespaceFilter::Own.includes("a", "a"));
    assert!(!NamespaceFilter::Own.includes("a", "b"));
}

#[test]
fn visibility_is_what_the_object_says_else_the_mesh_else_everywhere() {
    let see = |entries: &[&'static str], defaults: &[&'static str]| {
        Visibility::parse(entries.iter().copied(), defaults.iter().copied(), "own")
    };
    assert_eq!(see(&[], &[]), Visibility::Everywhere);
    assert!(see(&[], &["."]).is_private_to("own"));
    assert_eq!(see(&["*"], &["."]), Visibility::Everywhere);
    assert!(see(&[".", "other"], &[]).includes("other"));
    assert!(!see(&[".", "other"], &[]).includes("third"));
    assert!(!see(&["~"], &[]).includes("own"));
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn selectors_want_every_label_and_expression() {
    let of = labels(&[("a", "1"), ("b", "2")]);
    assert!(selects(&labels(&[]), &of));
    assert!(selects(&labels(&[("a", "1")]), &of));
    assert!(!selects(&labels(&[("a", "2")]), &of));
    for (operator, key, values, holds) in [
        ("In", "a", &["1", "3"][..], true),
        ("In", "c", &["1"], false),
        ("NotIn", "a", &["1"], false),
        ("NotIn", "c", &["1"], true),
        ("Exists", "a", &[], true),
        ("DoesNotExist", "a", &[], false),
    ] {
        let requirement = LabelSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|it| (*it).to_owned()).collect(),
        };
        let selector = KubernetesLabelSelector {
            match_expressions: vec![requirement],
            ..KubernetesLabelSelector::default()
        };
        assert_eq!(selector.selects(&of), holds, "{operator} {key}");
    }
}

#[test]
fn a_port_speaks_what_its_owner_declares() {
    for (number, name, app_protocol, transport, protocol) in [
        (80, "http-web", None, "TCP", Protocol::Http),
        (80, "http", None, "", Protocol::Http),
        (80, "HTTP2-x", None, "TCP", Protocol::Http2),
        (80, "grpc-web", None, "TCP", Protocol::GrpcWeb),
        (80, "grpc-web-a", None, "TCP", Protocol::GrpcWeb),
        (80, "grpc-webby", None, "TCP", Protocol::Grpc),
        (80, "httpx", None, "TCP", Protocol::Unknown),
        (80, "web", None, "TCP", Protocol::Unknown),
        (3306, "db", None, "TCP", Protocol::Tcp),
        (3306, "http-db", None, "TCP", Protocol::Http),
        (80, "tcp", Some("http"), "TCP", Protocol::Http),
        (80, "http", Some("kubernetes.io/h2c"), "TCP", Protocol::Http2),
        (80, "x", Some("kubernetes.io/WS"), "TCP", Protocol::Http),
        (80, "x", Some("kubernetes.io/wss"), "TCP", Protocol::Https),
        (80, "http", Some("example.com/own"), "TCP", Protocol::Unknown),
        (53, "dns", None, "UDP", Protocol::Udp),
        (27017, "mongo-a", None, "TCP", Protocol::Mongo),
    ] {
        let found = Protocol::of_service_port(number, name, app_protocol, transport);
        assert_eq!(found, protocol, "{number} {name} {app_protocol:?}");
    }
}

#[test]
fn durations_are_printed_as_protobuf_does() {
    for (text, printed) in
        [("1h", "3600s"), ("1.5s", "1.5s"), ("1ms", "0.001s"), ("-1.25s", "-1.25s"), ("0", "0s")]
    {
        let duration = Duration::parse(text).unwrap();
        assert_eq!(duration.to_string(), printed);
        assert_eq!(Duration::parse(printed), Some(duration));
    }
    for text in ["", "s", "1", "1 s", "1.2.3s", ".s", "1d", "--1s", "99999999999999999999h", "é"] {
        assert_eq!(Duration::parse(text), None, "{text}");
    }
    let std = Duration::parse("1.5s").unwrap().to_std().unwrap();
    assert_eq!(Duration::from(std), Duration::from_millis(1500));
    assert_eq!(Duration::parse("-1s").unwrap().to_std(), None);
}

#[test]
fn paths_have_patterns_and_parents() {
    assert_eq!(pattern("spec.http[0].route[12].weight"), "spec.http[].route[].weight");
    assert_eq!(pattern("metadata.labels[a.b/c]"), "metadata.labels[]");
    let mut path = "spec.http[0].headers[a.b].x";
    let mut parents = Vec::new();
    while let Some(next) = parent(path) {
        parents.push(next);
        path = next;
    }
    assert_eq!(
        parents,
        [
            "spec.http[0].headers[a.b]",
            "spec.http[0].headers",
            "spec.http[0]",
            "spec.http",
            "spec",
            ""
        ]
    );
}

#[test]
fn the_account_lists_every_kind_and_knows_what_is_honoured() {
    let account: Vec<_> = account().collect();
    for &kind in Kind::ALL {
        assert!(account.iter().any(|line| line.kind == kind), "{kind}");
    }
    let honoured = |kind, path: &str, value: Option<&str>| {
        let mut lines = account
            .iter()
            .filter(|line| line.kind == kind && line.path == path && line.value == value);
        let line = lines.next().unwrap_or_else(|| panic!("{kind} {path} {value:?} is missing"));
        assert_eq!(lines.next(), None, "{kind} {path} stands twice");
        line.honoured
    };
    assert!(honoured(Kind::VirtualService, "spec.http[].route[].weight", None));
    assert!(honoured(Kind::VirtualService, "spec.http[].match[].uri.prefix", None));
    assert!(!honoured(Kind::VirtualService, "spec.http[].fault", None));
    assert!(!honoured(Kind::VirtualService, "spec.http[].fault.abort.percentage.value", None));
    assert!(honoured(Kind::Gateway, "spec.servers[].tls.mode", Some("MUTUAL")));
    assert!(!honoured(Kind::Gateway, "spec.servers[].tls.mode", Some("ISTIO_MUTUAL")));
    assert!(!honoured(Kind::ServiceEntry, "spec.resolution", Some("DYNAMIC_DNS")));
    assert!(!honoured(Kind::AuthorizationPolicy, "spec.action", Some("CUSTOM")));
    assert!(!honoured(
        Kind::AuthorizationPolicy,
        "spec.rules[].when[].key",
        Some("request.auth.*")
    ));
    assert!(honoured(Kind::PeerAuthentication, "spec.portLevelMtls[].mode", Some("STRICT")));
    assert!(!honoured(Kind::HttpRoute, "", None));
    assert!(!honoured(Kind::Service, "spec.ports[].nodePort", None), "it is inert");
    assert!(!honoured(Kind::DestinationRule, "spec.trafficPolicy.tls.credentialName", None));
    assert!(honoured(Kind::MeshConfig, "pathNormalization.normalization", Some("NONE")));
}

#[test]
fn codes_are_kebab_case_and_unique() {
    let mut names: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
    assert!(Code::ALL.iter().all(|code| !code.doc().is_empty()));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}
