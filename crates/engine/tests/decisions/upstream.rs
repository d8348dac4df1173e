//! TLS towards endpoints, and what makes connections interchangeable.

use std::sync::Arc;

use lateen_engine::Destination;
use lateen_engine::destination::{Address, Discovery};
use lateen_engine::upstream::{Carried, UpstreamTls, alpn};
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::upstream_tls::Mode;
use lateen_mesh::v1::{self, Protocol};

use crate::fixture::*;

const REVIEWS: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

/// Endpoints: 0 marked and identified, 1 marked without identity, 2 neither.
fn with<R>(message: v1::Destination, check: impl FnOnce(&Destination) -> R) -> R {
    let endpoints = vec![
        endpoint("a", 80),
        v1::Endpoint { template: 1, ..endpoint("b", 80) },
        v1::Endpoint { template: 1, mesh_tls: false, ..endpoint("c", 80) },
    ];
    let plan = Mesh::new()
        .destination(message)
        .with("endpoints/a.ext/80/0", Body::Endpoints(slice("a.ext", 80, endpoints)))
        .plan();
    check(plan.destinations().next().expect("the destination"))
}

fn tls(mode: Mode) -> v1::UpstreamTls {
    v1::UpstreamTls { mode: mode.into(), ..Default::default() }
}

fn of(tls: v1::UpstreamTls) -> v1::Destination {
    v1::Destination {
        tls: Some(tls),
        identities: vec!["spiffe://one".to_owned(), "spiffe://two".to_owned()],
        ..destination("a.ext", 80)
    }
}

fn expected_names(tls: &UpstreamTls) -> Option<Vec<String>> {
    match tls {
        UpstreamTls::Mesh(tls) => {
            Some(tls.subject_alt_names.iter().map(ToString::to_string).collect())
        }
        _ => None,
    }
}

#[test]
fn who_is_expected_follows_the_written_then_the_endpoint_then_the_service() {
    let names = |message| {
        with(message, |destination| {
            let targets = destination.targets().iter();
            targets.map(|target| expected_names(&target.tls)).collect::<Vec<_>>()
        })
    };
    let own = || Some(vec![REVIEWS.to_owned()]);
    let union = || Some(vec!["spiffe://one".to_owned(), "spiffe://two".to_owned()]);
    assert_eq!(names(of(tls(Mode::Auto))), [own(), union(), None]);
    assert_eq!(names(of(tls(Mode::Mesh))), [own(), union(), union()]);
    assert_eq!(names(of(tls(Mode::Disable))), [None, None, None]);
    let written = v1::UpstreamTls { subject_alt_names: vec!["x".to_owned()], ..tls(Mode::Auto) };
    let x = || Some(vec!["x".to_owned()]);
    assert_eq!(names(of(written)), [x(), x(), None]);
}

#[test]
fn explanations_say_what_is_spoken_and_who_decided() {
    let auto = v1::UpstreamTls { origin: origin("spec.trafficPolicy.tls"), ..tls(Mode::Auto) };
    with(of(auto), |destination| {
        for (index, expected) in
            [(0, "expecting spiffe://cluster.local/ns/shop/sa/reviews"), (2, "plain text")]
        {
            let explained = destination.explain_tls(index);
            assert_eq!(explained.decision, destination.target(index).map(|target| &*target.tls));
            assert!(explained.steps[0].why.ends_with(expected), "{:?}", explained.steps);
            assert_eq!(explained.steps[0].origin.field, "spec.trafficPolicy.tls");
        }
        assert_eq!(destination.explain_tls(9).decision, None);
    });
}

