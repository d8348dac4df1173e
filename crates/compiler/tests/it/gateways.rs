//! What gateways listen on, and where they send to.

use lateen_mesh::v1::{GatewayProtocol, server_tls::Mode};

use crate::mesh::{Mesh, Seen, short};

fn gateway(name: &str, created: &str, servers: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, \
         namespace: shop, creationTimestamp: \"{created}\"}}\nspec: {{selector: {{istio: front}}, servers: {servers}}}\n"
    )
}

fn route(name: &str, created: &str, spec: &str) -> String {
    format!(
        "\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, \
         namespace: shop, creationTimestamp: \"{created}\"}}\nspec: {spec}\n"
    )
}

const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {clusterIP: 10.0.0.2, ports: [{name: http, port: 80}, {name: tls, port: 443}]}
";

const OLD: &str = "2019-01-01T00:00:00Z";
const NEW: &str = "2021-01-01T00:00:00Z";

fn front(mesh: &mut Mesh) -> Seen {
    mesh.gateway("edge", &[("istio", "front")])
}

fn ports(mesh: &mut Mesh, seen: &Seen) -> Vec<String> {
    let roots = mesh.compiler.roots(seen.scope, &seen.client);
    roots.iter().map(ToString::to_string).collect()
}

#[test]
fn plain_servers_share_a_table_and_virtual_services_are_merged() {
    let text = SERVICES.to_owned()
        + &gateway(
            "gw",
            OLD,
            "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example.com']}]",
        )
        + &route(
            "old",
            OLD,
            "{hosts: ['*'], gateways: [gw], http: [{match: [{uri: {prefix: /old}}], route: [{destination: {host: web}}]}, {route: [{destination: {host: web}}]}]}",
        )
        + &route(
            "young",
            NEW,
            "{hosts: [a.example.com, elsewhere.com], gateways: [gw], http: [{match: [{uri: {prefix: /young}}], route: [{destination: {host: api}}]}]}",
        )
        + &route(
            "wild",
            NEW,
            "{hosts: ['*.example.com'], gateways: [gw], http: [{match: [{uri: {prefix: /wild}}], route: [{destination: {host: api}}]}]}",
        )
        + &route(
            "mesh",
            OLD,
            "{hosts: [b.example.com], http: [{route: [{destination: {host: web}}]}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = front(&mut mesh);
    assert_eq!(ports(&mut mesh, &seen), ["settings", "gateway/80", "inbound/edge/gateway"]);
    let listener = mesh.listener(&seen, 80).unwrap();
    assert_eq!(
        listener.http_routes,
        ["gateway/80/http/*.example.com", "gateway/80/http/a.example.com"]
    );
    let table = |mesh: &mut Mesh, host: &str| {
        mesh.gateway_routes(&seen, &format!("80/http/{host}")).map(|routes| short(&routes))
    };
    assert_eq!(
        table(&mut mesh, "*.example.com").unwrap(),
        ["[/old] -> web.shop:80", "[/wild] -> api.shop:80", "[] -> web.shop:80"],
        "what takes everything comes last"
    );
    assert_eq!(table(&mut mesh, "a.example.com").unwrap(), ["[/young] -> api.shop:80"]);
    assert_eq!(table(&mut mesh, "elsewhere.com"), None);
    let other = mesh.gateway("edge", &[("istio", "back")]);
    assert!(mesh.listener(&other, 80).is_none());
    let sidecar = mesh.labelled("edge", &[("istio", "front")]);
    assert!(mesh.listener(&sidecar, 80).is_none());
}

#[test]
fn matches_for_other_ports_and_gateways_are_left_out() {
    let text = SERVICES.to_owned()
        + &gateway(
            "gw",
            OLD,
            "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}, {port: {number: 81, name: http2, protocol: HTTP2}, hosts: [a.com]}]",
        )
        + &route(
            "r",
            OLD,
            "{hosts: [a.com], gateways: [gw, mesh], http: [{match: [{port: 81, uri: {prefix: /81}}], route: [{destination: {host: api}}]}, {match: [{gateways: [mesh]}], route: [{destination: {host: web}}]}, {match: [{uri: {prefix: /}}], route: [{destination: {host: nobody}}]}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = front(&mut mesh);
    let mut table =
        |port: u16| short(&mesh.gateway_routes(&seen, &format!("{port}/http/a.com")).unwrap());
    assert_eq!(table(80), ["[/] -> !nobody.shop:80"]);
    assert_eq!(table(81), ["[/81] -> !api.shop:81", "[/] -> !nobody.shop:81"]);
}

#[test]
fn matches_add_no_gateway_to_the_list_of_the_object() {
    let match_of = |gateways: &str| {
        let rule = format!(
            "match: [{{gateways: [{gateways}], uri: {{prefix: /x}}}}], route: [{{destination: {{host: web}}}}]"
        );
        format!("[{{{rule}}}, {{route: [{{destination: {{host: api}}}}]}}]")
    };
    for (gateways, matched, at_gateway, warned) in [
        ("gateways: [gw], ", "gw", &["[/x] -> web.shop:80", "[] -> api.shop:80"][..], None),
        ("gateways: [gw], ", "mesh", &["[] -> api.shop:80"], Some("mesh")),
        ("gateways: [mesh], ", "shop/gw", &[], Some("shop/gw")),
        ("", "gw", &[], Some("shop/gw")),
    ] {
        let spec = format!("{{hosts: [a.com], {gateways}http: {}}}", match_of(matched));
        let server = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}]";
        let mut mesh = Mesh::new(&(SERVICES.to_owned() + &gateway("gw", OLD, server)));
        let changes = mesh.apply(&route("r", OLD, &spec));
        let seen = front(&mut mesh);
        let routes = mesh.gateway_routes(&seen, "80/http/a.com");
        let made = routes.map(|routes| short(&routes)).unwrap_or_default();
        assert_eq!(made, at_gateway, "{spec}");
        let expected =
            warned.map(|name| format!("no effect: `spec.gateways` does not name {name}"));
        let found =
            changes.diagnostics.iter().find(|it| it.field == "spec.http[0].match[0].gateways[0]");
        assert_eq!(found.map(|it| it.message.clone()), expected, "{spec}");
    }
}

