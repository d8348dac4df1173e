//! The matrix of mutual TLS modes and protocols.

use lateen_engine::inbound::{Codec, InboundConnection, Mode, Serve};
use lateen_engine::upstream::{Carried, alpn};
use lateen_engine::{Plan, Reason, Seen};
use lateen_mesh::v1::{self, MtlsMode, Protocol};

use crate::fixture::*;

const MESH_H1: &[&[u8]] = alpn_list(&[alpn::ISTIO_HTTP11, alpn::ISTIO, alpn::HTTP11]);
const MESH_H2: &[&[u8]] = &[alpn::ISTIO_H2, alpn::ISTIO, alpn::H2];
/// Of a client that cannot choose its offer for each connection (stock Envoy).
const MESH_EITHER: &[&[u8]] = &[alpn::ISTIO_HTTP11, alpn::ISTIO_H2, alpn::ISTIO];
const NATIVE: &[&[u8]] = alpn::OFFER_HTTP1;
const MESH_TCP: &[&[u8]] = &[alpn::ISTIO_PEER_EXCHANGE, alpn::ISTIO];
const OTHER: &[&[u8]] = &[alpn::H2, alpn::HTTP11];

const fn alpn_list<'a>(list: &'a [&'a [u8]]) -> &'a [&'a [u8]] {
    list
}

const fn tls(alpn: &'static [&'static [u8]]) -> Seen<'static> {
    Seen::Tls { sni: None, alpn }
}

/// Ports 80 HTTP, 90 TCP, 100 sniffed, all in one mode; 7 is declared by no service.
fn plan(mode: MtlsMode) -> std::sync::Arc<Plan> {
    let port = |port, protocol: Protocol| v1::InboundPort {
        port,
        protocol: protocol.into(),
        mtls: mode.into(),
        mtls_origin: origin("spec.mtls.mode"),
        service_host: "web.shop.svc.cluster.local".to_owned(),
        ..Default::default()
    };
    let ports = vec![port(80, Protocol::Http), port(90, Protocol::Tcp), port(100, Protocol::Auto)];
    Mesh::new().inbound(v1::Inbound { ports, mtls: mode.into(), ..Default::default() }).plan()
}

fn outcome(connection: &InboundConnection<'_>) -> String {
    let accept = match connection {
        InboundConnection::Accept(accept) => accept,
        InboundConnection::Refuse(refusal) => return refusal.reason.code().to_owned(),
    };
    let tls = match accept.tls {
        None => "raw".to_owned(),
        Some(tls) => {
            format!("mtls({})", tls.alpn.map_or("-".into(), String::from_utf8_lossy))
        }
    };
    let serve = match accept.serve {
        Serve::Tcp => "tcp",
        Serve::Http(Codec::Http1) => "h1",
        Serve::Http(Codec::Http2) => "h2",
        Serve::Http(Codec::Native) => "native",
        Serve::Http(Codec::Detect) => "http",
    };
    format!("{tls} {serve}")
}

#[test]
fn modes_and_protocols_decide_together() {
    use MtlsMode::{Disable, Permissive, Strict};
    for (mode, port, seen, expected) in [
        (Permissive, 80, tls(MESH_H1), "mtls(http/1.1) h1"),
        (Permissive, 80, tls(MESH_H2), "mtls(h2) h2"),
        (Permissive, 80, tls(MESH_EITHER), "mtls(-) http"),
        (Permissive, 80, tls(NATIVE), "mtls(lateen-h2) native"),
        (Permissive, 80, tls(MESH_TCP), "mtls(-) http"),
        (Permissive, 80, tls(OTHER), "protocol_mismatch"),
        (Permissive, 80, tls(&[]), "protocol_mismatch"),
        (Permissive, 80, Seen::Http1, "raw h1"),
        (Permissive, 80, Seen::Http2, "raw h2"),
        (Permissive, 80, Seen::Opaque, "raw http"),
        (Permissive, 90, tls(MESH_TCP), "mtls(-) tcp"),
        (Permissive, 90, tls(MESH_H2), "mtls(h2) tcp"),
        (Permissive, 90, tls(OTHER), "raw tcp"),
        (Permissive, 90, Seen::Http1, "raw tcp"),
        (Permissive, 90, Seen::Nothing, "raw tcp"),
        (Permissive, 100, tls(MESH_H1), "mtls(http/1.1) h1"),
        (Permissive, 100, tls(MESH_EITHER), "mtls(-) http"),
        (Permissive, 100, tls(MESH_TCP), "mtls(-) tcp"),
        (Permissive, 100, tls(OTHER), "raw tcp"),
        (Permissive, 100, Seen::Http2, "raw h2"),
        (Permissive, 100, Seen::Opaque, "raw tcp"),
        (Permissive, 7, tls(MESH_H2), "mtls(h2) h2"),
        (Permissive, 7, Seen::Http1, "raw h1"),
        (Strict, 80, tls(MESH_H1), "mtls(http/1.1) h1"),
        (Strict, 80, tls(OTHER), "mtls(h2) h2"),
        (Strict, 80, tls(&[]), "mtls(-) http"),
        (Strict, 80, Seen::Http1, "mtls_required"),
        (Strict, 80, Seen::Nothing, "mtls_required"),
        (Strict, 90, tls(MESH_TCP), "mtls(-) tcp"),
        (Strict, 90, Seen::Opaque, "mtls_required"),
        (Strict, 100, tls(MESH_H2), "mtls(h2) h2"),
        (Strict, 100, tls(&[b"foo"]), "mtls(-) tcp"),
        (Strict, 100, Seen::Http1, "mtls_required"),
        (Strict, 7, tls(MESH_H1), "mtls(http/1.1) h1"),
        (Strict, 7, Seen::Opaque, "mtls_required"),
        (Disable, 80, Seen::Nothing, "raw http"),
        (Disable, 80, tls(MESH_H1), "raw http"),
        (Disable, 90, tls(MESH_TCP), "raw tcp"),
        (Disable, 100, Seen::Http1, "raw h1"),
        (Disable, 100, tls(MESH_H1), "raw tcp"),
        (Disable, 7, Seen::Opaque, "raw tcp"),
    ] {
        let plan = plan(mode);
        let port = plan.inbound(port).expect("the port is open");
        let decision = port.decide(seen);
        assert_eq!(outcome(&decision), expected, "{mode:?} {port:?} {seen:?}");
        let explained = port.explain(seen);
        assert_eq!(explained.decision, decision);
        assert_eq!(explained.steps.len(), 1);
    }
}

