//! How services are reached.

use lateen_compiler::Options;
use lateen_mesh::v1::{
    self, Discovery, OutboundPolicy, load_balancing::Policy, upstream_tls::Mode,
};

use crate::mesh::Mesh;

const WEB: &str = "web.shop.svc.cluster.local";

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}, {name: tcp, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: tcp, port: 5432}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: out, namespace: shop}
spec: {hosts: [api.com], resolution: DNS, subjectAltNames: [cert.api.com], ports: [{number: 443, name: https, protocol: HTTPS, targetPort: 8443}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: any, namespace: shop}
spec: {hosts: ['*.any.com'], ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: named, namespace: shop}
spec:
  hosts: [named.com]
  location: MESH_INTERNAL
  resolution: DNS
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: us.named.com, ports: {http: 8080}, labels: {region: us}, weight: 3}, {address: eu.named.com, serviceAccount: named}]
";

fn rule(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn authentication(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, \
         namespace: {namespace}}}\nspec: {spec}\n"
    )
}

fn mode(destination: &v1::Destination) -> Mode {
    destination.tls.as_ref().unwrap().mode()
}

#[test]
fn what_is_written_nowhere_is_istios_default() {
    let mut mesh = Mesh::new(SERVICES);
    let seen = mesh.sidecar("client");
    let web = mesh.destination(&seen, &format!("{WEB}/80/")).unwrap();
    assert_eq!(web.discovery(), Discovery::Endpoints);
    assert_eq!(web.endpoint_slices, [format!("endpoints/{WEB}/80/0")]);
    assert_eq!(web.connect_timeout_ms, 10_000);
    assert_eq!(web.load_balancing.as_ref().unwrap().policy(), Policy::LeastRequest);
    assert_eq!(mode(&web), Mode::Auto);
    assert_eq!((web.namespace.as_str(), web.service_name.as_str()), ("shop", "web"));
    assert_eq!(web.policy_origin, None);

    let db = "db.shop.svc.cluster.local/5432/";
    let headless = mesh.destination(&seen, db).unwrap();
    assert_eq!((headless.discovery(), mode(&headless)), (Discovery::Passthrough, Mode::Disable));
    let gateway = mesh.gateway("front", &[]);
    assert_eq!(mesh.destination(&gateway, db).unwrap().discovery(), Discovery::Endpoints);

    let out = mesh.destination(&seen, "api.com/443/").unwrap();
    assert_eq!((out.discovery(), mode(&out), out.external), (Discovery::Dns, Mode::Disable, true));
    assert_eq!(out.dns.len(), 1);
    assert_eq!((out.dns[0].host.as_str(), out.dns[0].port), ("api.com", 8443));

    let any = mesh.destination(&seen, "*.any.com/80/").unwrap();
    assert_eq!(any.discovery(), Discovery::Passthrough);

    let named = mesh.destination(&seen, "named.com/80/").unwrap();
    let targets: Vec<_> = named
        .dns
        .iter()
        .map(|each| (each.host.as_str(), each.port, each.weight, each.mesh_tls))
        .collect();
    assert_eq!(targets, [("us.named.com", 8080, 3, false), ("eu.named.com", 80, 1, true)]);
    assert_eq!(mode(&named), Mode::Auto);

    for name in [&format!("{WEB}/82/"), &format!("{WEB}/80/v1"), "nobody.com/80/"] {
        assert_eq!(mesh.destination(&seen, name), None, "{name}");
    }
}

