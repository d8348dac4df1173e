use std::sync::Arc;

use lateen_engine::upstream::alpn;
use lateen_identity::{CertificateHandle, MeshTrust};
use lateen_mesh::v1::{ServerTls, TlsVersion};
use rustls_pki_types::ServerName;

use super::MeshServer;
use super::gateway::versions;
use super::names::covers;

#[test]
fn a_name_in_a_certificate_covers_one_label() {
    for (presented, name, expected) in [
        ("a.example", "a.example", true),
        ("A.Example", "a.example", true),
        ("*.example", "a.example", true),
        ("*.example", "a.b.example", false),
        ("*.example", "example", false),
        ("*.example", ".example", true),
        ("a.example", "b.example", false),
        ("*", "example", false),
    ] {
        assert_eq!(covers(presented, name), expected, "{presented} {name}");
    }
}

#[test]
fn the_names_of_clusters_can_be_sent_as_server_names() {
    for name in [
        "outbound_.80_.v1_.reviews.shop.svc.cluster.local",
        "outbound_.80_._.reviews.shop.svc.cluster.local",
        "outbound_.8443_.v1-canary_.api.example.com",
    ] {
        assert!(matches!(ServerName::try_from(name), Ok(ServerName::DnsName(_))), "{name}");
    }
}

#[test]
fn versions_lie_between_the_written_ones() {
    use TlsVersion::{Auto, TlsVersion12, TlsVersion13};
    for (minimum, maximum, expected) in [
        (Auto, Auto, Some(2)),
        (TlsVersion12, Auto, Some(2)),
        (TlsVersion13, Auto, Some(1)),
        (Auto, TlsVersion12, Some(1)),
        (TlsVersion12, TlsVersion13, Some(2)),
        (TlsVersion13, TlsVersion12, None),
    ] {
        let tls =
            ServerTls { minimum: minimum.into(), maximum: maximum.into(), ..ServerTls::default() };
        let found = versions(&tls).ok().map(<[_]>::len);
        assert_eq!(found, expected, "{minimum:?} to {maximum:?}");
    }
}

#[test]
fn the_inbound_side_names_the_one_protocol_that_was_chosen() {
    let (_, root) = crate::upstream::tests::self_signed("root");
    let trust = MeshTrust::new(&[root], []).unwrap();
    let server = MeshServer::new(&CertificateHandle::new(), &trust).unwrap();
    for chosen in [None, Some(alpn::NATIVE), Some(alpn::H2), Some(alpn::HTTP11)] {
        let config = server.config(chosen);
        let expected: Vec<Vec<u8>> = chosen.into_iter().map(<[u8]>::to_vec).collect();
        assert_eq!(config.alpn_protocols, expected);
        assert_eq!(config.send_tls13_tickets, 0, "no session is resumed");
        assert!(Arc::ptr_eq(&config, &server.config(chosen)), "built once");
    }
}
