//! VirtualServices.

use serde_json::{Value, json};

use super::condition::condition;
use super::{World, object};
use crate::generate::random::Random;
use crate::generate::words::{HEADERS, PATHS, VALUES};

const KIND: (&str, &str) = ("networking.istio.io/v1", "VirtualService");

/// Hosts that no Kubernetes Service has.
const VIRTUAL_HOSTS: [&str; 6] = [
    "shop.example",
    "*.shop.example",
    "www.shop.example",
    "*.example",
    "api.example.com",
    "*.wild.example",
];

/// What a destination may be, beside services.
const NOWHERE: &str = "missing";

/// VirtualServices for sidecars, each of another host.
pub(super) fn for_sidecars(random: &mut Random, world: &World) -> Vec<Value> {
    let mut hosts: Vec<String> = Vec::new();
    for service in world.services.iter().filter(|service| service.has_http()) {
        if random.percent(60) {
            hosts.push(if random.percent(50) {
                service.name.clone()
            } else {
                service.host.clone()
            });
        }
    }
    for host in VIRTUAL_HOSTS {
        if random.percent(20) {
            hosts.push(host.to_owned());
        }
    }
    let http = hosts.into_iter().enumerate().map(|(number, host)| {
        let mut spec = json!({ "hosts": [host], "http": http_rules(random, world) });
        if random.percent(15) {
            spec["exportTo"] = json!([random.one(&["*", ".", "other", "default"])]);
        }
        object(KIND, "default", &format!("routes-{number}"), &spec)
    });
    let mut all: Vec<Value> = http.collect();
    all.extend(opaque(random, world));
    all
}

/// The rules of one host.
pub(super) fn http_rules(random: &mut Random, world: &World) -> Vec<Value> {
    let count = 1 + random.below(4);
    let mut rules: Vec<Value> = (0..count).map(|number| rule(random, world, number)).collect();
    if random.percent(65) {
        rules.push(json!({ "name": "rest", "route": [destination(random, world)] }));
    }
    rules
}

fn rule(random: &mut Random, world: &World, number: usize) -> Value {
    let action = random.below(10);
    let by_prefix = action == 0;
    let matches: Vec<Value> =
        (0..=random.below(4) / 2).map(|_| condition(random, world, by_prefix)).collect();
    let mut rule = json!({ "match": matches });
    if random.percent(70) {
        rule["name"] = json!(format!("rule-{number}"));
    }
    match action {
        0 | 1 => rule["redirect"] = redirect(random, by_prefix),
        2 => rule["directResponse"] = direct_response(random),
        _ => forward(random, world, &mut rule),
    }
    if random.percent(30) {
        rule["headers"] = headers(random);
    }
    rule
}

fn redirect(random: &mut Random, by_prefix: bool) -> Value {
    let mut redirect = json!({ "uri": random.one(&["/moved", "/moved?to=1", "moved", "/a%20b"]) });
    if by_prefix && random.percent(70) {
        redirect = json!({ "prefixRewrite": random.one(&["/moved", "/moved/", "/", "/a?b=c"]) });
    }
    if random.percent(30) {
        redirect["authority"] = json!(random.one(&["moved.example", "moved.example:8443"]));
    }
    if random.percent(30) {
        redirect["scheme"] = json!(random.one(&["http", "https"]));
    }
    match random.below(5) {
        0 => redirect["port"] = json!(random.pick(&[80, 443, 8443])),
        1 => {
            redirect["derivePort"] =
                json!(random.one(&["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"]));
        }
        _ => {}
    }
    if random.percent(60) {
        redirect["redirectCode"] = json!(random.pick(&[301, 302, 303, 307, 308]));
    }
    redirect
}

fn direct_response(random: &mut Random) -> Value {
    let mut response = json!({ "status": random.pick(&[200, 204, 304, 404, 418, 503]) });
    match random.below(3) {
        0 => response["body"] = json!({ "string": random.one(&["fixed", "", "100%", "ä\n"]) }),
        1 => response["body"] = json!({ "bytes": "AAEC/w==" }),
        _ => {}
    }
    response
}

