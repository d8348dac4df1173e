//! Endpoints of services.

use lateen_api::kind::Kind;
use lateen_mesh::v1::endpoint::Health;

use crate::mesh::Mesh;

const WEB: &str = "web.shop.svc.cluster.local/80/";

fn service(spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn pod(name: &str, address: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web{labels}}},
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d, controller: true, uid: x}}]}}\n\
         spec: {{serviceAccountName: web, containers: [{{name: app, ports: [{{name: web, containerPort: 8080}}]}}]}}\n\
         status: {{podIP: {address}, conditions: [{{type: Ready, status: 'True'}}]}}\n---\n"
    )
}

fn slice(name: &str, endpoints: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, namespace: shop, \
         labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nendpoints: [{endpoints}]\n\
         ports: [{{name: http, port: 8080}}, {{name: metrics, port: 9000}}]\n---\n"
    )
}

const PLAIN: &str =
    "{clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: other, port: 81}]}";

/// Endpoints in short: `uid address:port health account tls`.
fn endpoints(mesh: &mut Mesh, name: &str) -> Vec<String> {
    let seen = mesh.sidecar("client");
    let found = mesh.endpoints(&seen, name);
    let short = found.iter().map(|(endpoint, template)| {
        let address = endpoint
            .addresses
            .iter()
            .map(|each| lateen_mesh::address::decode_address(each).unwrap().to_string());
        let address: Vec<String> = address.collect();
        let health = if endpoint.health() == Health::Healthy { "" } else { " unhealthy" };
        let tls = if endpoint.mesh_tls { " mtls" } else { "" };
        let account = template.identity.rsplit('/').next().unwrap();
        format!(
            "{} {}:{}{health} {account}{tls}",
            endpoint.workload_uid,
            address.join("+"),
            endpoint.port
        )
    });
    short.collect()
}

#[test]
fn slices_meet_pods_by_reference_or_address() {
    let ready = "{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-1, namespace: shop}}, {addresses: [10.1.0.2], conditions: {ready: false}}";
    let going = "{addresses: [10.1.0.3], conditions: {ready: false, serving: true, terminating: true}}, {addresses: [10.1.0.9]}";
    let mut mesh = Mesh::new(
        &(service(PLAIN)
            + &slice("web-a", ready)
            + &slice("web-b", going)
            + &pod("web-1", "10.1.0.1", ", version: v1, security.istio.io/tlsMode: istio")
            + &pod("web-2", "10.1.0.2", "")),
    );
    assert_eq!(
        endpoints(&mut mesh, WEB),
        [
            "10.1.0.9:8080 10.1.0.9:8080 ",
            "Kubernetes/shop/web-1 10.1.0.1:8080 web mtls",
            "Kubernetes/shop/web-2 10.1.0.2:8080 unhealthy web",
        ]
    );
    let seen = mesh.sidecar("client");
    let (_, template) = mesh.endpoints(&seen, WEB).remove(1);
    assert_eq!(template.identity, "spiffe://cluster.local/ns/shop/sa/web");
    assert_eq!((template.workload.as_str(), template.canonical_name.as_str()), ("web-5d", "web"));
    assert_eq!(
        (template.canonical_revision.as_str(), template.labels["version"].as_str()),
        ("v1", "v1")
    );
    assert_eq!(
        mesh.destination(&seen, WEB).unwrap().identities,
        ["spiffe://cluster.local/ns/shop/sa/web"]
    );
    let none = "web.shop.svc.cluster.local/81/";
    assert_eq!(endpoints(&mut mesh, none), [""; 0], "the slices have no such port");

    mesh.apply(&service(&PLAIN.replace("clusterIP", "publishNotReadyAddresses: true, clusterIP")));
    assert_eq!(endpoints(&mut mesh, WEB)[2], "Kubernetes/shop/web-2 10.1.0.2:8080 web");
    mesh.remove(Kind::Pod, "shop", "web-2");
    assert_eq!(endpoints(&mut mesh, WEB)[0], "10.1.0.2:8080 10.1.0.2:8080 ");
    mesh.remove(Kind::EndpointSlice, "shop", "web-b");
    assert_eq!(endpoints(&mut mesh, WEB).len(), 2);
}

#[test]
fn a_pod_in_slices_of_both_families_is_one_endpoint() {
    let target = "targetRef: {kind: Pod, name: web-1, namespace: shop}";
    let six = slice("web-6", &format!("{{addresses: ['fd00::1'], {target}}}"));
    let mut mesh = Mesh::new(
        &(service(PLAIN)
            + &slice("web-4", &format!("{{addresses: [10.1.0.1], {target}}}"))
            + &six.replace("IPv4", "IPv6")),
    );
    assert_eq!(endpoints(&mut mesh, WEB), ["Kubernetes/shop/web-1 10.1.0.1+fd00::1:8080 "]);
}

