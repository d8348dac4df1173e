use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::connection::Direction;
use crate::telemetry::sample::{
    CALLEE, CALLER, REVIEWS, REVIEWS_V1, call, denied, facts, http, own,
};
use crate::telemetry::{
    Captured, Cluster, Exchange, Grpc, OwnWorkload, Peer, Reason, Service, Upstream,
};

fn text(collector: &Collector) -> String {
    collector.expose().collect()
}

/// The samples of a metric: labels to value.
fn samples(text: &str, name: &str) -> Vec<(BTreeMap<String, String>, f64)> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'))
        .map(|line| {
            let (labels, value) = line.rsplit_once("} ").unwrap();
            let labels = labels
                .split("\",")
                .map(|pair| {
                    let (name, value) = pair.split_once("=\"").unwrap();
                    (name.to_owned(), value.trim_end_matches('"').to_owned())
                })
                .collect();
            (labels, value.parse().unwrap())
        })
        .collect()
}

fn one_http(exchange: Exchange<'_>, own: &OwnWorkload) -> (String, String) {
    let collector = Collector::new(Bounds::default());
    let mut worker = collector.worker();
    let captured = Captured::default();
    worker.http(&http(exchange, &captured), own);
    let text = text(&collector);
    let line = text.lines().find(|line| line.starts_with("istio_requests_total{")).unwrap();
    (line.to_owned(), text)
}

#[test]
fn a_client_reports_as_istios_does() {
    let facts = facts(Direction::Outbound, None);
    let (line, _) = one_http(call(&facts), &own("front", "v2"));
    assert_eq!(
        line,
        "istio_requests_total{reporter=\"source\",source_workload=\"front-v2\",\
         source_canonical_service=\"front\",source_canonical_revision=\"v2\",\
         source_workload_namespace=\"shop\",\
         source_principal=\"spiffe://cluster.local/ns/shop/sa/front\",source_app=\"front\",\
         source_version=\"v2\",source_cluster=\"Kubernetes\",\
         destination_workload=\"reviews-v1\",destination_workload_namespace=\"shop\",\
         destination_principal=\"spiffe://cluster.local/ns/shop/sa/reviews\",\
         destination_app=\"reviews\",destination_version=\"v1\",\
         destination_service=\"reviews.shop.svc.cluster.local\",\
         destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\",\
         destination_service_name=\"reviews\",destination_service_namespace=\"shop\",\
         destination_cluster=\"Kubernetes\",request_protocol=\"http\",response_code=\"200\",\
         grpc_response_status=\"\",response_flags=\"-\",connection_security_policy=\"unknown\"} 1"
    );
}

#[test]
fn a_server_reports_as_istios_does() {
    let facts = facts(Direction::Inbound, Some(CALLER));
    let exchange = Exchange {
        cluster: Cluster::Inbound { port: 9080 },
        peer: Peer { workload: "front-v2", canonical_name: "front", ..Peer::default() },
        ..call(&facts)
    };
    let (line, _) = one_http(exchange, &own("reviews", "v1"));
    assert_eq!(
        line,
        "istio_requests_total{reporter=\"destination\",source_workload=\"front-v2\",\
         source_canonical_service=\"front\",source_canonical_revision=\"latest\",\
         source_workload_namespace=\"shop\",\
         source_principal=\"spiffe://cluster.local/ns/shop/sa/front\",source_app=\"unknown\",\
         source_version=\"unknown\",source_cluster=\"unknown\",\
         destination_workload=\"reviews-v1\",destination_workload_namespace=\"shop\",\
         destination_principal=\"spiffe://cluster.local/ns/shop/sa/reviews\",\
         destination_app=\"reviews\",destination_version=\"v1\",\
         destination_service=\"reviews.shop.svc.cluster.local\",\
         destination_canonical_service=\"reviews\",destination_canonical_revision=\"v1\",\
         destination_service_name=\"reviews\",destination_service_namespace=\"shop\",\
         destination_cluster=\"Kubernetes\",request_protocol=\"http\",response_code=\"200\",\
         grpc_response_status=\"\",response_flags=\"-\",\
         connection_security_policy=\"mutual_tls\"} 1"
    );
}