fn forward(random: &mut Random, world: &World, rule: &mut Value) {
    let count = if random.percent(15) { 2 } else { 1 };
    let mut route: Vec<Value> = (0..count).map(|_| destination(random, world)).collect();
    // Two ways to one cluster, each with headers of its own: nobody could say which was taken.
    if world.spread {
        route.dedup_by_key(|it| short(&it["destination"]));
    }
    if route.len() > 1 {
        let weights = if world.spread { [1, 3] } else { *random.pick(&[[1, 0], [0, 100]]) };
        for (destination, weight) in route.iter_mut().zip(weights) {
            destination["weight"] = json!(weight);
        }
    } else if random.percent(10) {
        route[0]["weight"] = json!(random.pick(&[0, 1, 100]));
    }
    for destination in &mut route {
        if random.percent(15) {
            destination["headers"] = headers(random);
        }
    }
    rule["route"] = json!(route);
    if random.percent(35) {
        rule["rewrite"] = rewrite(random);
    }
    if random.percent(15) {
        rule["timeout"] = json!(random.one(&["0.3s", "500ms", "0s", "3s"]));
    }
    if random.percent(35) {
        rule["retries"] = retries(random);
    }
}

/// The name of a destination's service, and its subset.
fn short(destination: &Value) -> (String, Value) {
    let host = destination["host"].as_str().unwrap_or_default();
    (host.split('.').next().unwrap_or_default().to_owned(), destination["subset"].clone())
}

fn rewrite(random: &mut Random) -> Value {
    let mut rewrite = match random.below(4) {
        0 | 1 => json!({ "uri": random.one(&PATHS) }),
        2 => json!({ "uri": random.one(&["/new?x=1", "/new/", "new"]) }),
        _ => {
            let (expression, substitution) = *random.pick(&[
                ("/(api|static)/(.*)", "/\\2/\\1"),
                ("a", "b"),
                ("^/api", "/"),
                ("/v([0-9]+)", "/version-\\1\\0"),
                (".*", "/all"),
            ]);
            json!({ "uriRegexRewrite": { "match": expression, "rewrite": substitution } })
        }
    };
    if random.percent(30) {
        rewrite["authority"] = json!(random.one(&["rewritten.example", "rewritten.example:81"]));
    }
    rewrite
}

fn retries(random: &mut Random) -> Value {
    if random.percent(15) {
        return json!({ "attempts": 0 });
    }
    let mut retries = json!({ "attempts": random.pick(&[1, 2, 3]), "backoff": "1ms" });
    if random.percent(80) {
        retries["retryOn"] = json!(random.one(&[
            "5xx",
            "gateway-error",
            "reset",
            "connect-failure",
            "connect-failure,refused-stream",
            "retriable-4xx",
            "retriable-status-codes,418",
            "503",
            "502, 504",
            "unavailable,cancelled",
        ]));
    }
    if random.percent(15) {
        retries["perTryTimeout"] = json!(random.one(&["200ms", "2s"]));
    }
    if random.percent(15) {
        retries["retryIgnorePreviousHosts"] = json!(random.percent(50));
    }
    retries
}

fn headers(random: &mut Random) -> Value {
    let mut headers = json!({});
    for direction in random.some(&["request", "response"], 50) {
        let mut operations = json!({});
        for operation in random.some(&["set", "add", "remove"], 40) {
            operations[operation] = match operation {
                "remove" => json!([header(random, direction)]),
                _ => json!({ header(random, direction): value(random) }),
            };
        }
        if direction == "request" && random.percent(10) {
            operations["set"] = json!({ ":authority": "set.example" });
        }
        headers[direction] = operations;
    }
    headers
}

fn header(random: &mut Random, direction: &str) -> &'static str {
    let own: &[&'static str] = if direction == "request" {
        &HEADERS
    } else {
        &["server", "x-backend", "X-Answer", "content-type", "set-cookie"]
    };
    random.one(own)
}

fn value(random: &mut Random) -> &'static str {
    if random.percent(85) { random.one(&VALUES) } else { random.one(&["100%%", "", "\"quoted\""]) }
}