#[test]
fn addresses_of_both_families_stand_in_the_order_of_the_pod() {
    let target = "targetRef: {kind: Pod, name: web-1, namespace: shop}";
    let four = |name: &str| slice(name, &format!("{{addresses: [10.1.0.1], {target}}}"));
    let six = slice("web-6", &format!("{{addresses: ['fd00::1'], {target}}}"));
    let dual = |first: &str, second: &str| {
        let both = format!("podIP: '{first}', podIPs: [{{ip: '{first}'}}, {{ip: '{second}'}}]");
        pod("web-1", "10.1.0.1", "").replace("podIP: 10.1.0.1", &both)
    };
    let mut mesh = Mesh::new(&(service(PLAIN) + &dual("fd00::1", "10.1.0.1")));
    // While an endpoint moves from one slice to another it is in both.
    mesh.apply(&(four("web-4") + &six.replace("IPv4", "IPv6") + &four("web-7")));
    let of_web_1 = |addresses: &str| [format!("Kubernetes/shop/web-1 {addresses}:8080 web")];
    assert_eq!(endpoints(&mut mesh, WEB), of_web_1("fd00::1+10.1.0.1"));
    mesh.apply(&dual("10.1.0.1", "fd00::1"));
    assert_eq!(endpoints(&mut mesh, WEB), of_web_1("10.1.0.1+fd00::1"));
}

#[test]
fn on_the_network_of_a_node_one_pod_takes_the_place_of_another() {
    let of = |name: &str, conditions: &str| {
        format!(
            "{{addresses: [10.0.0.7], conditions: {{{conditions}}}, targetRef: {{kind: Pod, name: {name}}}}}"
        )
    };
    let going = of("web-1", "ready: false, serving: true, terminating: true");
    let ready = of("web-2", "ready: true, serving: true, terminating: false");
    for order in [[&going, &ready], [&ready, &going]] {
        let listed = format!("{}, {}", order[0], order[1]);
        let mut mesh = Mesh::new(
            &(service(PLAIN)
                + &slice("web-a", &listed)
                + &pod("web-1", "10.0.0.7", "")
                + &pod("web-2", "10.0.0.7", "")),
        );
        assert_eq!(endpoints(&mut mesh, WEB), ["Kubernetes/shop/web-2 10.0.0.7:8080 web"]);
        mesh.apply(&slice("web-a", &going));
        assert_eq!(endpoints(&mut mesh, WEB), [""; 0]);
    }
}

#[test]
fn who_ends_is_no_endpoint_unless_published_all_the_same() {
    // As Kubernetes writes slices: `publishNotReadyAddresses` makes all of them ready.
    for (conditions, expected) in [
        ("", Some("")),
        ("ready: true, terminating: true", Some("")),
        ("ready: false", Some(" unhealthy")),
        ("ready: false, serving: true, terminating: true", None),
        ("ready: false, serving: false, terminating: true", None),
    ] {
        let listed = format!("{{addresses: [10.1.0.1], conditions: {{{conditions}}}}}");
        let mut mesh = Mesh::new(&(service(PLAIN) + &slice("web-a", &listed)));
        let expected: Vec<String> = expected
            .map(|health| format!("10.1.0.1:8080 10.1.0.1:8080{health} "))
            .into_iter()
            .collect();
        assert_eq!(endpoints(&mut mesh, WEB), expected, "{conditions}");
    }
}

#[test]
fn peer_authentication_takes_the_mark_away() {
    let labels = ", security.istio.io/tlsMode: istio";
    let mut mesh = Mesh::new(
        &(service(PLAIN)
            + &slice("web-a", "{addresses: [10.1.0.1]}")
            + &pod("web-1", "10.1.0.1", labels)),
    );
    let marked = |mesh: &mut Mesh| endpoints(mesh, WEB)[0].ends_with("mtls");
    assert!(marked(&mut mesh));
    let policy = |selector: &str, ports: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: p, namespace: shop}}\nspec: {{selector: {{matchLabels: {{app: {selector}}}}}, mtls: {{mode: STRICT}}, portLevelMtls: {{{ports}: {{mode: DISABLE}}}}}}\n"
        )
    };
    mesh.apply(&policy("web", "80"));
    assert!(marked(&mut mesh), "the workload's port is meant, not the service's");
    mesh.apply(&policy("web", "8080"));
    assert!(!marked(&mut mesh));
    mesh.apply(&policy("db", "8080"));
    assert!(marked(&mut mesh));
}

