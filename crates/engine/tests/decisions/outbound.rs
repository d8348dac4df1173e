//! The outbound order.

use lateen_engine::connection::Hosts;
use lateen_engine::{Connection, Inspect, OnSilence, Reason, Seen};
use lateen_mesh::v1::{self, Protocol};

use crate::fixture::*;

const TLS_A: Seen<'static> = Seen::Tls { sni: Some("a.ext"), alpn: &[] };
const TLS_OTHER: Seen<'static> = Seen::Tls { sni: Some("other.ext"), alpn: &[] };

/// One of everything.
fn mesh(settings: v1::Settings) -> Mesh {
    use Protocol::{Auto, Http, Tcp, Tls};
    let headless = v1::DirectoryEntry {
        kind: v1::EntryKind::Headless.into(),
        ..entry("db.shop.svc.cluster.local", &["10.1.0.7", "10.1.0.8"], &[(5432, Tcp), (80, Http)])
    };
    Mesh::with_settings(settings)
        .entries(vec![
            kubernetes(
                "web.shop.svc.cluster.local",
                &["10.0.0.1"],
                &[(80, Http), (81, Auto), (82, Tcp)],
            ),
            headless,
            entry("wide.ext", &["172.16.0.0/12"], &[(82, Tcp), (443, Tls)]),
            entry("narrow.ext", &["172.16.1.0/24"], &[(82, Tcp), (443, Tls)]),
            entry("a.ext", &[], &[(443, Tls)]),
            entry("*.ext", &[], &[(443, Tls)]),
            entry("any.ext", &[], &[(9000, Tcp), (80, Tcp)]),
            entry("cold.ext", &["10.0.0.9"], &[(82, Tcp), (80, Http)]),
        ])
        .service("web.shop.svc.cluster.local", &[(80, Http), (81, Auto), (82, Tcp)])
        .service("db.shop.svc.cluster.local", &[(5432, Tcp), (80, Http)])
        .service("wide.ext", &[(82, Tcp), (443, Tls)])
        .service("narrow.ext", &[(82, Tcp), (443, Tls)])
        .service("a.ext", &[(443, Tls)])
        .service("*.ext", &[(443, Tls)])
        .service("any.ext", &[(9000, Tcp), (80, Tcp)])
}

/// What a decision is, in one line.
fn outcome(connection: &Connection<'_>) -> String {
    match connection {
        Connection::Http(scope) => match &scope.hosts {
            Hosts::Port => format!("http by authority on {}", scope.port),
            Hosts::Entry(host) => format!("http of {host}"),
            hosts => format!("{hosts:?}"),
        },
        Connection::Tcp(forward) => format!("tcp {}", forward.destination.key()),
        Connection::Passthrough(_) => "passthrough".to_owned(),
        Connection::Refuse(refusal) => refusal.reason.code().to_owned(),
        Connection::Need(need) => format!("need {}", need.host),
    }
}

#[test]
fn the_first_stage_that_applies_decides() {
    let plan = mesh(settings()).plan();
    for (address, seen, expected) in [
        ("10.0.0.1:82", Seen::Nothing, "tcp outbound|82||web.shop.svc.cluster.local"),
        ("10.0.0.1:81", Seen::Http1, "http of web.shop.svc.cluster.local"),
        ("10.0.0.1:81", Seen::Http2, "http of web.shop.svc.cluster.local"),
        ("10.0.0.1:81", Seen::Opaque, "tcp outbound|81||web.shop.svc.cluster.local"),
        ("10.0.0.1:81", Seen::Nothing, "tcp outbound|81||web.shop.svc.cluster.local"),
        ("10.0.0.1:81", TLS_A, "tcp outbound|81||web.shop.svc.cluster.local"),
        ("10.0.0.1:80", Seen::Http1, "http by authority on 80"),
        ("192.0.2.9:80", Seen::Http1, "http by authority on 80"),
        // Bytes that are not HTTP on an HTTP port go to whoever takes the port, any address.
        ("10.0.0.1:80", Seen::Opaque, "tcp outbound|80||any.ext"),
        ("10.1.0.8:5432", Seen::Nothing, "tcp outbound|5432||db.shop.svc.cluster.local"),
        ("10.1.0.9:5432", Seen::Nothing, "passthrough"),
        ("10.1.0.8:80", Seen::Http1, "http by authority on 80"),
        ("172.16.1.5:82", Seen::Nothing, "tcp outbound|82||narrow.ext"),
        ("172.16.2.5:82", Seen::Nothing, "tcp outbound|82||wide.ext"),
        // TLS in a block is for the entry whose name it is; a broader block is not asked.
        ("172.16.1.5:443", TLS_A, "passthrough"),
        (
            "172.16.1.5:443",
            Seen::Tls { sni: Some("Narrow.ext"), alpn: &[] },
            "tcp outbound|443||narrow.ext",
        ),
        ("172.16.1.5:443", Seen::Opaque, "passthrough"),
        ("192.0.2.9:443", TLS_A, "tcp outbound|443||a.ext"),
        ("192.0.2.9:443", TLS_OTHER, "tcp outbound|443||*.ext"),
        ("192.0.2.9:443", Seen::Tls { sni: Some("ext"), alpn: &[] }, "passthrough"),
        ("192.0.2.9:443", Seen::Tls { sni: None, alpn: &[] }, "passthrough"),
        ("192.0.2.9:443", Seen::Opaque, "passthrough"),
        ("192.0.2.9:9000", Seen::Nothing, "tcp outbound|9000||any.ext"),
        ("192.0.2.9:7", Seen::Nothing, "passthrough"),
    ] {
        let outbound = plan.outbound(socket(address)).expect("details are here");
        let decision = outbound.decide(seen, 0);
        assert_eq!(outcome(&decision), expected, "{address} {seen:?}");
        let explained = outbound.explain(seen, 0);
        assert_eq!(explained.decision, decision, "{address} {seen:?}");
        assert!(!explained.steps.is_empty());
    }
}