/// Where a rule leads.
pub(super) fn destination(random: &mut Random, world: &World) -> Value {
    let service = random.pick(&world.services);
    let host = match random.below(20) {
        0 => NOWHERE.to_owned(),
        1 => "api.example.com".to_owned(),
        2..=12 => service.host.clone(),
        _ => service.name.clone(),
    };
    let mut destination = json!({ "host": host });
    if random.percent(30) {
        // The last is no subset of anything.
        let subset = if random.percent(92) { random.one(&["v1", "v2"]) } else { "v9" };
        destination["subset"] = json!(subset);
    }
    let only_http: Vec<u16> = service.http_ports().collect();
    if random.percent(if service.ports.len() > 1 { 95 } else { 30 })
        && let Some(port) = only_http.first()
    {
        destination["port"] = json!({ "number": port });
    }
    json!({ "destination": destination })
}

/// Rules for TCP and TLS.
fn opaque(random: &mut Random, world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for service in &world.services {
        let tcp: Vec<u16> = service.ports_of("tcp").collect();
        let tls: Vec<u16> = service.ports_of("tls").collect();
        let mut spec = json!({ "hosts": [service.host] });
        if let Some(port) = tcp.first()
            && random.percent(50)
        {
            spec["tcp"] = tcp_rules(random, world, *port);
        }
        if let Some(port) = tls.first()
            && random.percent(50)
        {
            spec["tls"] = tls_rules(random, world, &service.host, *port);
        }
        if spec["tcp"].is_array() || spec["tls"].is_array() {
            all.push(object(KIND, "default", &format!("opaque-{}", service.name), &spec));
        }
    }
    all
}

fn tcp_rules(random: &mut Random, world: &World, port: u16) -> Value {
    let mut rules = Vec::new();
    for _ in 0..=random.below(2) {
        let mut condition = json!({});
        if random.percent(50) {
            condition["port"] = json!(if random.percent(80) { port } else { port + 1 });
        }
        opaque_condition(random, world, &mut condition);
        let mut rule = json!({ "route": opaque_route(random, world, "tcp", port) });
        if condition.as_object().is_some_and(|fields| !fields.is_empty()) {
            rule["match"] = json!([condition]);
        }
        rules.push(rule);
    }
    json!(rules)
}

fn tls_rules(random: &mut Random, world: &World, host: &str, port: u16) -> Value {
    let mut rules = Vec::new();
    for _ in 0..=random.below(2) {
        let mut condition = json!({ "sniHosts": [host] });
        if random.percent(50) {
            condition["port"] = json!(port);
        }
        if random.percent(50) {
            opaque_condition(random, world, &mut condition);
        }
        let to = opaque_route(random, world, "tls", port);
        rules.push(json!({ "match": [condition], "route": to }));
    }
    json!(rules)
}

fn opaque_condition(random: &mut Random, world: &World, condition: &mut Value) {
    if random.percent(35) {
        let subnets = ["127.0.0.0/8", "10.96.0.0/16", "192.0.2.1", "0.0.0.0/0"];
        condition["destinationSubnets"] = json!([random.one(&subnets)]);
    }
    if random.percent(15) {
        condition["sourceLabels"] = random.pick(&world.client_labels).clone();
    }
    if random.percent(10) {
        condition["sourceNamespace"] = json!(random.one(&["default", "other"]));
    }
    if random.percent(10) {
        condition["gateways"] = json!([random.one(&["mesh", "mesh", "default/gateway"])]);
    }
}

/// One or two destinations; without chance, only one of them has weight.
fn opaque_route(random: &mut Random, world: &World, protocol: &str, port: u16) -> Value {
    let mut route = vec![opaque_destination(random, world, protocol, port)];
    if random.percent(20) {
        route.push(opaque_destination(random, world, protocol, port));
        let weights = if world.spread { [1, 3] } else { *random.pick(&[[1, 0], [0, 100]]) };
        for (destination, weight) in route.iter_mut().zip(weights) {
            destination["weight"] = json!(weight);
        }
    }
    json!(route)
}

fn opaque_destination(random: &mut Random, world: &World, protocol: &str, port: u16) -> Value {
    let able: Vec<_> =
        world.services.iter().filter(|service| service.ports_of(protocol).count() > 0).collect();
    let service = random.pick(&able);
    let number = service.ports_of(protocol).next().unwrap_or(port);
    let mut destination = json!({ "host": service.host, "port": { "number": number } });
    if random.percent(25) {
        destination["subset"] = json!(random.one(&["v1", "v2"]));
    }
    json!({ "destination": destination })
}