#[test]
fn service_entries_list_or_select() {
    let text = pod("web-1", "10.1.0.1", "")
        + "
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-1, namespace: shop, labels: {app: web}}
spec: {address: 10.2.0.1, serviceAccount: vm, ports: {http: 7070}, weight: 5, locality: eu/a}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm-2, namespace: other, labels: {app: web}}
spec: {address: 10.2.0.2}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: select, namespace: shop}
spec: {hosts: [select.com], location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {labels: {app: web}}, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: list, namespace: shop}
spec: {hosts: [list.com], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.3.0.1, ports: {http: 1}}, {address: 10.3.0.1, ports: {http: 2}}, {address: 'unix:///run/x.sock'}], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: list, namespace: aaa}
spec: {hosts: [list.com], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 10.4.0.1}], ports: [{number: 80, name: http, protocol: HTTP}], exportTo: [.]}
";
    let mut mesh = Mesh::new(&text);
    assert_eq!(
        endpoints(&mut mesh, "select.com/80/"),
        ["Kubernetes/shop/vm-1 10.2.0.1:7070 vm mtls", "Kubernetes/shop/web-1 10.1.0.1:8080 web"]
    );
    assert_eq!(
        endpoints(&mut mesh, "list.com/80/"),
        ["/run/x.sock :80 ", "10.3.0.1:1 10.3.0.1:1 ", "10.3.0.1:2 10.3.0.1:2 "],
        "only those of the namespace that has the host"
    );
    mesh.apply(&pod("web-1", "10.1.0.1", "").replace("app: web", "app: gone"));
    assert_eq!(endpoints(&mut mesh, "select.com/80/").len(), 1);
    mesh.apply(&service("{clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}"));
    assert_eq!(
        endpoints(&mut mesh, WEB),
        ["Kubernetes/shop/vm-1 10.2.0.1:7070 vm mtls"],
        "Kubernetes lists its pods itself"
    );
}

#[test]
fn many_endpoints_take_slices_of_bounded_size() {
    let endpoints = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|at| format!("{{addresses: [10.1.{}.{}]}}", at / 250, at % 250 + 1))
            .collect();
        slice("web-a", &all.join(", "))
    };
    let mut mesh = Mesh::new(&(service(PLAIN) + &endpoints(1)));
    let seen = mesh.sidecar("client");
    for (count, expected) in [(64, 1), (65, 2), (1000, 32), (64, 1)] {
        mesh.apply(&endpoints(count));
        let destination = mesh.destination(&seen, WEB).unwrap();
        assert_eq!(destination.endpoint_slices.len(), expected, "{count}");
        assert_eq!(mesh.endpoints(&seen, WEB).len(), count);
    }
    let destination = mesh.destination(&seen, WEB).unwrap();
    assert_eq!(destination.endpoint_slices.len(), 1);
}

#[test]
fn a_workload_is_where_its_node_is() {
    let on_node = |name: &str, address: &str, labels: &str, node: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{app: web{labels}}}}}\n\
             spec: {{nodeName: {node}, containers: []}}\nstatus: {{podIP: {address}}}\n---\n"
        )
    };
    let node = |name: &str, labels: &str| {
        format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{{labels}}}}}\n---\n"
        )
    };
    let region = "topology.kubernetes.io/region: r1";
    let all = "{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}, {addresses: [10.1.0.3]}";
    let mut mesh = Mesh::new(
        &(service(PLAIN)
            + &slice("web-a", all)
            + &on_node("web-1", "10.1.0.1", "", "n1")
            + &on_node("web-2", "10.1.0.2", ", topology.istio.io/locality: own.place", "n1")
            + &on_node("web-3", "10.1.0.3", "", "n2")
            + &node("n1", &format!("{region}, topology.kubernetes.io/zone: z1"))),
    );
    let seen = mesh.sidecar("client");
    let localities = |mesh: &mut Mesh| -> Vec<String> {
        let found = mesh.endpoints(&seen, WEB);
        found.into_iter().map(|(_, template)| template.locality).collect()
    };
    assert_eq!(localities(&mut mesh), ["r1/z1", "own/place", ""]);
    let client = mesh.compiler.workload("shop", "web-1", lateen_compiler::Role::Sidecar);
    assert_eq!(client.unwrap().locality, "r1/z1");

    mesh.apply(&node("n2", &format!("{region}, topology.istio.io/subzone: s")));
    assert_eq!(localities(&mut mesh), ["r1/z1", "own/place", "r1//s"]);
    mesh.remove(Kind::Node, "", "n1");
    assert_eq!(localities(&mut mesh), ["", "own/place", "r1//s"]);
}