#[test]
fn only_what_matters_is_inspected() {
    use MtlsMode::{Disable, Permissive, Strict};
    for (mode, port, expected) in [
        (Permissive, 80, (true, false)),
        (Permissive, 90, (true, false)),
        (Permissive, 100, (true, true)),
        (Permissive, 7, (true, true)),
        (Strict, 80, (true, false)),
        (Strict, 100, (true, false)),
        (Disable, 80, (false, false)),
        (Disable, 90, (false, false)),
        (Disable, 100, (false, true)),
    ] {
        let plan = plan(mode);
        let inspect = plan.inbound(port).expect("open").inspect();
        assert_eq!((inspect.tls, inspect.http), expected, "{mode:?} {port}");
    }
}

#[test]
fn undeclared_ports_follow_their_own_mode_or_are_closed() {
    let inbound = v1::Inbound {
        mtls: MtlsMode::Strict.into(),
        mtls_origin: origin("spec.mtls"),
        port_mtls: vec![v1::PortMtls {
            port: 9,
            mtls: MtlsMode::Disable.into(),
            origin: origin("spec.portLevelMtls[9]"),
        }],
        ..Default::default()
    };
    let plan = Mesh::new().inbound(inbound.clone()).plan();
    for (number, mode, field) in
        [(9, Mode::Disable, "spec.portLevelMtls[9]"), (8, Mode::Strict, "spec.mtls")]
    {
        let port = plan.inbound(number).expect("open");
        assert_eq!((port.mode(), &*port.origin().field), (mode, field));
        assert_eq!(port.forward(), (None, number));
        assert!(port.declared().is_none());
    }
    let closed = Mesh::new().inbound(v1::Inbound { only_declared: true, ..inbound }).plan();
    assert_eq!(closed.inbound(8).expect_err("closed").reason, Reason::PortNotDeclared);
    assert_eq!(Mesh::new().plan().inbound(8).expect_err("nothing").reason, Reason::NoInbound);
}

#[test]
fn a_declared_port_says_how_the_application_is_reached() {
    let port = v1::InboundPort {
        port: 80,
        protocol: Protocol::Grpc.into(),
        forward_address: block("127.0.0.1"),
        forward_port: 8080,
        ..Default::default()
    };
    let plan = Mesh::new().inbound(v1::Inbound { ports: vec![port], ..Default::default() }).plan();
    let port = plan.inbound(80).expect("open");
    assert_eq!(port.forward(), (Some(ip("127.0.0.1")), 8080));
    assert_eq!(port.carried(Carried::Http1), Carried::Http2);
    assert!(port.retries().is_none(), "gRPC is never retried on this side");
    let sniffed = plan.inbound(81).expect("open");
    assert_eq!(sniffed.carried(Carried::Http1), Carried::Http1);
    let retries = sniffed.retries().expect("a policy");
    let attempt = lateen_engine::retry::Attempt::ResetBeforeRequest;
    assert!(retries.retries(attempt, 1) && !retries.retries(attempt, 2));
    assert!(!retries.retries(lateen_engine::retry::Attempt::Reset, 0));
}
