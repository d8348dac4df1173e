//! What exists in a scope.

use lateen_api::kind::Kind;
use lateen_mesh::address::{Block, unpack_port};
use lateen_mesh::v1::{EntryKind, OutboundPolicy, Protocol};

use crate::mesh::{Mesh, ports};

fn service(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {spec}\n"
    )
}

fn entry(namespace: &str, name: &str, created: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, \
         namespace: {namespace}, creationTimestamp: \"{created}\"}}\nspec: {spec}\n"
    )
}

fn sidecar(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {spec}\n"
    )
}

const HTTP: &str = "{clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}";
const OLD: &str = "2019-01-01T00:00:00Z";
const NEW: &str = "2021-01-01T00:00:00Z";

/// Hosts in the directory of a namespace's sidecars.
fn hosts(mesh: &mut Mesh, namespace: &str) -> Vec<String> {
    let seen = mesh.sidecar(namespace);
    let suffix = ".svc.cluster.local";
    mesh.directory(&seen).keys().map(|host| host.trim_end_matches(suffix).to_owned()).collect()
}

#[test]
fn entries_say_what_was_declared() {
    let spec = "{clusterIP: 10.0.0.7, clusterIPs: [10.0.0.7, 'fd00::7'], ports: [
        {name: http-web, port: 80}, {name: web, port: 81, appProtocol: kubernetes.io/h2c},
        {name: mysql, port: 3306}, {name: grpc-api, port: 9090}, {name: x, port: 5}, {name: https, port: 443},
        {name: dns, port: 53, protocol: UDP}]}";
    let slice = "
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.2]}, {addresses: [10.1.0.1]}]
ports: [{name: tcp, port: 5432}]
";
    let text = service("shop", "web", spec)
        + &service("shop", "db", "{clusterIP: None, ports: [{name: tcp, port: 5432}]}")
        + slice
        + &entry(
            "shop",
            "out",
            OLD,
            "{hosts: ['*.Example.com'], addresses: [192.168.0.0/16, 1.2.3.4], ports: [{number: 443, name: tls, protocol: TLS}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = mesh.sidecar("other");
    let directory = mesh.directory(&seen);
    let web = &directory["web.shop.svc.cluster.local"];
    let declared: Vec<_> = web.ports.iter().map(|port| unpack_port(*port).unwrap()).collect();
    assert_eq!(
        declared,
        [
            (80, Protocol::Http),
            (81, Protocol::Http2),
            (3306, Protocol::Tcp),
            (9090, Protocol::Grpc),
            (5, Protocol::Auto),
            (443, Protocol::Tls),
        ]
    );
    assert_eq!(web.kind(), EntryKind::Kubernetes);
    let addresses: Vec<_> =
        web.addresses.iter().map(|bytes| Block::decode(bytes).unwrap()).collect();
    let single = |text: &str| Block::single(text.parse().unwrap());
    assert_eq!(addresses, [single("10.0.0.7"), single("fd00::7")]);

    let db = &directory["db.shop.svc.cluster.local"];
    assert_eq!(db.kind(), EntryKind::Headless);
    assert_eq!(db.addresses, [vec![10, 1, 0, 1], vec![10, 1, 0, 2]]);

    let out = &directory["*.example.com"];
    assert_eq!(out.kind(), EntryKind::Service);
    assert_eq!(out.addresses, [vec![1, 2, 3, 4], vec![192, 168, 0, 0, 16]]);
}

#[test]
fn exports_hide_services() {
    let mut mesh = Mesh::new(
        &(service("shop", "all", HTTP)
            + &entry(
                "shop",
                "own",
                OLD,
                "{hosts: [own.com], exportTo: [.], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
            )
            + &entry(
                "shop",
                "some",
                OLD,
                "{hosts: [some.com], exportTo: [bank], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
            )
            + &entry(
                "shop",
                "none",
                OLD,
                "{hosts: [none.com], exportTo: ['~'], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}",
            )),
    );
    assert_eq!(hosts(&mut mesh, "shop"), ["all.shop", "own.com"]);
    assert_eq!(hosts(&mut mesh, "bank"), ["all.shop", "some.com"]);
    assert_eq!(hosts(&mut mesh, "other"), ["all.shop"]);
    mesh.apply(
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'defaultServiceExportTo: [.]'}
",
    );
    assert_eq!(hosts(&mut mesh, "bank"), ["some.com"]);
    assert_eq!(hosts(&mut mesh, "shop"), ["all.shop", "own.com"]);
    mesh.remove(Kind::MeshConfig, "istio-system", "istio");
    mesh.remove(Kind::ConfigMap, "istio-system", "istio");
    assert_eq!(hosts(&mut mesh, "other"), ["all.shop"]);
}