#[test]
fn registry_only_refuses_what_nothing_claims() {
    let plan = mesh(registry_only()).plan();
    for (address, seen) in [("192.0.2.9:7", Seen::Nothing), ("10.1.0.9:5432", Seen::Opaque)] {
        let decision = plan.outbound(socket(address)).expect("details").decide(seen, 0);
        let Connection::Refuse(refusal) = decision else { panic!("{decision:?}") };
        assert_eq!(refusal.reason, Reason::NotInRegistry);
        assert_eq!(refusal.origin.field, "spec.outboundTrafficPolicy");
    }
}

#[test]
fn only_what_matters_is_inspected() {
    let plan = mesh(settings()).plan();
    let nothing = Inspect::NOTHING;
    for (address, expected) in [
        ("10.0.0.1:82", nothing),
        ("10.0.0.1:81", Inspect { http: true, on_silence: OnSilence::Dial, ..nothing }),
        ("192.0.2.9:80", Inspect { http: true, on_silence: OnSilence::Dial, ..nothing }),
        ("192.0.2.9:443", Inspect { tls: true, ..nothing }),
        ("172.16.1.5:443", Inspect { tls: true, ..nothing }),
        ("192.0.2.9:9000", nothing),
        ("192.0.2.9:7", nothing),
    ] {
        let inspect = plan.outbound(socket(address)).expect("details").inspect();
        assert_eq!(inspect, expected, "{address}");
    }
}

#[test]
fn details_that_are_not_here_are_asked_for() {
    let plan = mesh(settings()).plan();
    assert!(plan.knows("cold.ext") && !plan.has_details("cold.ext"));
    let need = plan.outbound(socket("10.0.0.9:82")).expect_err("no details");
    assert_eq!(&**need.host, "cold.ext");
    assert!(plan.has_details("a.ext") && !plan.knows("unknown.ext"));
}

#[test]
fn tls_and_tcp_rules_choose_within_an_entry() {
    let rule = |sni: &str, subnet: &str, port: u32, to: &str| {
        let matched = v1::L4Match {
            sni: if sni.is_empty() { Vec::new() } else { vec![sni.to_owned()] },
            destination_subnets: if subnet.is_empty() { Vec::new() } else { vec![block(subnet)] },
            port,
            ..Default::default()
        };
        (vec![matched], vec![v1::Backend { subset: to.to_owned(), ..backend("a.ext", 443) }])
    };
    let tls = |sni: &str, to: &str| {
        let (matches, backends) = rule(sni, "", 0, to);
        v1::TlsRule { matches, backends, ..Default::default() }
    };
    let tcp = |subnet: &str, port: u32, to: &str| {
        let (matches, backends) = rule("", subnet, port, to);
        v1::TcpRule { matches, backends, ..Default::default() }
    };
    let mut mesh = Mesh::new()
        .entries(vec![entry("a.ext", &["10.0.0.1", "10.0.1.1"], &[(443, Protocol::Tls)])])
        .routes(v1::Routes {
            host: "a.ext".to_owned(),
            tls: vec![tls("one.ext", "one"), tls("*.two.ext", "two")],
            tcp: vec![tcp("10.0.1.0/24", 0, "subnet"), tcp("", 444, "port"), tcp("", 443, "rest")],
            ..Default::default()
        });
    for subset in ["one", "two", "subnet", "port", "rest"] {
        mesh = mesh.destination(v1::Destination {
            subset: subset.to_owned(),
            endpoint_slices: Vec::new(),
            ..destination("a.ext", 443)
        });
    }
    let plan = mesh.plan();
    for (address, sni, expected) in [
        ("10.0.0.1:443", Some("ONE.ext"), "one"),
        ("10.0.0.1:443", Some("x.two.ext"), "two"),
        ("10.0.0.1:443", Some("two.ext"), "rest"),
        ("10.0.0.1:443", None, "rest"),
        ("10.0.1.1:443", None, "subnet"),
    ] {
        let outbound = plan.outbound(socket(address)).expect("details");
        assert!(outbound.inspect().tls);
        let decision = outbound.decide(Seen::Tls { sni, alpn: &[] }, 0);
        let Connection::Tcp(forward) = decision else { panic!("{decision:?}") };
        assert_eq!(&*forward.destination.key().subset, expected, "{address} {sni:?}");
    }
}