/// What differs from the two above: the case, the labels that it must have.
#[test]
fn labels_where_something_is_not_known() {
    let plain = |direction| facts(direction, None);
    let out = plain(Direction::Outbound);
    let inbound = plain(Direction::Inbound);
    let gateway = plain(Direction::Gateway);
    let nobody = |facts| Exchange {
        upstream: None,
        service: Service::default(),
        peer: Peer::default(),
        ..call(facts)
    };
    type Case<'a> = (&'a str, Exchange<'a>, &'a [(&'a str, &'a str)]);
    let table: [Case<'_>; 9] = [
        (
            "passthrough takes the service from the Host header",
            Exchange { cluster: Cluster::Passthrough, ..nobody(&out) },
            &[
                ("destination_service", "reviews:9080"),
                ("destination_service_name", "PassthroughCluster"),
                ("destination_service_namespace", "unknown"),
                ("destination_workload", "unknown"),
                ("destination_canonical_revision", "latest"),
                ("source_principal", "unknown"),
                ("destination_principal", "unknown"),
            ],
        ),
        (
            "REGISTRY_ONLY",
            Exchange { cluster: Cluster::BlackHole, ..nobody(&out) },
            &[
                ("destination_service", "reviews:9080"),
                ("destination_service_name", "BlackHoleCluster"),
            ],
        ),
        (
            "no route at a client",
            Exchange { cluster: Cluster::None, ..nobody(&out) },
            &[
                ("destination_service", "reviews:9080"),
                ("destination_service_name", "reviews:9080"),
            ],
        ),
        (
            "no route at a gateway: nobody can make labels by sending hosts",
            Exchange { cluster: Cluster::None, ..nobody(&gateway) },
            &[
                ("reporter", "source"),
                ("destination_service", "unknown"),
                ("destination_service_name", "unknown"),
            ],
        ),
        (
            "plain text at a server",
            Exchange { cluster: Cluster::Inbound { port: 9080 }, ..nobody(&inbound) },
            &[
                ("reporter", "destination"),
                ("source_principal", "unknown"),
                ("source_workload", "unknown"),
                ("source_canonical_revision", "latest"),
                ("destination_principal", "unknown"),
                ("destination_service", "front"),
                ("destination_service_name", "front"),
                ("connection_security_policy", "none"),
            ],
        ),
        (
            "a port that no service declares",
            Exchange { cluster: Cluster::InboundPassthrough, ..nobody(&inbound) },
            &[
                ("destination_service", "front"),
                ("destination_service_name", "InboundPassthroughCluster"),
            ],
        ),
        (
            "the proved namespace beats what is said",
            Exchange {
                upstream: Some(Upstream { peer_principal: CALLEE, ..Upstream::default() }),
                peer: Peer { namespace: "elsewhere", ..REVIEWS_V1 },
                service: Service { namespace: "", ..REVIEWS },
                ..call(&out)
            },
            &[
                ("destination_workload_namespace", "shop"),
                ("destination_service_namespace", "shop"),
                ("source_principal", "unknown"),
            ],
        ),
        (
            "a service without a name of its own",
            Exchange { service: Service { name: "", ..REVIEWS }, ..call(&out) },
            &[("destination_service_name", "reviews")],
        ),
        (
            "flags",
            Exchange { flags: Reason::NoHealthyUpstream.flags(), ..call(&out) },
            &[("response_flags", "UH"), ("connection_security_policy", "unknown")],
        ),
    ];
    for (case, exchange, expected) in table {
        let (_, text) = one_http(exchange, &own("front", "v2"));
        let (labels, _) = &samples(&text, "istio_requests_total")[0];
        for (name, value) in expected {
            assert_eq!(labels[*name], *value, "{case}: {name}");
        }
    }
}

#[test]
fn what_is_not_known_of_oneself_is_empty() {
    let facts = facts(Direction::Outbound, None);
    let (_, text) = one_http(call(&facts), &OwnWorkload::unknown());
    let (labels, _) = &samples(&text, "istio_requests_total")[0];
    assert_eq!(labels["source_workload"], "");
    assert_eq!(labels["source_canonical_revision"], "latest");
}

