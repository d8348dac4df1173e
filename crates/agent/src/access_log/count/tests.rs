use std::collections::BTreeMap;

use lateen_mesh::v1;
use lateen_proxy::telemetry::{Options, OwnWorkload, Telemetry};
use prost_types::value::Kind;

use super::*;
use crate::wire::access_log::{
    ConnectionProperties, HttpRequestProperties, HttpResponseProperties, Metadata, ResponseFlags,
};

const VISITOR: &str = "spiffe://cluster.local/ns/shop/sa/visitor";
const CATALOG: &str = "spiffe://cluster.local/ns/shop/sa/catalog";
const SERVICES: &str =
    r#"[{"host":"catalog.shop.svc.cluster.local","name":"catalog","namespace":"shop"}]"#;

fn workload(name: &str) -> v1::Workload {
    v1::Workload {
        namespace: "shop".to_owned(),
        name: format!("{name}-1"),
        service_account: name.to_owned(),
        labels: [("app", name), ("version", "v1")].map(|(k, v)| (k.into(), v.into())).into(),
        canonical_name: name.to_owned(),
        canonical_revision: "v1".to_owned(),
        owner_name: name.to_owned(),
        cluster: "east".to_owned(),
        ..v1::Workload::default()
    }
}

/// The counter of the workload `name`, and where its metrics are read.
fn counter(name: &str) -> (Count, std::sync::Arc<Telemetry>) {
    let telemetry = Telemetry::new(Options::default()).unwrap();
    let own = OwnWorkload::new(&workload(name), "cluster.local", "node");
    assert!(telemetry.configure(own, &v1::AccessLog::default()).is_empty());
    (Count::new(telemetry.shard()), telemetry)
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The lines of the metric, without those of buckets.
fn lines(telemetry: &Telemetry, metric: &str) -> Vec<String> {
    let page: String = telemetry.expose_standard().collect();
    page.lines().filter(|line| line.starts_with(metric)).map(ToOwned::to_owned).collect()
}

fn outbound(name: &str) -> AccessLogCommon {
    AccessLogCommon {
        upstream_cluster: "outbound|80|v1|catalog.shop.svc.cluster.local;http".to_owned(),
        custom_tags: tags(&[
            ("services", SERVICES),
            ("workload", "catalog;shop;catalog;v1;east"),
            ("peer_labels", r#"{"app":"catalog","version":"v1"}"#),
            ("peer_principal", CATALOG),
            ("local_principal", VISITOR),
            ("connection", name),
        ]),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 7_000_000 }),
        downstream_wire_bytes_received: 90,
        downstream_wire_bytes_sent: 160,
        ..AccessLogCommon::default()
    }
}

fn http(common: AccessLogCommon, status: u32) -> HttpAccessLogEntry {
    HttpAccessLogEntry {
        common_properties: Some(common),
        request: Some(HttpRequestProperties {
            authority: "catalog".to_owned(),
            ..HttpRequestProperties::default()
        }),
        response: Some(HttpResponseProperties {
            response_code: (status > 0).then_some(status),
            ..HttpResponseProperties::default()
        }),
    }
}

#[test]
fn a_request_to_the_mesh_has_the_labels_of_a_native_proxys() {
    let (mut count, telemetry) = counter("visitor");
    count.http(Place(Direction::Outbound), &http(outbound("1"), 200));
    count.http(Place(Direction::Outbound), &http(outbound("1"), 200));
    insta::assert_snapshot!(lines(&telemetry, "istio_requests_total").join("\n"));
    let sum = lines(&telemetry, "istio_request_duration_milliseconds_sum");
    assert!(sum[0].ends_with("} 14"), "{sum:?}");
    let sum = lines(&telemetry, "istio_response_bytes_sum");
    assert!(sum[0].ends_with("} 320"), "{sum:?}");
}

