//! One machine instead of a cluster.

use lateen_compiler::{Client, Options, Role};
use lateen_mesh::v1::{Discovery, endpoint::Health};

use crate::mesh::Mesh;

const MESH: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, labels: {app: web}}
spec: {serviceAccountName: web}
---
apiVersion: v1
kind: Pod
metadata: {name: plain-1, namespace: shop, labels: {app: web, sidecar.istio.io/inject: 'false'}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: db-1, namespace: shop, labels: {app: db}}
spec: {address: 127.0.0.1, serviceAccount: db}
";

fn local(text: &str) -> Mesh {
    Mesh::with(Options { local: true, ..Options::default() }, text)
}

#[test]
fn workloads_and_services_have_places_of_their_own() {
    let mut mesh = local(MESH);
    let addresses = mesh.compiler.addresses();
    let names: Vec<&str> = addresses.iter().map(|each| each.name.as_str()).collect();
    assert_eq!(names, ["db-1", "plain-1", "web-1"]);
    let bases: std::collections::BTreeSet<_> = addresses.iter().map(|each| each.base).collect();
    assert_eq!(bases.len(), 3);
    let web = &addresses[2];
    let [_, number, ..] = web.base.octets();
    assert_eq!(web.application.octets(), [127, number, 0, 1]);
    assert_eq!(web.sidecar.unwrap().octets(), [127, number, 0, 2]);
    assert_eq!(addresses[1].sidecar, None);
    assert_eq!((web.ports[0].port, web.ports[0].socket), (8080, 8080));
    let hosts: Vec<&str> = web.services.iter().map(|each| each.host.as_str()).collect();
    assert_eq!(hosts, ["db.shop.svc.cluster.local", "web.shop.svc.cluster.local"]);
    assert_eq!((web.services[1].ports[0].port, web.services[1].ports[0].socket), (80, 20_080));

    let client = mesh.compiler.workload("shop", "web-1", Role::Sidecar).unwrap();
    let seen = mesh.see(client);
    let offset = mesh.directory(&seen)["web.shop.svc.cluster.local"].local_offset;
    let expected = u32::from(web.base) + offset;
    assert_eq!(u32::from(web.services[1].address), expected);
    assert_eq!(mesh.inbound(&seen).local_base, web.base.octets().to_vec());

    let found = mesh.endpoints(&seen, "web.shop.svc.cluster.local/80/");
    let found: Vec<_> = found
        .iter()
        .map(|(each, _)| (each.addresses[0].to_vec(), each.port, each.mesh_tls))
        .collect();
    let plain = addresses[1].application.octets().to_vec();
    assert_eq!(found, [(plain, 8080, false), (web.sidecar.unwrap().octets().to_vec(), 8080, true)]);
    let db = mesh.destination(&seen, "db.shop.svc.cluster.local/5432/").unwrap();
    assert_eq!(db.discovery(), Discovery::Endpoints);
}

#[test]
fn sidecars_share_scopes() {
    let mut mesh = local(MESH);
    let scopes: Vec<_> = ["web-1", "db-1", "plain-1"]
        .into_iter()
        .map(|name| {
            let client = mesh.compiler.workload("shop", name, Role::Sidecar).unwrap();
            mesh.see(client).scope
        })
        .collect();
    assert!(scopes.iter().all(|scope| *scope == scopes[0]));
}

#[test]
fn another_process_comes_to_the_same_places() {
    let one = local(MESH).compiler.addresses();
    let mut documents: Vec<&str> = MESH.split("\n---\n").collect();
    documents.reverse();
    let mut other = local(&documents.join("\n---\n"));
    assert_eq!(other.compiler.addresses(), one);
    other.see(Client { namespace: "x".into(), name: "y".into(), ..Client::default() });
    assert!(other.compiler.workload("x", "y", Role::Sidecar).is_none());
}

#[test]
fn a_pod_is_ready_unless_it_is_said_not_to_be() {
    let ready = |conditions: &str| {
        let status = format!("status: {{conditions: [{conditions}]}}");
        let mut mesh = local(&MESH.replace("spec: {serviceAccountName: web}", &status));
        let client = mesh.compiler.workload("shop", "web-1", Role::Sidecar).unwrap();
        let seen = mesh.see(client);
        let found = mesh.endpoints(&seen, "web.shop.svc.cluster.local/80/");
        let (web, _) = found.iter().find(|(each, _)| each.mesh_tls).unwrap();
        web.health()
    };
    assert_eq!(ready(""), Health::Healthy);
    assert_eq!(ready("{type: Ready, status: 'True'}"), Health::Healthy);
    assert_eq!(ready("{type: Ready, status: 'False'}"), Health::Unhealthy);
    assert_eq!(ready("{type: Initialized, status: 'False'}"), Health::Healthy);
}