#[test]
fn histograms_and_messages_add_up() {
    let collector = Collector::new(Bounds::default());
    let mut workers = [collector.worker(), collector.worker()];
    let own = own("front", "v2");
    let facts = facts(Direction::Outbound, None);
    let captured = Captured::default();
    for (micros, worker) in [(500, 0), (501, 1), (12_345, 0), (9_000_000_000, 1)] {
        let exchange =
            Exchange { duration: std::time::Duration::from_micros(micros), ..call(&facts) };
        let mut record = http(exchange, &captured);
        let grpc = Grpc { status: Some(0), request_messages: 2, response_messages: 3 };
        record.grpc = Some(grpc);
        workers[worker].http(&record, &own);
    }
    let text = text(&collector);
    let buckets: Vec<(String, f64)> = samples(&text, "istio_request_duration_milliseconds_bucket")
        .into_iter()
        .map(|(labels, value)| (labels["le"].clone(), value))
        .collect();
    assert_eq!(buckets.len(), 20);
    let bucket = |le: &str| buckets.iter().find(|(bound, _)| bound == le).unwrap().1;
    for (le, count) in [("0.5", 1.0), ("1", 2.0), ("10", 2.0), ("25", 3.0), ("3600000", 3.0)] {
        assert!((bucket(le) - count).abs() < f64::EPSILON, "le {le}: {}", bucket(le));
    }
    let value = |name: &str| samples(&text, name)[0].1;
    let sum = 0.5 + 0.501 + 12.345 + 9_000_000.0;
    assert!((value("istio_request_duration_milliseconds_sum") - sum).abs() < 1e-3);
    assert!((value("istio_request_duration_milliseconds_count") - 4.0).abs() < f64::EPSILON);
    assert!((value("istio_request_messages_total") - 8.0).abs() < f64::EPSILON);
    assert!((value("istio_response_messages_total") - 12.0).abs() < f64::EPSILON);
    let (labels, requests) = &samples(&text, "istio_requests_total")[0];
    assert!((requests - 4.0).abs() < f64::EPSILON, "both workers under the same labels");
    assert_eq!((&*labels["request_protocol"], &*labels["grpc_response_status"]), ("grpc", "0"));
}

#[test]
fn tcp_connections_count_while_they_last() {
    let collector = Collector::new(Bounds::default());
    let mut worker = collector.worker();
    let facts = facts(Direction::Outbound, None);
    let meter = worker.tcp(&call(&facts), &own("front", "v2"));
    meter.received(10);
    meter.sent(5);
    meter.sent(5);
    let expect = |opened, closed, sent, received| {
        let text = text(&collector);
        for (name, value) in [
            ("connections_opened", opened),
            ("connections_closed", closed),
            ("sent_bytes", sent),
            ("received_bytes", received),
        ] {
            let name = format!("istio_tcp_{name}_total");
            let (labels, found) = &samples(&text, &name)[0];
            assert!((found - f64::from(value)).abs() < f64::EPSILON, "{name} is {found}");
            assert_eq!(labels["request_protocol"], "tcp");
            assert!(!labels.contains_key("response_code"));
        }
    };
    expect(1, 0, 10, 10);
    drop(meter);
    expect(1, 1, 10, 10);
}

#[test]
fn beyond_the_budget_everything_is_folded_and_said() {
    let collector = Collector::new(Bounds { series: 2, ..Bounds::default() });
    let mut workers = [collector.worker(), collector.worker()];
    let own = own("front", "v2");
    let facts = facts(Direction::Outbound, None);
    let captured = Captured::default();
    // Each worker stays within the budget by itself for the first two, together they do not.
    for (worker, statuses) in workers.iter_mut().zip([[200, 404, 500, 501], [200, 502, 503, 504]]) {
        for status in statuses {
            let mut record = http(call(&facts), &captured);
            record.status = status;
            worker.http(&record, &own);
        }
    }
    let text = text(&collector);
    let by_code: BTreeMap<String, f64> = samples(&text, "istio_requests_total")
        .into_iter()
        .map(|(labels, value)| (labels["response_code"].clone(), value))
        .collect();
    let expected = [("200", 2.0), ("404", 1.0), ("lateen_other", 5.0)];
    assert_eq!(by_code, expected.map(|(code, count)| (code.to_owned(), count)).into());
    let remainder = samples(&text, "istio_requests_total").pop().unwrap().0;
    assert_eq!(remainder.len(), 25);
    assert!(remainder.values().all(|value| value == "lateen_other"), "{remainder:?}");
    assert!(text.contains("lateen_telemetry_folded_total{kind=\"http\"} 5\n"));
    assert!(text.contains("lateen_telemetry_series{kind=\"http\"} 2\n"));
}