#[test]
fn a_sidecar_narrows_the_directory_in_all_its_forms() {
    let services = ["a", "b"]
        .map(|namespace| ["one", "two"].map(|name| service(namespace, name, HTTP)).concat())
        .concat();
    for (egress, expected) in [
        ("[{hosts: ['*/*']}]", vec!["one.a", "one.b", "two.a", "two.b"]),
        ("[{hosts: ['./*']}]", vec!["one.a", "two.a"]),
        ("[{hosts: ['b/*']}]", vec!["one.b", "two.b"]),
        ("[{hosts: ['~/*']}]", vec![]),
        ("[{hosts: ['*/one.b.svc.cluster.local', './*']}]", vec!["one.a", "one.b", "two.a"]),
        ("[{hosts: ['*/*.b.svc.cluster.local']}]", vec!["one.b", "two.b"]),
        ("[{hosts: ['*/*', '~b/*']}]", vec!["one.a", "two.a"]),
        ("[{hosts: ['*/*', '~b/two.b.svc.cluster.local']}]", vec!["one.a", "one.b", "two.a"]),
        ("[{port: {number: 81, name: http, protocol: HTTP}, hosts: ['*/*']}]", vec![]),
        (
            "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['a/*']}, {hosts: ['b/*']}]",
            vec!["one.a", "one.b", "two.a", "two.b"],
        ),
    ] {
        let mut mesh = Mesh::new(
            &(services.clone() + &sidecar("a", "default", &format!("{{egress: {egress}}}"))),
        );
        assert_eq!(hosts(&mut mesh, "a"), expected, "{egress}");
        assert_eq!(hosts(&mut mesh, "b").len(), 4, "others are not concerned");
    }
}

#[test]
fn the_closest_sidecar_counts() {
    let policy = |mesh: &mut Mesh, namespace: &str, labels: &[(&str, &str)]| {
        let seen = mesh.labelled(namespace, labels);
        mesh.settings(&seen).outbound_policy()
    };
    let registry = "{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}";
    let any = "{outboundTrafficPolicy: {mode: ALLOW_ANY}}";
    let mut mesh = Mesh::new(&sidecar("istio-system", "root", registry));
    assert_eq!(policy(&mut mesh, "a", &[]), OutboundPolicy::RegistryOnly);
    mesh.apply(&sidecar("a", "default", any));
    assert_eq!(policy(&mut mesh, "a", &[]), OutboundPolicy::AllowAny);
    assert_eq!(policy(&mut mesh, "b", &[]), OutboundPolicy::RegistryOnly);
    let changes = mesh.apply(&sidecar(
        "a",
        "web",
        "{workloadSelector: {labels: {app: web}}, outboundTrafficPolicy: {mode: REGISTRY_ONLY}}",
    ));
    assert!(changes.scopes, "a new selector may split scopes");
    assert_eq!(policy(&mut mesh, "a", &[("app", "web")]), OutboundPolicy::RegistryOnly);
    assert_eq!(policy(&mut mesh, "a", &[("app", "db")]), OutboundPolicy::AllowAny);
    let gateway = mesh.gateway("a", &[("app", "web")]);
    assert_eq!(mesh.settings(&gateway).outbound_policy(), OutboundPolicy::AllowAny);
}

#[test]
fn one_host_in_several_namespaces_is_one_entry() {
    let se = |namespace: &str, created: &str, port: u16| {
        entry(
            namespace,
            "x",
            created,
            &format!(
                "{{hosts: [x.com, web.shop.svc.cluster.local], resolution: DNS, ports: [{{number: {port}, name: http, protocol: HTTP}}]}}"
            ),
        )
    };
    let text = se("a", NEW, 1) + &se("b", OLD, 2) + &service("shop", "web", HTTP);
    let mut mesh = Mesh::new(&text);
    let port = |mesh: &mut Mesh, namespace: &str, host: &str| {
        let seen = mesh.sidecar(namespace);
        ports(&mesh.directory(&seen)[host])
    };
    assert_eq!(port(&mut mesh, "a", "x.com"), [1], "the own namespace first");
    assert_eq!(port(&mut mesh, "b", "x.com"), [2]);
    assert_eq!(port(&mut mesh, "c", "x.com"), [2], "then the oldest");
    assert_eq!(port(&mut mesh, "a", "web.shop.svc.cluster.local"), [80], "Kubernetes before all");
    let both = se("a", NEW, 1)
        + &entry(
            "a",
            "y",
            OLD,
            "{hosts: [x.com], resolution: DNS, ports: [{number: 3, name: tcp, protocol: TCP}]}",
        );
    mesh.apply(&both);
    assert_eq!(port(&mut mesh, "a", "x.com"), [3, 1], "of one namespace they are one");
}

#[test]
fn a_namespace_with_many_hosts_takes_more_slices() {
    let many = |count: usize| -> String {
        (0..count).map(|at| service("shop", &format!("s{at}"), HTTP)).collect()
    };
    let mut mesh = Mesh::new(&many(64));
    let seen = mesh.sidecar("shop");
    let slices = |mesh: &mut Mesh| {
        let roots = mesh.compiler.roots(seen.scope, &seen.client);
        roots.iter().filter(|name| name.to_string().starts_with("directory/")).count()
    };
    assert_eq!(slices(&mut mesh), 1);
    let changes = mesh.apply(&service("shop", "one-more", HTTP));
    assert_eq!(changes.roots, [seen.scope]);
    assert_eq!(slices(&mut mesh), 2);
    assert_eq!(mesh.directory(&seen).len(), 65);
    mesh.apply(&many(200));
    assert_eq!(slices(&mut mesh), 4);
    assert_eq!(mesh.directory(&seen).len(), 201);
}