#[test]
fn server_names_default_to_the_cluster() {
    let sni = |tls, subset: &str| {
        let message = v1::Destination { subset: subset.to_owned(), ..of(tls) };
        with(message, |destination| match &*destination.targets()[0].tls {
            UpstreamTls::Mesh(tls) => Some(tls.sni.to_string()),
            UpstreamTls::Simple(tls) => tls.sni.as_deref().map(str::to_owned),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(sni(tls(Mode::Auto), "").as_deref(), Some("outbound_.80_._.a.ext"));
    assert_eq!(sni(tls(Mode::Mesh), "v1").as_deref(), Some("outbound_.80_.v1_.a.ext"));
    let named = v1::UpstreamTls { sni: "n.ext".to_owned(), ..tls(Mode::Mesh) };
    assert_eq!(sni(named, "").as_deref(), Some("n.ext"));
    assert_eq!(sni(tls(Mode::Simple), ""), None);
}

#[test]
fn originated_tls_carries_its_files() {
    let mutual = v1::UpstreamTls {
        certificate_file: "/cert".to_owned(),
        private_key_file: "/key".to_owned(),
        ca_file: "/ca".to_owned(),
        sni: "n.ext".to_owned(),
        ..tls(Mode::Mutual)
    };
    with(of(mutual), |destination| {
        let UpstreamTls::Mutual { tls, certificate_file, .. } = &*destination.targets()[2].tls
        else {
            panic!("not mutual")
        };
        assert_eq!((&**certificate_file, tls.ca_file.as_deref()), ("/cert", Some("/ca")));
        assert_eq!(tls.sni.as_deref(), Some("n.ext"));
    });
    let bare = Mesh::new().destination(of(tls(Mode::Mutual))).try_plan();
    assert!(bare.expect_err("no files").to_string().contains("MUTUAL"));
}

#[test]
fn offers_say_what_is_inside() {
    with(of(tls(Mode::Auto)), |destination| {
        let (mesh, plain) = (&destination.targets()[0].tls, &destination.targets()[2].tls);
        let strings = |carried| -> Vec<&str> {
            let offered = mesh.offered_alpn(carried).iter();
            offered.map(|name| std::str::from_utf8(name).unwrap()).collect()
        };
        assert_eq!(strings(Carried::Http1), ["lateen-h2", "istio-http/1.1", "istio", "http/1.1"]);
        assert_eq!(strings(Carried::Http2), ["lateen-h2", "istio-h2", "istio", "h2"]);
        assert_eq!(strings(Carried::Tcp), ["istio"]);
        for carried in [Carried::Http1, Carried::Http2, Carried::Tcp] {
            assert!(plain.offered_alpn(carried).is_empty());
            assert!(!mesh.offered_alpn(carried).contains(&alpn::ISTIO_PEER_EXCHANGE));
        }
    });
    with(of(tls(Mode::Simple)), |destination| {
        let simple = &destination.targets()[0].tls;
        assert_eq!(simple.offered_alpn(Carried::Http2), [alpn::H2]);
        assert!(simple.offered_alpn(Carried::Http1).is_empty());
    });
}

#[test]
fn pools_are_shared_only_where_everything_is_equal() {
    let pools = |message| {
        with(message, |destination| {
            destination.targets().iter().map(|it| Arc::clone(&it.pool)).collect::<Vec<_>>()
        })
    };
    let one = pools(of(tls(Mode::Auto)));
    let same = pools(of(tls(Mode::Auto)));
    let written = v1::UpstreamTls { subject_alt_names: vec!["x".to_owned()], ..tls(Mode::Auto) };
    let other = pools(of(written));
    assert_eq!(one, same);
    assert_ne!(one[0], other[0], "other names are expected");
    assert_eq!(one[2], other[2], "plain text either way");
    assert_ne!(one[0], one[1]);
}

#[test]
fn names_and_the_dialled_address_are_destinations_too() {
    let dns = v1::DnsTarget { host: "x.ext".to_owned(), port: 8443, ..Default::default() };
    let literal = v1::DnsTarget { host: "192.0.2.1".to_owned(), ..dns.clone() };
    let message = v1::Destination {
        discovery: v1::Discovery::Dns.into(),
        dns: vec![dns, literal],
        endpoint_slices: Vec::new(),
        ..of(tls(Mode::Simple))
    };
    with(message, |destination| {
        let target = &destination.targets()[0];
        assert_eq!(target.endpoint.address, Address::Name("x.ext".into()));
        assert_eq!(&*target.endpoint.key.uid, "x.ext:8443");
        assert!(matches!(destination.targets()[1].endpoint.address, Address::Ip(_)));
    });
    let message = v1::Destination {
        discovery: v1::Discovery::Passthrough.into(),
        endpoint_slices: Vec::new(),
        ..of(tls(Mode::Mesh))
    };
    with(message, |destination| {
        assert_eq!(destination.discovery(), Discovery::Passthrough);
        let names = expected_names(destination.passthrough_tls()).expect("mesh TLS");
        assert_eq!(names, ["spiffe://one", "spiffe://two"]);
    });
}

#[test]
fn declared_ports_settle_the_version() {
    for (protocol, downstream, expected) in [
        (Protocol::Http, Carried::Http2, Carried::Http1),
        (Protocol::Http2, Carried::Http1, Carried::Http2),
        (Protocol::Grpc, Carried::Http1, Carried::Http2),
        (Protocol::Auto, Carried::Http1, Carried::Http1),
        (Protocol::Auto, Carried::Http2, Carried::Http2),
    ] {
        let message = v1::Destination { protocol: protocol.into(), ..destination("a.ext", 80) };
        let carried = with(message, |destination| destination.carried(downstream));
        assert_eq!(carried, expected, "{protocol:?}");
    }
}