#[test]
fn a_request_from_the_mesh_names_the_caller_that_proved_itself() {
    let (mut count, telemetry) = counter("catalog");
    let own = OwnWorkload::new(&workload("visitor"), "cluster.local", "visitor's node");
    let mut headers = HeaderMap::new();
    own.announce(&mut headers);
    let text = |value: &http::HeaderValue| prost_types::Value {
        kind: Some(Kind::StringValue(value.to_str().unwrap().to_owned())),
    };
    let fields = [
        ("metadata".to_owned(), text(&headers[peer::METADATA])),
        ("id".to_owned(), text(&headers[peer::METADATA_ID])),
    ];
    let said = prost_types::Struct { fields: fields.into() };
    let entry = |principal| {
        let common = AccessLogCommon {
            upstream_cluster: "inbound|8080||".to_owned(),
            custom_tags: tags(&[
                ("services", SERVICES),
                ("peer_principal", principal),
                ("local_principal", CATALOG),
            ]),
            metadata: Some(Metadata {
                filter_metadata: [("lateen.peer".to_owned(), said.clone())].into(),
            }),
            ..AccessLogCommon::default()
        };
        http(common, 200)
    };
    count.http(Place(Direction::Inbound), &entry(VISITOR));
    count.http(Place(Direction::Inbound), &entry("spiffe://cluster.local/ns/other/sa/thief"));
    count.http(Place(Direction::Inbound), &entry(""));
    insta::assert_snapshot!(lines(&telemetry, "istio_requests_total").join("\n"));
}

#[test]
fn flags_statuses_and_grpc_are_told() {
    let (mut count, telemetry) = counter("visitor");
    let nowhere = AccessLogCommon {
        response_flags: Some(ResponseFlags { no_route_found: true, ..Default::default() }),
        ..AccessLogCommon::default()
    };
    count.http(Place(Direction::Outbound), &http(nowhere.clone(), 404));
    count.http(Place(Direction::Gateway), &http(nowhere, 0));
    let mut grpc = http(outbound("1"), 200);
    let content_type = ("content-type".to_owned(), "application/grpc+proto".to_owned());
    grpc.request.as_mut().unwrap().request_headers = [content_type].into();
    let status = ("grpc-status".to_owned(), "14".to_owned());
    grpc.response.as_mut().unwrap().response_trailers = [status].into();
    count.http(Place(Direction::Outbound), &grpc);
    let lines = lines(&telemetry, "istio_requests_total").join("\n");
    for part in [
        "destination_service=\"catalog\",",
        "response_code=\"404\",grpc_response_status=\"\",response_flags=\"NR\"",
        "response_code=\"0\",grpc_response_status=\"\",response_flags=\"NR\"",
        "request_protocol=\"grpc\",response_code=\"200\",grpc_response_status=\"14\"",
    ] {
        assert!(lines.contains(part), "no {part} in\n{lines}");
    }
}

fn tcp(number: &str, kind: AccessLogType, received: u64, sent: u64) -> TcpAccessLogEntry {
    TcpAccessLogEntry {
        common_properties: Some(AccessLogCommon {
            access_log_type: kind.into(),
            ..outbound(number)
        }),
        connection_properties: Some(ConnectionProperties {
            received_bytes: received,
            sent_bytes: sent,
        }),
    }
}

/// The value of each TCP metric.
fn tcp_totals(telemetry: &Telemetry) -> [u64; 4] {
    [
        "connections_opened_total",
        "connections_closed_total",
        "received_bytes_total",
        "sent_bytes_total",
    ]
    .map(|name| {
        let lines = lines(telemetry, &format!("istio_tcp_{name}"));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    })
}

#[test]
fn connections_count_while_they_are_open() {
    use AccessLogType::{TcpConnectionEnd, TcpPeriodic, TcpUpstreamConnected};
    let (mut count, telemetry) = counter("visitor");
    let mut log = |number, kind, received, sent| {
        count.tcp(Place(Direction::Outbound), &tcp(number, kind, received, sent));
        tcp_totals(&telemetry)
    };
    assert_eq!(log("1", TcpPeriodic, 10, 100), [1, 0, 10, 100]);
    assert_eq!(log("2", TcpUpstreamConnected, 0, 0), [1, 0, 10, 100], "of whom is not known yet");
    assert_eq!(log("2", TcpConnectionEnd, 5, 5), [2, 1, 15, 105], "without any before");
    assert_eq!(log("1", TcpPeriodic, 30, 100), [2, 1, 35, 105]);
    assert_eq!(log("1", TcpConnectionEnd, 31, 101), [2, 2, 36, 106]);
    assert_eq!(log("3", TcpPeriodic, 0, 0), [3, 2, 36, 106]);
    count.envoy_ended();
    assert_eq!(tcp_totals(&telemetry), [3, 3, 36, 106], "what an Envoy had open ends with it");
}