#[test]
fn in_local_mode_what_has_endpoints_is_balanced_whatever_the_client_dialled() {
    let text = SERVICES.to_owned()
        + &rule("shop", "web", "{host: web, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}");
    let options = |local| Options { local, ..Options::default() };
    let mut cluster = Mesh::with(options(false), &text);
    let mut local = Mesh::with(options(true), &text);
    let (far, near) = (cluster.sidecar("client"), local.sidecar("client"));
    for (name, in_cluster, in_local_mode) in [
        (&format!("{WEB}/80/"), Discovery::Passthrough, Discovery::Endpoints),
        (
            &"db.shop.svc.cluster.local/5432/".to_owned(),
            Discovery::Passthrough,
            Discovery::Endpoints,
        ),
        (&"api.com/443/".to_owned(), Discovery::Dns, Discovery::Dns),
        (&"*.any.com/80/".to_owned(), Discovery::Passthrough, Discovery::Passthrough),
    ] {
        let seen = cluster.destination(&far, name).unwrap();
        assert_eq!(seen.discovery(), in_cluster, "{name}");
        let seen = local.destination(&near, name).unwrap();
        assert_eq!(seen.discovery(), in_local_mode, "{name}");
        let balanced = in_local_mode == Discovery::Endpoints;
        assert_eq!(seen.endpoint_slices.is_empty(), !balanced, "{name}");
        assert_eq!(mode(&seen) == Mode::Auto, balanced, "{name}");
    }
}

#[test]
fn blocks_overlay_as_wholes_and_ports_replace_them() {
    let text = SERVICES.to_owned()
        + &rule(
            "shop",
            "web",
            "{host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {connectTimeout: 1s}}, tls: {mode: ISTIO_MUTUAL},
               portLevelSettings: [{port: {number: 81}, loadBalancer: {simple: ROUND_ROBIN}}]},
             subsets: [{name: v1, labels: {version: v1}},
               {name: v2, labels: {version: v2}, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}},
               {name: v3, labels: {version: v3}, trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE, sni: x.com, caCertificates: /ca.pem, subjectAltNames: [y.com]}}]}}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = mesh.sidecar("client");
    let mut read = |name: &str| {
        let found = mesh.destination(&seen, &format!("{WEB}/{name}")).unwrap();
        (found.load_balancing.as_ref().unwrap().policy(), found.connect_timeout_ms, mode(&found))
    };
    assert_eq!(read("80/"), (Policy::Random, 1000, Mode::Mesh));
    assert_eq!(read("81/"), (Policy::RoundRobin, 10_000, Mode::Auto), "nothing is inherited");
    assert_eq!(read("80/v1"), (Policy::Random, 1000, Mode::Mesh));
    assert_eq!(read("80/v2"), (Policy::LeastRequest, 1000, Mode::Mesh));
    assert_eq!(read("81/v2"), (Policy::LeastRequest, 10_000, Mode::Auto));
    assert_eq!(read("80/v3"), (Policy::LeastRequest, 10_000, Mode::Simple));
    let v3 = mesh.destination(&seen, &format!("{WEB}/80/v3")).unwrap();
    let tls = v3.tls.unwrap();
    assert_eq!((tls.sni.as_str(), tls.ca_file.as_str()), ("x.com", "/ca.pem"));
    assert_eq!(tls.subject_alt_names, ["y.com"]);
    assert_eq!(v3.subset_labels["version"], "v3");
    assert_eq!(v3.policy_origin.unwrap().field, "spec.subsets[2]");
}

#[test]
fn the_clients_namespace_goes_before_the_services_and_the_root() {
    let timeout = |host: &str, seconds: u32| {
        format!(
            "{{host: '{host}', trafficPolicy: {{connectionPool: {{tcp: {{connectTimeout: {seconds}s}}}}}}}}"
        )
    };
    let mut mesh = Mesh::new(SERVICES);
    let read = |mesh: &mut Mesh, namespace: &str| {
        let seen = mesh.sidecar(namespace);
        mesh.destination(&seen, &format!("{WEB}/80/")).unwrap().connect_timeout_ms / 1000
    };
    let all = |mesh: &mut Mesh| ["client", "shop", "istio-system"].map(|each| read(mesh, each));
    mesh.apply(&rule("istio-system", "all", &timeout("*.local", 1)));
    assert_eq!(all(&mut mesh), [1, 1, 1]);
    mesh.apply(&rule("shop", "wild", &timeout("*.shop.svc.cluster.local", 2)));
    assert_eq!(all(&mut mesh), [2, 2, 2], "the root's own is for everybody else");
    mesh.apply(&rule("shop", "exact", &timeout("web", 3)));
    assert_eq!(all(&mut mesh), [3, 3, 3]);
    mesh.apply(&rule("client", "far", &timeout("*.local", 4)));
    assert_eq!(all(&mut mesh), [4, 3, 3], "the first namespace that has any");
    mesh.apply(&rule("shop", "exact", &timeout("web", 3).replace("}}}}", "}}}, exportTo: [.]}")));
    assert_eq!(all(&mut mesh), [4, 3, 2]);
    mesh.apply(&rule(
        "istio-system",
        "own",
        &timeout(WEB, 5).replace("}}}}", "}}}, exportTo: [.]}"),
    ));
    assert_eq!(all(&mut mesh), [4, 3, 5]);
}