#[test]
fn what_is_dialled_as_it_is_is_refused_at_an_address_of_the_proxy_itself() {
    let host = "any.ext";
    let ports = [(80, Protocol::Http), (82, Protocol::Tcp), (83, Protocol::Auto)];
    let mut mesh = Mesh::new()
        .entries(vec![v1::DirectoryEntry { local_offset: 7, ..entry(host, &["10.0.0.1"], &ports) }])
        .routes(v1::Routes {
            host: host.to_owned(),
            http: vec![to("default", vec![backend(host, 0)])],
            tcp: vec![v1::TcpRule { backends: vec![backend(host, 0)], ..Default::default() }],
            ..Default::default()
        })
        .inbound(v1::Inbound { local_base: block("127.9.0.0"), ..Default::default() });
    for (port, _) in ports {
        mesh = mesh.destination(v1::Destination {
            discovery: v1::Discovery::Passthrough.into(),
            endpoint_slices: Vec::new(),
            origin: origin("spec"),
            ..destination(host, port)
        });
    }
    let plan = mesh.plan();
    let none = headers(&[]);
    for (dialled, seen, expected) in [
        ("10.0.0.1:82", Seen::Nothing, None),
        ("127.9.0.7:82", Seen::Nothing, Some(Reason::PassthroughLoop)),
        ("10.0.0.1:83", Seen::Http1, None),
        ("127.9.0.7:83", Seen::Http1, Some(Reason::PassthroughLoop)),
        ("127.9.0.7:83", Seen::Opaque, Some(Reason::PassthroughLoop)),
        ("10.0.0.9:80", Seen::Http1, None),
        ("127.9.0.7:80", Seen::Http1, Some(Reason::PassthroughLoop)),
        // By the authority, at the local address of another service.
        ("127.9.0.5:80", Seen::Http1, Some(Reason::PassthroughLoop)),
    ] {
        let outbound = plan.outbound(socket(dialled)).expect("details");
        let refusal = match outbound.decide(seen, 0) {
            Connection::Tcp(_) => None,
            Connection::Refuse(refusal) => Some(refusal),
            Connection::Http(scope) => match plan.route(&scope, &get(host, "/", &none), 0) {
                lateen_engine::HttpDecision::Forward(_) => None,
                lateen_engine::HttpDecision::Refuse(refusal) => Some(refusal),
                other => panic!("{dialled}: {other:?}"),
            },
            other => panic!("{dialled}: {other:?}"),
        };
        assert_eq!(refusal.as_ref().map(|refusal| refusal.reason), expected, "{dialled}");
        if let Some(refusal) = refusal {
            assert_eq!((refusal.status, &*refusal.origin.field), (502, "spec"), "{dialled}");
            assert!(refusal.detail.contains("the proxy's own"), "{}", refusal.detail);
        }
    }
}

#[test]
fn local_mode_gives_every_service_an_address() {
    let with_offset =
        |entry: v1::DirectoryEntry, local_offset| v1::DirectoryEntry { local_offset, ..entry };
    let plan = Mesh::new()
        .entries(vec![
            with_offset(kubernetes("web.shop.svc.cluster.local", &[], &[(80, Protocol::Http)]), 5),
            with_offset(entry("db.ext", &[], &[(82, Protocol::Tcp)]), 6),
        ])
        .service("web.shop.svc.cluster.local", &[(80, Protocol::Http)])
        .service("db.ext", &[(82, Protocol::Tcp)])
        .inbound(v1::Inbound { local_base: block("127.9.0.0"), ..Default::default() })
        .plan();
    let decide = |address: &str, seen| {
        outcome(&plan.outbound(socket(address)).expect("details").decide(seen, 0))
    };
    assert_eq!(decide("127.9.0.6:82", Seen::Nothing), "tcp outbound|82||db.ext");
    assert_eq!(decide("127.9.0.5:80", Seen::Http1), "http by authority on 80");
    assert_eq!(decide("127.9.0.77:83", Seen::Nothing), "passthrough_loop");
    assert_eq!(decide("127.8.0.6:83", Seen::Nothing), "passthrough");
    let none = headers(&[]);
    for (authority, status) in [("127.9.0.5:20080", 200), ("web", 200), ("elsewhere", 502)] {
        let scope = lateen_engine::HttpScope {
            port: 80,
            destination: socket("127.9.0.5:80"),
            hosts: Hosts::Port,
        };
        let decision = plan.route(&scope, &get(authority, "/", &none), 0);
        match decision {
            lateen_engine::HttpDecision::Forward(_) => assert_eq!(status, 200, "{authority}"),
            lateen_engine::HttpDecision::Refuse(refusal) => {
                assert_eq!(refusal.reason, Reason::PassthroughLoop, "{authority}");
                assert_eq!(refusal.status, status);
            }
            other => panic!("{authority}: {other:?}"),
        }
    }
}
