//! The fast path and the explanation decide alike, on any plan and any request.
//!
//! Names, paths and addresses come from small alphabets that overlap, so that what is asked for is
//! hit, missed and nearly hit.

use std::sync::Arc;

use lateen_engine::authorize::Peer;
use lateen_engine::connection::Hosts;
use lateen_engine::{Connection, HttpScope, Plan, Request, Seen};
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::{self, Protocol};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::*;

const HOSTS: &[&str] = &[
    "a.shop.svc.cluster.local",
    "b.shop.svc.cluster.local",
    "a.far.svc.cluster.local",
    "a.ext",
    "b.a.ext",
    "*.ext",
    "*.a.ext",
    "*.shop.svc.cluster.local",
    "*",
    "single",
];
const AUTHORITIES: &[&str] = &[
    "a",
    "A:80",
    "b",
    "a.shop",
    "a.far",
    "a.shop.svc",
    "a.shop.svc.cluster.local.",
    "a.ext",
    "B.a.ext:81",
    "c.a.ext",
    "c.ext",
    "x.a.shop.svc.cluster.local",
    "single",
    "single.shop",
    "10.0.0.1",
    "127.9.0.1:80",
    "[fd00::1]",
    "alias",
    "alias.shop",
    "nobody",
    "",
    ".",
    "..ext",
];
const ADDRESSES: &[&str] =
    &["10.0.0.1", "10.0.0.2", "10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "fd00::1", "fd00::/8"];
const PORTS: &[u16] = &[80, 81, 443];
const DIALLED: &[&str] = &[
    "10.0.0.1:80",
    "10.0.0.1:81",
    "10.0.0.2:443",
    "10.0.0.9:80",
    "10.9.9.9:443",
    "192.0.2.1:80",
    "192.0.2.1:443",
    "127.9.0.1:81",
    "127.9.0.2:443",
    "127.9.0.9:9",
    "[fd00::1]:80",
];
const PATHS: &[&str] = &["/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "/A/b", "/b", "", "*"];
const VALUES: &[&str] = &["a", "A", "ab", "b", ""];

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![Protocol::Auto, Protocol::Tcp, Protocol::Tls, Protocol::Http, Protocol::Grpc])
}

fn directory_entry() -> impl Strategy<Value = v1::DirectoryEntry> {
    let kind = select(vec![
        v1::EntryKind::Service,
        v1::EntryKind::Kubernetes,
        v1::EntryKind::Headless,
        v1::EntryKind::VirtualHost,
    ]);
    let alias = select(vec!["alias", "alias.shop.svc.cluster.local", "a.ext"]);
    (
        select(HOSTS),
        vec(select(ADDRESSES), 0..3),
        vec((select(PORTS), protocol()), 0..4),
        kind,
        proptest::option::weighted(0.2, alias),
        0_u32..3,
    )
        .prop_map(|(host, addresses, ports, kind, alias, local_offset)| v1::DirectoryEntry {
            kind: kind.into(),
            aliases: alias.into_iter().map(str::to_owned).collect(),
            local_offset,
            ..entry(host, &addresses, &ports)
        })
}

fn string_match() -> impl Strategy<Value = v1::StringMatch> {
    use v1::string_match::Kind;
    let kind = prop_oneof![
        select(VALUES).prop_map(|text| Some(Kind::Exact(text.to_owned()))),
        select(VALUES).prop_map(|text| Some(Kind::Prefix(text.to_owned()))),
        select(VALUES).prop_map(|text| Some(Kind::Suffix(text.to_owned()))),
        Just(Some(Kind::Regex("a.?".to_owned()))),
        Just(Some(Kind::Present(true))),
        Just(None),
    ];
    (kind, any::<bool>()).prop_map(|(kind, ignore_case)| v1::StringMatch { kind, ignore_case })
}

fn path_match() -> impl Strategy<Value = v1::PathMatch> {
    use v1::path_match::Kind;
    let kind = prop_oneof![
        4 => select(PATHS).prop_map(|text| Kind::Exact(text.to_owned())),
        4 => select(PATHS).prop_map(|text| Kind::Prefix(text.to_owned())),
        2 => select(PATHS).prop_map(|text| Kind::SegmentPrefix(text.to_owned())),
        1 => Just(Kind::Regex("/a.*".to_owned())),
    ];
    (kind, proptest::bool::weighted(0.2))
        .prop_map(|(kind, ignore_case)| v1::PathMatch { kind: Some(kind), ignore_case })
}

fn named(name: &'static str) -> impl Strategy<Value = Vec<v1::NamedMatch>> {
    vec((string_match(), any::<bool>()), 0..2).prop_map(move |matches| {
        let named = matches.into_iter().map(|(value, invert)| v1::NamedMatch {
            name: name.to_owned(),
            value: Some(value),
            invert,
        });
        named.collect()
    })
}

