//! Questions about the demo's mesh.

use std::path::{Path, PathBuf};

use super::hop::Hop;
use super::outbound;
use super::question::Question;
use super::report::Report;
use crate::commands::offline::Offline;

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/mesh")
}

fn ask_of(dir: &Path, from: &str, method: &str, url: &str, headers: &[&str]) -> Report {
    let mut offline = Offline::load(dir).unwrap();
    let (namespace, name) = from.split_once('/').unwrap();
    let client = offline.client(namespace, name).unwrap();
    let first = Hop::new(&mut offline, client).unwrap();
    let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
    let question = Question::new(method, url, &headers).unwrap();
    outbound::explain(&mut offline, &first, &question).unwrap()
}

fn ask(from: &str, url: &str, headers: &[&str]) -> Report {
    ask_of(&demo(), from, "GET", url, headers)
}

/// The demo's mesh with one more object.
fn with(yaml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(demo()).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(dir.path().join("more.yaml"), yaml).unwrap();
    dir
}

const VISITOR: &str = "shop/visitor";
const GATEWAY: &str = "istio-system/ingressgateway";

/// `name: action → answer`, and the cluster of each backend.
fn short(report: &Report) -> (String, Vec<&str>) {
    let (name, action, backends) = match &report.route {
        None => ("", "", Vec::new()),
        Some(route) => {
            let backends = route.backends.iter().map(|backend| &*backend.destination);
            (route.name.as_str(), route.action, backends.collect())
        }
    };
    (format!("{name}: {action} → {}", report.answer), backends)
}

#[test]
fn the_demo_is_explained() {
    let catalog = "outbound|80||catalog.shop.svc.cluster.local";
    let (v1, v2) = (
        "outbound|80|v1|catalog.shop.svc.cluster.local",
        "outbound|80|v2|catalog.shop.svc.cluster.local",
    );
    let orders = "outbound|80||orders.shop.svc.cluster.local";
    let root = "AuthorizationPolicy istio-system/forbidden spec.rules[0]";
    let internal = "AuthorizationPolicy shop/catalog-internal spec.rules[0]";
    let denied = |by: &str| format!("refused with 403, by {by} (authorization_denied)");
    let served = |rule: &str| format!("served, by VirtualService shop/{rule}");
    let cases: [(&str, &str, &str, String, Vec<&str>); 10] = [
        (
            VISITOR,
            "http://catalog/",
            "canary: forward",
            served("catalog spec.http[1]"),
            vec![v1, v2],
        ),
        (
            VISITOR,
            "http://catalog.shop/fragile/1",
            "fragile: forward",
            served("catalog spec.http[0]"),
            vec![catalog],
        ),
        (VISITOR, "http://catalog/internal", "canary: forward", denied(internal), vec![v1, v2]),
        (
            VISITOR,
            "http://orders/slow",
            "impatient: forward",
            served("orders spec.http[0]"),
            vec![orders],
        ),
        (VISITOR, "http://orders/forbidden", "orders: forward", denied(root), vec![orders]),
        // The path is brought into one form before anything looks at it.
        (VISITOR, "http://orders/a/../forbidden", "orders: forward", denied(root), vec![orders]),
        (
            VISITOR,
            "http://nowhere.example/",
            "block_all: refuse",
            "refused with 502, by ConfigMap istio-system/istio data.mesh.outboundTrafficPolicy \
             (not_in_registry)"
                .to_owned(),
            vec![],
        ),
        // At the gateway before anything is routed; the gateway may read what is internal.
        (GATEWAY, "http://shop.example/forbidden", ": ", denied(root), vec![]),
        (
            GATEWAY,
            "http://shop.example/internal",
            "canary: forward",
            served("catalog spec.http[1]"),
            vec![v1, v2],
        ),
        // A rewritten path is what the workload's own policies see.
        (
            GATEWAY,
            "http://shop.example/orders/forbidden",
            "orders: forward",
            denied(root),
            vec![orders],
        ),
    ];
    for (from, url, route, answer, backends) in cases {
        let report = ask(from, url, &[]);
        let expected = (format!("{route} → {answer}"), backends);
        assert_eq!(short(&report), expected, "{from} {url}\n{}", report.text(true));
        assert!(!report.decisions.is_empty());
    }
}

#[test]
fn endpoints_are_those_of_every_backend() {
    let canary = ask(VISITOR, "http://catalog/", &[]);
    assert_eq!(canary.endpoints.len(), 2);
    let backends = &canary.route.as_ref().unwrap().backends;
    let weights: Vec<u64> = backends.iter().map(|backend| backend.weight).collect();
    assert_eq!(weights, [90, 10]);
    assert!(canary.endpoints.iter().all(|address| address.ends_with(".0.2:8080")));
    let workloads: Vec<&str> =
        backends.iter().flat_map(|it| &it.endpoints).map(|it| it.workload.as_str()).collect();
    assert_eq!(workloads, ["Kubernetes/shop/catalog-v1", "Kubernetes/shop/catalog-v2"]);
}

#[test]
fn the_host_header_says_what_is_asked_for() {
    let report = ask(VISITOR, "http://catalog/", &["host: orders"]);
    assert_eq!(
        report.route.unwrap().backends[0].destination,
        "outbound|80||orders.shop.svc.cluster.local"
    );
}

#[test]
fn earlier_rules_say_why_they_did_not_match() {
    let report = ask(VISITOR, "http://catalog/x", &[]);
    let skipped = report
        .decisions
        .iter()
        .find(|step| step.what == "route" && !step.matched)
        .expect("the first rule is for /fragile");
    assert_eq!(skipped.at, VISITOR);
    assert_eq!(skipped.object, "VirtualService shop/catalog spec.http[0].match[0]");
    assert!(skipped.why.contains("/fragile"), "{}", skipped.why);
}