#[test]
fn tls_servers_have_tables_and_secrets_of_their_own() {
    let servers = "[{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.com], tls: {mode: SIMPLE, credentialName: a-cert, minProtocolVersion: TLSV1_3}},
      {port: {number: 443, name: mutual, protocol: HTTPS}, hosts: [b.com], tls: {mode: MUTUAL, credentialName: b-cert}},
      {port: {number: 443, name: pass, protocol: TLS}, hosts: [c.com], tls: {mode: PASSTHROUGH}},
      {port: {number: 443, name: bytes, protocol: TLS}, hosts: [d.com], tls: {mode: SIMPLE, serverCertificate: /c.pem, privateKey: /k.pem}}]";
    let secret = |name: &str| {
        format!(
            "\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: edge}}\nstringData: {{tls.crt: CERT, tls.key: KEY, ca.crt: CA}}\n"
        )
    };
    let text = SERVICES.to_owned()
        + &gateway("gw", OLD, servers)
        + &secret("a-cert")
        + &secret("b-cert-cacert")
        + &route(
            "a",
            OLD,
            "{hosts: [a.com, b.com], gateways: [gw], http: [{route: [{destination: {host: web}}]}]}",
        )
        + &route(
            "c",
            OLD,
            "{hosts: [c.com, d.com], gateways: [gw], tls: [{match: [{sniHosts: [c.com]}], route: [{destination: {host: api}}]}], tcp: [{route: [{destination: {host: web}}]}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = front(&mut mesh);
    let listener = mesh.listener(&seen, 443).unwrap();
    assert!(listener.http_routes.is_empty());
    let servers: Vec<_> = listener
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.protocol(), server.routes.join(" ")))
        .collect();
    let named = |server: &str, host: &str| format!("gateway/443/shop.gw.{server}/{host}");
    assert_eq!(
        servers,
        [
            ("shop.gw.https", GatewayProtocol::Https, named("https", "a.com")),
            ("shop.gw.mutual", GatewayProtocol::Https, named("mutual", "b.com")),
            ("shop.gw.pass", GatewayProtocol::TlsPassthrough, named("pass", "c.com")),
            (
                "shop.gw.bytes",
                GatewayProtocol::TlsTerminated,
                format!("{} {}", named("bytes", "c.com"), named("bytes", "d.com"))
                    .split_once(' ')
                    .unwrap()
                    .1
                    .to_owned()
            ),
        ]
    );
    let tls = |at: usize| listener.servers[at].tls.clone().unwrap();
    assert_eq!((tls(0).mode(), tls(0).secret.as_str()), (Mode::Simple, "secret/edge/a-cert"));
    assert_eq!(
        (tls(1).mode(), tls(1).ca_secret.as_str()),
        (Mode::Mutual, "secret/edge/b-cert-cacert")
    );
    assert_eq!(tls(3).certificate_file, "/c.pem");
    let table = |mesh: &mut Mesh, server: &str, host: &str| {
        let name = named(server, host);
        let name = name.strip_prefix("gateway/").unwrap();
        mesh.gateway_routes(&seen, name).map(|routes| short(&routes)).unwrap_or_default()
    };
    assert_eq!(
        table(&mut mesh, "https", "a.com"),
        ["[] -> !web.shop:80"].map(|line| line.replace('!', ""))
    );
    assert_eq!(table(&mut mesh, "pass", "c.com"), ["tls[c.com:0] -> api.shop:443"]);
    assert_eq!(
        table(&mut mesh, "bytes", "d.com"),
        ["tcp[] -> web.shop:80", "tcp[:0] -> api.shop:443"]
    );

    assert!(mesh.resource(&seen, "secret/edge/a-cert").is_some());
    let elsewhere = mesh.gateway("shop", &[("istio", "front")]);
    assert!(
        mesh.resource(&elsewhere, "secret/edge/a-cert").is_none(),
        "only for its own namespace"
    );
    let sidecar = mesh.sidecar("edge");
    assert!(mesh.resource(&sidecar, "secret/edge/a-cert").is_none(), "only for gateways");
    assert!(mesh.resource(&seen, "secret/edge/b-cert").is_some(), "empty where it is missing");
}

