//! Gateways, with VirtualServices and Secrets for them.

use serde_json::{Value, json};

use super::routes::{destination, http_rules};
use super::{World, object};
use crate::generate::random::Random;

const GATEWAY: (&str, &str) = ("networking.istio.io/v1", "Gateway");
const ROUTES: (&str, &str) = ("networking.istio.io/v1", "VirtualService");

/// Hosts of servers.
const HOSTS: [&str; 6] = [
    "*",
    "shop.example",
    "*.shop.example",
    "www.shop.example",
    "default/shop.example",
    "./*.shop.example",
];

/// Hosts of routes.
const ROUTE_HOSTS: [&str; 4] = ["shop.example", "*.shop.example", "www.shop.example", "*"];

/// A Gateway with a few servers, and what is routed there.
pub(super) fn gateways(random: &mut Random, world: &World) -> Vec<Value> {
    if !random.percent(60) {
        return Vec::new();
    }
    let mut servers = Vec::new();
    for (number, kind) in
        ["http", "https", "mutual", "passthrough", "tcp", "http-8080"].iter().enumerate()
    {
        let routable = match *kind {
            "passthrough" => world.services.iter().any(|it| it.ports_of("tls").count() > 0),
            "tcp" => world.services.iter().any(|it| it.ports_of("tcp").count() > 0),
            _ => true,
        };
        if routable && random.percent(if number == 0 { 85 } else { 35 }) {
            servers.push(server(random, kind));
        }
    }
    if servers.is_empty() {
        servers.push(server(random, "http"));
    }
    let spec = json!({ "selector": { "istio": "ingressgateway" }, "servers": servers });
    let mut all = vec![object(GATEWAY, "default", "gateway", &spec), secret()];
    let before = all.len();
    for (number, host) in ROUTE_HOSTS.iter().enumerate() {
        if random.percent(40) {
            all.push(routes(random, world, number, host));
        }
    }
    // A port of opaque bytes that nothing is routed from is not opened.
    let opens = |port: u64| servers.iter().any(|server| server["port"]["number"] == port);
    let routed = |kind: &str| all.iter().any(|object| object["spec"][kind].is_array());
    if all.len() == before || (opens(8443) && !routed("tls")) || (opens(9100) && !routed("tcp")) {
        all.retain(|object| object["spec"]["hosts"][0] != "*");
        all.push(routes(random, world, 3, "*"));
    }
    all
}

/// The credential of HTTPS servers: the bed puts its certificate there.
fn secret() -> Value {
    let mut secret = object(("v1", "Secret"), "istio-system", "shop", &Value::Null);
    secret["type"] = json!("kubernetes.io/tls");
    secret["data"] = json!({
        "tls.crt": "$base64(shop.example.crt)",
        "tls.key": "$base64(shop.example.key)",
        "ca.crt": "$base64(ca.crt)",
    });
    secret
}

fn server(random: &mut Random, kind: &str) -> Value {
    let (number, protocol) = match kind {
        "https" => (443, "HTTPS"),
        "mutual" => (444, "HTTPS"),
        "passthrough" => (8443, "TLS"),
        "tcp" => (9100, "TCP"),
        "http-8080" => (8080, "HTTP"),
        _ => (80, "HTTP"),
    };
    let mut hosts = vec![random.one(&HOSTS)];
    if hosts[0] != "*" && random.percent(30) {
        hosts.push(random.one(&HOSTS[1..4]));
        hosts.dedup();
    }
    if kind == "tcp" || kind == "passthrough" {
        hosts = vec!["*"];
    }
    let mut server = json!({
        "port": { "number": number, "name": kind, "protocol": protocol },
        "hosts": hosts,
    });
    match kind {
        "https" => {
            server["tls"] = if random.percent(80) {
                json!({ "mode": "SIMPLE", "credentialName": "shop" })
            } else {
                json!({ "mode": "SIMPLE", "credentialNames": ["shop"] })
            };
            if random.percent(30) {
                let end = random.one(&["minProtocolVersion", "maxProtocolVersion"]);
                server["tls"][end] = json!(random.one(&["TLSV1_2", "TLSV1_3"]));
            }
        }
        "mutual" => {
            server["tls"] = json!({ "mode": "MUTUAL", "credentialName": "shop" });
            if random.percent(50) {
                let name = random.one(&["client.example", "other.example"]);
                server["tls"]["subjectAltNames"] = json!([name]);
            }
        }
        "passthrough" => server["tls"] = json!({ "mode": "PASSTHROUGH" }),
        "http" if random.percent(15) => server["tls"] = json!({ "httpsRedirect": true }),
        _ => {}
    }
    server
}

fn routes(random: &mut Random, world: &World, number: usize, host: &str) -> Value {
    let gateways = if random.percent(85) || host == "*" {
        json!(["gateway"])
    } else {
        json!(["mesh", "default/gateway"])
    };
    let mut spec = json!({ "hosts": [host], "gateways": gateways });
    spec["http"] = json!(http_rules(random, world));
    let opaque = |random: &mut Random, protocol: &str| {
        let able: Vec<_> = world
            .services
            .iter()
            .filter_map(|service| Some((service, service.ports_of(protocol).next()?)))
            .collect();
        able.first().map(|_| {
            let (service, port) = random.pick(&able);
            json!([{ "destination": { "host": service.host, "port": { "number": port } } }])
        })
    };
    if (host == "*" || random.percent(50))
        && let Some(to) = opaque(random, "tls")
    {
        spec["tls"] = json!([{ "match": [{ "port": 8443, "sniHosts": [host] }], "route": to }]);
    }
    if (host == "*" || random.percent(50))
        && let Some(to) = opaque(random, "tcp")
    {
        spec["tcp"] = json!([{ "match": [{ "port": 9100 }], "route": to }]);
    }
    if random.percent(30) {
        let to = destination(random, world);
        let rule = json!({ "match": [{ "gateways": ["default/gateway"], "uri": { "prefix": "/gateway" } }],
            "route": [to] });
        if let Some(rules) = spec["http"].as_array_mut() {
            rules.insert(0, rule);
        }
    }
    object(ROUTES, "default", &format!("gateway-routes-{number}"), &spec)
}