fn http_match() -> impl Strategy<Value = v1::HttpMatch> {
    let rarely = |strategy| proptest::option::weighted(0.1, strategy);
    (
        proptest::option::weighted(0.9, path_match()),
        rarely(string_match().boxed()),
        rarely(string_match().boxed()),
        prop_oneof![4 => Just(Vec::new()), 1 => named("x-a")],
        prop_oneof![4 => Just(Vec::new()), 1 => named("q")],
        prop_oneof![4 => Just(Vec::new()), 1 => vec(select(vec![80_u32, 81]), 1..3)],
    )
        .prop_map(|(path, method, authority, headers, query, ports)| v1::HttpMatch {
            path,
            method,
            authority,
            headers,
            query,
            ports,
            ..Default::default()
        })
}

fn backends() -> impl Strategy<Value = Vec<v1::Backend>> {
    let one = (select(HOSTS), select(vec![0_u32, 80, 81, 443]), 0_u32..3)
        .prop_map(|(host, port, weight)| v1::Backend { weight, ..backend(host, port) });
    vec(one, 0..3)
}

fn http_rule() -> impl Strategy<Value = v1::HttpRule> {
    (vec(http_match(), 0..4), backends(), select(VALUES), proptest::bool::weighted(0.1)).prop_map(
        |(mut matches, backends, name, catch_all)| {
            if matches.is_empty() && !catch_all {
                matches.push(path(v1::path_match::Kind::Prefix("/a/b".to_owned())));
            }
            when(to(name, backends), matches)
        },
    )
}

fn l4_match() -> impl Strategy<Value = v1::L4Match> {
    let sni = select(vec!["a.ext", "*.ext", "*.a.ext", "*"]);
    (vec(sni, 0..2), vec(select(ADDRESSES), 0..2), select(vec![0_u32, 0, 80, 443])).prop_map(
        |(sni, subnets, port)| v1::L4Match {
            sni: sni.into_iter().map(str::to_owned).collect(),
            destination_subnets: subnets.into_iter().map(block).collect(),
            port,
            ..Default::default()
        },
    )
}

fn table(host: &'static str) -> impl Strategy<Value = v1::Routes> {
    let tcp = (vec(l4_match(), 0..2), backends()).prop_map(|(matches, backends)| v1::TcpRule {
        matches,
        backends,
        ..Default::default()
    });
    let tls = (vec(l4_match(), 1..3), backends()).prop_map(|(matches, backends)| v1::TlsRule {
        matches,
        backends,
        ..Default::default()
    });
    (vec(http_rule(), 0..8), vec(tcp, 0..3), vec(tls, 0..2)).prop_map(move |(http, tcp, tls)| {
        v1::Routes { host: host.to_owned(), http, tcp, tls, ..Default::default() }
    })
}

/// Tables for most hosts; the others' details are missing.
fn tables() -> impl Strategy<Value = Vec<v1::Routes>> {
    let each: Vec<_> =
        HOSTS.iter().map(|host| proptest::option::weighted(0.8, table(host)).boxed()).collect();
    each.prop_map(|tables| tables.into_iter().flatten().collect())
}

fn gateway() -> impl Strategy<Value = Vec<v1::GatewayServer>> {
    use v1::GatewayProtocol::{Http, Https, Tcp, TlsPassthrough, TlsTerminated};
    let protocol = select(vec![Http, Https, Tcp, TlsPassthrough, TlsTerminated]);
    vec((protocol, vec(select(HOSTS), 1..3)), 1..4).prop_map(|servers| {
        let servers =
            servers.into_iter().enumerate().map(|(number, (protocol, hosts))| v1::GatewayServer {
                name: format!("s{number}"),
                number: 443,
                protocol: protocol.into(),
                hosts: hosts.into_iter().map(str::to_owned).collect(),
                tls: Some(v1::ServerTls::default()),
                ..Default::default()
            });
        servers.collect()
    })
}

fn policy() -> impl Strategy<Value = v1::AuthorizationPolicy> {
    use v1::value_match::Kind;
    let value = prop_oneof![
        select(VALUES).prop_map(|text| Kind::Exact(text.to_owned())),
        select(PATHS).prop_map(|text| Kind::Prefix(text.to_owned())),
        Just(Kind::Present(true)),
        select(ADDRESSES).prop_map(|text| Kind::Cidr(block(text))),
        Just(Kind::Port(80)),
    ];
    let value = value.prop_map(|kind| v1::ValueMatch { kind: Some(kind), ignore_case: false });
    let clause = (0_i32..15, vec(value.clone(), 0..3), vec(value, 0..2)).prop_map(
        |(attribute, values, not_values)| v1::Clause {
            attribute,
            key: "x-a".to_owned(),
            values,
            not_values,
            ..Default::default()
        },
    );
    let group = vec(clause.clone(), 0..3).prop_map(|clauses| v1::Clauses { clauses });
    let rule = (vec(group.clone(), 0..3), vec(group, 0..3), vec(clause, 0..2))
        .prop_map(|(from, to, when)| v1::AuthorizationRule { origin: None, from, to, when });
    (0_i32..5, proptest::bool::weighted(0.2), vec(rule, 0..3)).prop_map(
        |(action, dry_run, rules)| v1::AuthorizationPolicy {
            namespace: "shop".to_owned(),
            action,
            dry_run,
            rules,
            ..Default::default()
        },
    )
}