#[test]
fn servers_that_contend_for_a_port_are_not_opened() {
    let http = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]";
    let tcp = "[{port: {number: 80, name: tcp, protocol: TCP}, hosts: ['*']}]";
    let mut mesh = Mesh::new(&(gateway("a", OLD, tcp) + &gateway("b", NEW, http)));
    let seen = front(&mut mesh);
    let listener = mesh.listener(&seen, 80).unwrap();
    assert_eq!(listener.servers.len(), 1);
    assert_eq!(
        mesh.said(&seen, "gateway/80"),
        [
            "conflicting-servers spec.servers[0]: not opened on port 80: Gateway shop/a has the port for another protocol"
        ]
    );
    let https = |name: &str, host: &str| {
        gateway(
            name,
            if name == "c" { OLD } else { NEW },
            &format!(
                "[{{port: {{number: 443, name: https, protocol: HTTPS}}, hosts: [{host}, x.com], tls: {{mode: SIMPLE, credentialName: s}}}}]"
            ),
        )
    };
    let mut mesh = Mesh::new(&(https("c", "c.com") + &https("d", "d.com")));
    let seen = front(&mut mesh);
    assert_eq!(mesh.listener(&seen, 443).unwrap().servers.len(), 1, "skipped as a whole");
}

#[test]
fn redirects_to_https_hold_for_the_servers_hosts() {
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com, quiet.com], tls: {httpsRedirect: true}}]";
    let plain = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com, b.com]}]";
    let text = SERVICES.to_owned()
        + &gateway("one", OLD, servers)
        + &gateway("two", NEW, plain)
        + &route(
            "r",
            OLD,
            "{hosts: ['*'], gateways: [one, two], http: [{route: [{destination: {host: web}}]}]}",
        );
    let mut mesh = Mesh::new(&text);
    let seen = front(&mut mesh);
    let redirect = |mesh: &mut Mesh, host: &str| {
        let routes = mesh.gateway_routes(&seen, &format!("80/http/{host}")).unwrap();
        (routes.https_redirect, routes.http.len())
    };
    assert_eq!(redirect(&mut mesh, "a.com"), (true, 1));
    assert_eq!(redirect(&mut mesh, "b.com"), (false, 1));
    assert_eq!(redirect(&mut mesh, "quiet.com"), (true, 1));
}