#[test]
fn idle_series_go_and_nothing_of_a_busy_one_is_lost() {
    let bounds = Bounds { idle: SWEEP * 2, ..Bounds::default() };
    let collector = Collector::new(bounds);
    let (mut first, mut second) = (collector.worker(), collector.worker());
    let own = own("front", "v2");
    let facts = facts(Direction::Outbound, None);
    let captured = Captured::default();
    first.http(&http(call(&facts), &captured), &own);
    second.http(&http(call(&facts), &captured), &own);
    let requests = |collector: &Collector| {
        samples(&text(collector), "istio_requests_total").first().map(|(_, value)| *value)
    };
    for _ in 0..3 {
        first.sweep(|_| {});
        second.http(&http(call(&facts), &captured), &own);
        second.sweep(|_| {});
    }
    assert_eq!(requests(&collector), Some(5.0), "the idle worker's part still counts");
    for _ in 0..3 {
        second.sweep(|_| {});
    }
    assert_eq!(requests(&collector), None, "nobody uses it");
    first.http(&http(call(&facts), &captured), &own);
    assert_eq!(requests(&collector), Some(1.0), "it begins anew");
}

#[test]
fn an_open_connection_keeps_its_series() {
    let collector = Collector::new(Bounds { idle: SWEEP, ..Bounds::default() });
    let mut worker = collector.worker();
    let facts = facts(Direction::Outbound, None);
    let meter = worker.tcp(&call(&facts), &own("front", "v2"));
    let mut used = Vec::new();
    for _ in 0..5 {
        assert!(worker.sweep(|entry| used.push(entry.to_owned())));
    }
    assert_eq!(used, [REVIEWS.host; 5], "the directory entry is in use");
    drop(meter);
    assert_eq!(samples(&text(&collector), "istio_tcp_connections_closed_total").len(), 1);
}

#[test]
fn sweeps_say_which_entries_were_used() {
    let collector = Collector::new(Bounds { series: 1, ..Bounds::default() });
    let mut worker = collector.worker();
    let own = own("front", "v2");
    let facts = facts(Direction::Outbound, None);
    let captured = Captured::default();
    let sweep = |worker: &mut WorkerMetrics| {
        let mut used = Vec::new();
        let complete = worker.sweep(|entry| used.push(entry.to_owned()));
        (used, complete)
    };
    worker.http(&http(call(&facts), &captured), &own);
    assert_eq!(sweep(&mut worker), (vec![REVIEWS.host.to_owned()], true));
    assert_eq!(sweep(&mut worker), (vec![], true));
    worker.http(&http(denied(&facts), &captured), &own);
    assert_eq!(sweep(&mut worker), (vec![], false), "what is folded has no name");
}

#[test]
fn prometheus_reads_it() {
    let collector = Collector::new(Bounds { series: 2, ..Bounds::default() });
    let mut worker = collector.worker();
    let own = own("front", "v2");
    let facts = facts(Direction::Outbound, None);
    let captured = Captured::default();
    for authority in ["a\"b\\c\nd", "plain", "ü", "more"] {
        let exchange =
            Exchange { cluster: Cluster::Passthrough, service: Service::default(), ..call(&facts) };
        let mut record = http(exchange, &captured);
        record.authority = authority;
        worker.http(&record, &own);
    }
    drop(worker.tcp(&call(&facts), &own));
    check_with_promtool(&text(&collector));
}

/// Lets Prometheus' own tool read the text, where it is installed. It also has opinions on names,
/// which are Istio's here: only what it cannot parse counts.
fn check_with_promtool(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(!complaints.contains("error while linting"), "{complaints}\n{text}");
    // 3 is for opinions.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{complaints}\n{text}");
}

#[test]
fn a_label_cannot_grow_without_limit() {
    let facts = facts(Direction::Outbound, None);
    let long = "ä".repeat(5000);
    let exchange = Exchange {
        service: Service { host: &long, name: &long, namespace: &long },
        ..call(&facts)
    };
    let (line, _) = one_http(exchange, &own("front", "v2"));
    assert!(line.len() < 5000, "{} bytes", line.len());
}