#[test]
fn one_backend_that_refuses_is_the_verdict() {
    let dir = with(
        "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: second, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog, version: v2}}
  action: DENY
  rules: [{to: [{operation: {methods: [POST]}}]}]
",
    );
    let report = ask_of(dir.path(), VISITOR, "POST", "http://catalog/", &[]);
    let answers: Vec<bool> = report
        .route
        .as_ref()
        .unwrap()
        .backends
        .iter()
        .map(|backend| backend.answer.verdict.allowed)
        .collect();
    assert_eq!(answers, [true, false]);
    assert_eq!(report.answer.verdict.status, Some(403));
    assert_eq!(report.answer.verdict.decided_by, "AuthorizationPolicy shop/second spec.rules[0]");
}

#[test]
fn plain_text_to_a_strict_workload_is_refused() {
    let dir = with(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec:
  host: orders
  trafficPolicy: {tls: {mode: DISABLE}}
",
    );
    let report = ask_of(dir.path(), VISITOR, "GET", "http://orders/", &[]);
    assert_eq!(
        report.answer.to_string(),
        "refused with 503, by PeerAuthentication istio-system/default spec.mtls (mtls_required)"
    );
}

#[test]
fn somebody_else_than_expected_is_refused() {
    let dir = with(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: orders, namespace: shop}
spec:
  host: orders
  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://cluster.local/ns/shop/sa/other]}
",
    );
    let report = ask_of(dir.path(), VISITOR, "GET", "http://orders/", &[]);
    assert_eq!(report.answer.reason, Some("upstream_identity_mismatch"), "{}", report.text(true));
}

#[test]
fn questions_that_make_no_sense_are_told() {
    let refuse = |method: &str, url: &str, headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        Question::new(method, url, &headers).unwrap_err().to_string()
    };
    assert_eq!(refuse("GET", "/path", &[]), "the URL has no host");
    assert_eq!(refuse("GET", "ftp://host/", &[]), "ftp is not http or https");
    assert_eq!(refuse("GET", "http://host/", &["no"]), "header \"no\" is not `name: value`");
    assert!(Question::new("G T", "http://host/", &[]).is_err());
    let mut offline = Offline::load(&demo()).unwrap();
    let error = offline.client("shop", "nobody").unwrap_err().to_string();
    assert!(error.contains("shop/visitor"), "{error}");
    assert!(offline.clients().len() == 5);
    let gateway = offline.client("istio-system", "ingressgateway").unwrap();
    assert!(Hop::new(&mut offline, gateway).unwrap().is_gateway());
}

#[test]
fn lines_are_read_as_questions() {
    let line = r#"{"method":"POST","url":"http://orders:8080/a?b","headers":["x-a: 1","Host: x"]}"#;
    let question = Question::parse(line).unwrap();
    assert_eq!((&*question.host, question.port, &*question.authority), ("orders", 8080, "x"));
    assert_eq!(question.path_and_query, "/a?b");
    assert_eq!(question.headers.len(), 1);
    assert!(Question::parse(r#"{"method":"GET"}"#).is_err());
}

/// Pods with the addresses that a cluster gives them, two of them with a sidecar, and a gateway.
const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: web, containers: [{name: nginx}]}
status: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}], phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: friend-1, namespace: shop, labels: {app: friend, security.istio.io/tlsMode: istio}}
spec: {serviceAccountName: friend, containers: [{name: curl}]}
status: {podIP: 10.1.0.2, podIPs: [{ip: 10.1.0.2}], phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: stranger-1, namespace: shop, labels: {app: stranger}}
spec: {containers: [{name: curl}]}
status: {podIP: 10.1.0.3, podIPs: [{ip: 10.1.0.3}], phase: Running}
---
apiVersion: v1
kind: Pod
metadata: {name: gateway-1, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {serviceAccountName: gateway, containers: [{name: istio-proxy}]}
status: {podIP: 10.1.0.4, podIPs: [{ip: 10.1.0.4}], phase: Running}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-1, namespace: shop}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [web]
  http: [{route: [{destination: {host: web}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - from: [{source: {namespaces: [istio-system]}}]
    - from: [{source: {ipBlocks: [10.1.0.2]}}]
      to: [{operation: {paths: [/by-address]}}]
"#;

#[test]
fn a_cluster_is_explained() {
    let documents = lateen_api::yaml::documents(CLUSTER);
    let objects: Vec<_> =
        documents.into_iter().map(|it| lateen_inject::from_tree(&it.unwrap())).collect();
    let mut offline = Offline::of_cluster(&objects, lateen_compiler::Options::default());
    let mut ask = |namespace: &str, name: &str, url: &str| {
        let client = offline.client(namespace, name).unwrap();
        let first = Hop::new(&mut offline, client).unwrap();
        let question = Question::new("GET", url, &[]).unwrap();
        let report = outbound::explain(&mut offline, &first, &question).unwrap();
        (report.answer.to_string(), report.endpoints)
    };
    let endpoints = vec!["10.1.0.1:80".to_owned()];
    let served = |by: &str| (format!("served, by {by}"), endpoints.clone());
    let denied = "refused with 403, by default of the mesh (authorization_denied)";
    assert_eq!(ask("shop", "friend-1", "http://web/"), (denied.to_owned(), endpoints.clone()));
    assert_eq!(ask("shop", "friend-1", "http://web/by-address"), served("Service shop/web spec"));
    let routed = served("VirtualService shop/web spec.http[0]");
    assert_eq!(ask("istio-system", "gateway-1", "http://shop.example/"), routed);

    let stranger = offline.client("shop", "stranger-1").unwrap();
    assert!(!Hop::new(&mut offline, stranger).unwrap().has_proxy());
}