prop_compose! {
    fn plan()(
        entries in vec(directory_entry(), 0..12),
        tables in tables(),
        servers in gateway(),
        policies in vec(policy(), 0..4),
        closed in any::<bool>(),
    ) -> Arc<Plan> {
        let scope = if closed { registry_only() } else { settings() };
        let mut mesh = Mesh::with_settings(scope).entries(entries);
        for host in HOSTS {
            for port in PORTS {
                let no_endpoints = v1::Destination {
                    endpoint_slices: Vec::new(),
                    ..destination(host, *port)
                };
                mesh = mesh.destination(no_endpoints);
            }
        }
        let names: Vec<String> =
            tables.iter().map(|table| format!("gateway/80/s0/{}", table.host)).collect();
        for routes in &tables {
            mesh = mesh.with(&format!("gateway/80/s0/{}", routes.host), Body::Routes(routes.clone()));
        }
        for routes in tables {
            mesh = mesh.routes(routes);
        }
        let servers = servers
            .into_iter()
            .map(|server| v1::GatewayServer { routes: names.clone(), ..server })
            .collect();
        let listener = v1::GatewayListener { port: 80, servers, http_routes: names };
        let mut inbound =
            v1::Inbound { local_base: block("127.9.0.0"), ..Default::default() };
        for (number, policy) in policies.into_iter().enumerate() {
            let name = format!("policy/shop/p{number}");
            inbound.policies.push(name.clone());
            mesh = mesh.with(&name, Body::Policy(policy));
        }
        mesh.with("gateway/80", Body::Gateway(listener)).inbound(inbound).plan()
    }
}

prop_compose! {
    fn request()(
        authority in select(AUTHORITIES),
        path in select(PATHS),
        query in select(vec!["", "?q=a", "?q", "?r=b&q=ab"]),
        header in proptest::option::of(select(VALUES)),
        method in select(vec!["a", "GET"]),
        random in any::<u64>(),
    ) -> (&'static str, String, Option<&'static str>, &'static str, u64) {
        (authority, format!("{path}{query}"), header, method, random)
    }
}

fn seen() -> impl Strategy<Value = Seen<'static>> {
    let sni = select(vec![None, Some("a.ext"), Some("B.ext"), Some("x.a.ext"), Some("other")]);
    prop_oneof![
        Just(Seen::Nothing),
        Just(Seen::Opaque),
        Just(Seen::Http1),
        Just(Seen::Http2),
        sni.prop_map(|sni| Seen::Tls { sni, alpn: &[] }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn explanations_decide_as_the_fast_path_does(
        plan in plan(),
        requests in vec(request(), 24),
        connections in vec((select(DIALLED), seen(), any::<u64>()), 24),
        identity in select(vec![None, Some("spiffe://a/ns/a/sa/ab"), Some("a")]),
    ) {
        let mut scopes = vec![on_port(80), on_port(81)];
        for (address, seen, random) in connections {
            let address = socket(address);
            if let Ok(outbound) = plan.outbound(address) {
                let decision = outbound.decide(seen, random);
                prop_assert_eq!(&outbound.explain(seen, random).decision, &decision);
                if let Connection::Http(scope) = decision {
                    scopes.push(scope);
                }
            }
            let gateway = plan.gateway(80).expect("the port is open");
            let decision = gateway.decide(address, seen, random);
            prop_assert_eq!(&gateway.explain(address, seen, random).decision, &decision);
        }
        for hosts in [Hosts::GatewayHttp(80), Hosts::GatewayServer(80, "s0".into())] {
            scopes.push(HttpScope { hosts, ..on_port(80) });
        }
        for (authority, target, header, method, random) in &requests {
            let map = headers(&header.map(|value| ("x-a", value)).into_iter().collect::<Vec<_>>());
            let request = Request { method, ..get(authority, target, &map) };
            for scope in &scopes {
                let decision = plan.route(scope, &request, *random);
                let explained = plan.explain_route(scope, &request, *random);
                prop_assert_eq!(&explained.decision, &decision, "{:?} {:?}", scope, request);
            }
            let peer = Peer {
                identity,
                source: ip("10.0.0.1"),
                remote: ip("192.0.2.1"),
                destination: socket("10.0.0.2:80"),
                sni: None,
            };
            let verdict = plan.authorize_request(&peer, &request);
            prop_assert_eq!(plan.explain_authorize_request(&peer, &request).decision, verdict);
            let verdict = plan.authorize_connection(&peer);
            prop_assert_eq!(plan.explain_authorize_connection(&peer).decision, verdict);
        }
    }
}
