//! Connections and exchanges for the tests of telemetry.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use lateen_mesh::v1;
use rustls_pki_types::CertificateDer;

use super::peer::OwnWorkload;
use super::record::{Cluster, Exchange, HttpRecord, Object, Peer, Service, Upstream};
use super::{Captured, Reason};
use crate::connection::{ConnectionFacts, Direction, PeerCertificate, TlsFacts};

pub(super) const CALLER: &str = "spiffe://cluster.local/ns/shop/sa/front";
pub(super) const CALLEE: &str = "spiffe://cluster.local/ns/shop/sa/reviews";

/// 2026-02-03T04:05:06.789Z.
pub(super) fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_770_091_506_789)
}

pub(super) fn facts(direction: Direction, principal: Option<&str>) -> ConnectionFacts {
    let peer = principal.map(|principal| {
        Arc::new(PeerCertificate {
            spiffe: Some(principal.parse().unwrap()),
            uri_sans: vec![principal.to_owned()],
            dns_sans: Vec::new(),
            subject: String::new(),
            sha256: String::new(),
            der: CertificateDer::from(Vec::new()),
        })
    });
    let tls = peer.map(|peer| TlsFacts {
        version: rustls::ProtocolVersion::TLSv1_3,
        cipher: "TLS13_AES_128_GCM_SHA256",
        sni: None,
        alpn: None,
        peer: Some(peer),
    });
    let sni = tls.as_ref().map(|_| Arc::from("outbound_.9080_._.reviews.shop.svc.cluster.local"));
    ConnectionFacts {
        id: 7,
        direction,
        downstream_remote: "127.1.0.1:41234".parse().unwrap(),
        downstream_local: "127.1.0.9:9080".parse().unwrap(),
        original_destination: "127.1.0.9:9080".parse().unwrap(),
        tls,
        sni,
        opened: Instant::now(),
    }
}

pub(super) fn workload(name: &str, version: &str) -> v1::Workload {
    let labels = [("app", name), ("version", version)];
    v1::Workload {
        namespace: "shop".to_owned(),
        name: format!("{name}-7f"),
        service_account: name.to_owned(),
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        canonical_name: name.to_owned(),
        canonical_revision: version.to_owned(),
        owner_name: format!("{name}-{version}"),
        owner_kind: "deployment".to_owned(),
        cluster: "Kubernetes".to_owned(),
        ..v1::Workload::default()
    }
}

pub(super) fn own(name: &str, version: &str) -> OwnWorkload {
    let id = format!("sidecar~127.0.0.1~{name}-7f.shop~shop.svc.cluster.local");
    OwnWorkload::new(&workload(name, version), "cluster.local", &id)
}

pub(super) const REVIEWS: Service<'_> =
    Service { host: "reviews.shop.svc.cluster.local", name: "reviews", namespace: "shop" };

pub(super) const REVIEWS_V1: Peer<'_> = Peer {
    workload: "reviews-v1",
    namespace: "shop",
    canonical_name: "reviews",
    canonical_revision: "v1",
    app: "reviews",
    version: "v1",
    cluster: "Kubernetes",
};

/// A call to `reviews` that went well.
pub(super) fn call(facts: &ConnectionFacts) -> Exchange<'_> {
    Exchange {
        duration: Duration::from_micros(12_345),
        details: "via_upstream",
        bytes_received: 12,
        bytes_sent: 345,
        upstream: Some(Upstream {
            address: Some("127.2.0.2:9080".parse().unwrap()),
            unix_path: "",
            local: Some("127.0.0.1:50001".parse().unwrap()),
            peer_principal: CALLEE,
            local_principal: CALLER,
        }),
        cluster: Cluster::Outbound { port: 9080, subset: "v1", host: REVIEWS.host },
        service: REVIEWS,
        peer: REVIEWS_V1,
        route_name: "default",
        entry: REVIEWS.host,
        ..Exchange::new(facts, start())
    }
}

/// The same call, refused by a policy.
pub(super) fn denied(facts: &ConnectionFacts) -> Exchange<'_> {
    Exchange {
        reason: Some(Reason::AuthorizationDenied),
        details: "rbac_access_denied_matched_policy[ns[shop]-policy[no-admin]-rule[0]]",
        upstream: None,
        cluster: Cluster::Inbound { port: 9080 },
        decided_by: Some(Object {
            kind: "AuthorizationPolicy",
            namespace: "shop",
            name: "no-admin",
            field: "spec.rules[0]",
        }),
        ..call(facts)
    }
}

pub(super) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

pub(super) fn http<'a>(exchange: Exchange<'a>, captured: &'a Captured) -> HttpRecord<'a> {
    HttpRecord {
        status: if exchange.reason.is_some() { 403 } else { 200 },
        exchange,
        method: "GET",
        path: "/reviews/1?all=true",
        sent_path: "/v1/reviews/1?all=true",
        authority: "reviews:9080",
        version: http::Version::HTTP_11,
        grpc: None,
        wire_received: 200,
        wire_sent: 600,
        upstream_service_time: Some(Duration::from_millis(11)),
        attempts: 1,
        captured,
    }
}
