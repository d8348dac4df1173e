//! What workloads accept.

use lateen_api::kind::Kind;
use lateen_compiler::Client;
use lateen_mesh::v1::{self, MtlsMode, Protocol};

use crate::mesh::{Mesh, Seen, pairs};

const POD: &str = "
apiVersion: v1
kind: Pod
metadata:
  name: web-5d-x1
  namespace: shop
  labels: {app: web, version: v2, pod-template-hash: 5d, topology.istio.io/locality: eu.a.1}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d, controller: true, uid: x}]
spec: {serviceAccountName: web, containers: [{name: app, ports: [{name: main, containerPort: 8080}]}]}
status: {podIP: 10.1.0.1, podIPs: [{ip: 10.1.0.1}, {ip: 'fd00::1'}]}
---
apiVersion: v1
kind: Service
metadata: {name: young, namespace: shop, creationTimestamp: '2022-01-01T00:00:00Z'}
spec: {clusterIP: 10.0.0.2, selector: {app: web}, ports: [{name: tcp, port: 1, targetPort: 8080}, {name: grpc, port: 2, targetPort: 9090}]}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: shop, creationTimestamp: '2021-01-01T00:00:00Z'}
spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: main}, {name: dns, port: 53, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: old-1, namespace: shop, labels: {kubernetes.io/service-name: old}}
endpoints: [{addresses: [10.1.0.1]}]
ports: [{name: http, port: 8080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: young-1, namespace: shop, labels: {kubernetes.io/service-name: young}}
endpoints: [{addresses: [10.1.0.1], targetRef: {kind: Pod, name: web-5d-x1, namespace: shop}}]
ports: [{name: tcp, port: 8080}]
---
";

fn pod(mesh: &mut Mesh) -> Seen {
    mesh.see(Client {
        namespace: "shop".to_owned(),
        name: "web-5d-x1".to_owned(),
        labels: pairs(&[("claimed", "by the node")]),
        ..Client::default()
    })
}

fn authentication(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {spec}\n"
    )
}

#[test]
fn ports_come_from_the_services_that_select_the_workload() {
    let mut mesh = Mesh::new(POD);
    let seen = pod(&mut mesh);
    let inbound = mesh.inbound(&seen);
    let ports: Vec<_> = inbound
        .ports
        .iter()
        .map(|port| (port.port, port.protocol(), port.service_name.as_str(), port.service_port))
        .collect();
    assert_eq!(
        ports,
        [(8080, Protocol::Http, "old", 80), (9090, Protocol::Grpc, "young", 2)],
        "of two services with one port the older counts"
    );
    let workload = inbound.workload.clone().unwrap();
    assert_eq!(workload.uid, "Kubernetes/shop/web-5d-x1");
    assert_eq!((workload.owner_name.as_str(), workload.owner_kind.as_str()), ("web", "deployment"));
    assert_eq!(
        (workload.canonical_name.as_str(), workload.canonical_revision.as_str()),
        ("web", "v2")
    );
    assert_eq!(workload.service_account, "web");
    assert_eq!(workload.locality, "eu/a/1");
    assert_eq!(workload.addresses.len(), 2);
    assert!(!workload.labels.contains_key("claimed"), "objects know better than nodes");
    assert_eq!((inbound.mtls(), inbound.mtls_origin), (MtlsMode::Permissive, None));
}

#[test]
fn a_client_without_an_object_is_found_by_its_address() {
    let mut mesh = Mesh::new(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app, namespace: default}
spec: {hosts: [app.com], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{address: 1.1.1.1, ports: {http: 7000}}, {address: 2.2.2.2}], ports: [{number: 80, name: http, protocol: HTTP}, {number: 81, name: tcp, protocol: TCP, targetPort: 8081}]}
",
    );
    let seen = mesh.see(Client {
        namespace: "default".to_owned(),
        name: "app".to_owned(),
        addresses: vec!["1.1.1.1".parse().unwrap()],
        ..Client::default()
    });
    let ports: Vec<_> = mesh.inbound(&seen).ports.iter().map(|port| port.port).collect();
    assert_eq!(ports, [7000, 8081]);
    mesh.compiler.release("default", "app");
    assert!(mesh.output(&seen, "inbound/default/app").is_none());
}

#[test]
fn the_closest_peer_authentication_counts() {
    let mut mesh = Mesh::new(POD);
    let seen = pod(&mut mesh);
    let read = |mesh: &mut Mesh| {
        let inbound = mesh.inbound(&seen);
        let ports: Vec<_> = inbound.ports.iter().map(v1::InboundPort::mtls).collect();
        let others: Vec<_> =
            inbound.port_mtls.iter().map(|each| (each.port, each.mtls())).collect();
        (inbound.mtls(), ports, others)
    };
    use MtlsMode::{Disable, Permissive, Strict};
    mesh.apply(&authentication("istio-system", "mesh", "{mtls: {mode: STRICT}}"));
    assert_eq!(read(&mut mesh), (Strict, vec![Strict, Strict], vec![]));
    mesh.apply(&authentication(
        "istio-system",
        "picky",
        "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}",
    ));
    assert_eq!(read(&mut mesh).0, Strict, "the root namespace selects nobody");
    mesh.apply(&authentication("shop", "namespace", "{mtls: {mode: PERMISSIVE}}"));
    assert_eq!(read(&mut mesh).0, Permissive);
    mesh.apply(&authentication("shop", "unset", "{selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: STRICT}, 7000: {mode: DISABLE}, 9090: {mode: UNSET}}}"));
    assert_eq!(
        read(&mut mesh),
        (Permissive, vec![Strict, Permissive], vec![(7000, Disable)]),
        "ports are the workload's"
    );
    mesh.remove(Kind::PeerAuthentication, "shop", "unset");
    mesh.remove(Kind::PeerAuthentication, "shop", "namespace");
    mesh.remove(Kind::PeerAuthentication, "istio-system", "mesh");
    assert_eq!(read(&mut mesh).0, Permissive);
}

#[test]
fn policies_of_the_root_and_of_the_own_namespace_apply() {
    let policy = |namespace: &str, name: &str, spec: &str| {
        format!(
            "\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"
        )
    };
    let mut mesh = Mesh::new(
        &(POD.to_owned()
            + &policy("istio-system", "all", "{}")
            + &policy("istio-system", "web", "{selector: {matchLabels: {app: web}}}")
            + &policy("istio-system", "db", "{selector: {matchLabels: {app: db}}}")
            + &policy("shop", "own", "{selector: {matchLabels: {version: v2}}}")
            + &policy("shop", "waypoint", "{targetRefs: [{kind: Service, group: '', name: old}]}")
            + &policy("bank", "other", "{}")),
    );
    let seen = pod(&mut mesh);
    let expected = ["policy/istio-system/all", "policy/istio-system/web", "policy/shop/own"];
    assert_eq!(mesh.inbound(&seen).policies, expected);
    let output = mesh.output(&seen, "inbound/shop/web-5d-x1").unwrap();
    let references: Vec<String> = output.references.iter().map(ToString::to_string).collect();
    assert_eq!(references, expected);
}