#[test]
fn only_namespaces_that_the_server_names_attach() {
    let servers =
        "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['./*', 'bank/b.com']}]";
    let elsewhere = route("r2", OLD, "{hosts: [b.com, c.com], gateways: [shop/gw], http: [{route: [{destination: {host: web.shop.svc.cluster.local}}]}]}")
        .replace("namespace: shop,", "namespace: bank,");
    let text = SERVICES.to_owned()
        + &gateway("gw", OLD, servers)
        + &route(
            "r",
            OLD,
            "{hosts: [a.com], gateways: [gw], http: [{route: [{destination: {host: web}}]}]}",
        )
        + &elsewhere;
    let mut mesh = Mesh::new(&text);
    let seen = front(&mut mesh);
    assert_eq!(
        mesh.listener(&seen, 80).unwrap().http_routes,
        ["gateway/80/http/a.com", "gateway/80/http/b.com"]
    );
    assert!(mesh.gateway_routes(&seen, "80/http/c.com").is_none());
}

#[test]
fn ports_are_translated_by_the_gateways_own_services() {
    let entry = |name: &str, number: u16, target: u16, labels: &str| {
        format!(
            "\n---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: edge{labels}}}\nspec: {{hosts: [{name}.com], location: MESH_INTERNAL, resolution: STATIC, endpoints: [{{address: 1.1.1.1}}], ports: [{{number: {number}, name: http, protocol: HTTP, targetPort: {target}}}]}}\n"
        )
    };
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.com]}, {port: {number: 82, name: http-82, protocol: HTTP}, hosts: [a.com]}]";
    let by_service = gateway("gw", OLD, servers)
        .replace("spec: {selector: {istio: front}, ", "spec: {")
        .replace(
            "namespace: shop,",
            "namespace: shop, annotations: {internal.istio.io/gateway-service: 'one.com,two.com'},",
        );
    let open = |mesh: &mut Mesh| {
        let seen = front(mesh);
        let names = ports(mesh, &seen);
        names[1..names.len() - 1].join(" ")
    };
    let mut mesh = Mesh::new(&(gateway("gw", OLD, servers) + &entry("one", 80, 8080, "")));
    assert_eq!(open(&mut mesh), "gateway/82 gateway/8080");
    mesh.apply(&by_service);
    assert_eq!(open(&mut mesh), "gateway/8080", "only what the services have");
    mesh.apply(&entry("two", 82, 8080, ""));
    assert_eq!(open(&mut mesh), "gateway/8080");
    let changes = mesh.apply(&entry("two", 82, 8082, ""));
    assert!(!changes.roots.is_empty());
    assert_eq!(open(&mut mesh), "gateway/8080 gateway/8082");
    let keeps = ", labels: {experimental.istio.io/disable-gateway-port-translation: 'true'}";
    let mut mesh = Mesh::new(&(gateway("gw", OLD, servers) + &entry("one", 80, 8080, keeps)));
    assert_eq!(open(&mut mesh), "gateway/80 gateway/82");
}