#[test]
fn rules_for_one_host_are_merged_and_selectors_stand_apart() {
    let text = SERVICES.to_owned()
        + &rule("shop", "a", "{host: web, subsets: [{name: v1, labels: {version: v1}}]}")
        + &rule("shop", "b", "{host: web, trafficPolicy: {loadBalancer: {simple: RANDOM}}, subsets: [{name: v1, labels: {version: other}}, {name: v2, labels: {version: v2}}]}")
        + &rule("shop", "c", "{host: web, workloadSelector: {matchLabels: {app: special}, labels: {app: special}}, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}}").replace("matchLabels: {app: special}, ", "");
    let mut mesh = Mesh::new(&text);
    let seen = mesh.sidecar("shop");
    let read = |mesh: &mut Mesh, seen: &crate::mesh::Seen, name: &str| {
        mesh.destination(seen, &format!("{WEB}/80/{name}"))
    };
    let v1 = read(&mut mesh, &seen, "v1").unwrap();
    assert_eq!(v1.subset_labels["version"], "v1");
    assert_eq!(v1.load_balancing.unwrap().policy(), Policy::Random);
    assert!(read(&mut mesh, &seen, "v2").is_some());
    let special = mesh.labelled("shop", &[("app", "special")]);
    let found = read(&mut mesh, &special, "").unwrap();
    assert_eq!(found.load_balancing.unwrap().policy(), Policy::RoundRobin);
    assert!(read(&mut mesh, &special, "v2").is_none());
}

#[test]
fn mutual_tls_is_automatic_unless_switched_off() {
    let mut mesh = Mesh::new(SERVICES);
    let seen = mesh.sidecar("client");
    let read = |mesh: &mut Mesh| mode(&mesh.destination(&seen, &format!("{WEB}/80/")).unwrap());
    mesh.apply(&authentication("istio-system", "mesh", "{mtls: {mode: DISABLE}}"));
    assert_eq!(read(&mut mesh), Mode::Disable);
    mesh.apply(&authentication("shop", "namespace", "{mtls: {mode: STRICT}}"));
    assert_eq!(read(&mut mesh), Mode::Auto);
    mesh.apply(&authentication(
        "shop",
        "workload",
        "{selector: {matchLabels: {app: web}}, mtls: {mode: DISABLE}}",
    ));
    assert_eq!(read(&mut mesh), Mode::Auto, "single workloads are marked endpoint by endpoint");
    mesh.apply(&rule("shop", "web", "{host: web, trafficPolicy: {tls: {mode: DISABLE}}}"));
    assert_eq!(read(&mut mesh), Mode::Disable);
    mesh.apply(&rule(
        "shop",
        "web",
        "{host: web, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}}",
    ));
    assert_eq!(read(&mut mesh), Mode::Disable, "not every endpoint is known to speak it");
    mesh.apply(
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    enableAutoMtls: false
    connectTimeout: 3s
    outboundTrafficPolicy: {mode: REGISTRY_ONLY}
    defaultHttpRetryPolicy: {attempts: 0}
",
    );
    mesh.apply(&rule("shop", "web", "{host: web}"));
    assert_eq!(read(&mut mesh), Mode::Disable);
    assert_eq!(mesh.destination(&seen, &format!("{WEB}/80/")).unwrap().connect_timeout_ms, 3000);
    assert_eq!(mesh.settings(&seen).outbound_policy(), OutboundPolicy::RegistryOnly);
    assert_eq!(mesh.routes(&seen, WEB).unwrap().http[0].retries, None);
}
