//! PeerAuthentications and AuthorizationPolicies for the workload whose inbound side is asked.

use serde_json::{Map, Value, json};

use super::{World, object};
use crate::generate::random::Random;
use crate::generate::words::{HEADERS, METHODS, PATHS, VALUES};

const PEER: (&str, &str) = ("security.istio.io/v1", "PeerAuthentication");
const POLICY: (&str, &str) = ("security.istio.io/v1", "AuthorizationPolicy");

const MODES: [&str; 4] = ["STRICT", "PERMISSIVE", "DISABLE", "UNSET"];

/// Principals: exact, prefixes, suffixes, any.
const PRINCIPALS: [&str; 8] = [
    "cluster.local/ns/default/sa/client",
    "cluster.local/ns/default/sa/other",
    "cluster.local/ns/other/sa/client",
    "cluster.local/ns/default/*",
    "*/sa/client",
    "*",
    "Cluster.local/ns/default/sa/client",
    "cluster.local/ns/default/sa/clien",
];

/// Which encryption is demanded, on up to three levels.
pub(super) fn peer_authentications(random: &mut Random, world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    if random.percent(60) {
        let spec = json!({ "mtls": { "mode": mode(random) } });
        all.push(object(PEER, "istio-system", "default", &spec));
    }
    if random.percent(30) {
        let spec = json!({ "mtls": { "mode": mode(random) } });
        all.push(object(PEER, "default", "default", &spec));
    }
    if random.percent(40) {
        let mut spec = json!({ "selector": { "matchLabels": { "app": "server" } } });
        if random.percent(60) {
            spec["mtls"] = json!({ "mode": mode(random) });
        }
        if random.percent(60) {
            let mut ports = Map::new();
            for port in random.some(&world.server_ports(), 40) {
                ports.insert(port.to_string(), json!({ "mode": mode(random) }));
            }
            spec["portLevelMtls"] = Value::Object(ports);
        }
        all.push(object(PEER, "default", "server", &spec));
    }
    all
}

fn mode(random: &mut Random) -> &'static str {
    random.one(&MODES)
}

/// Policies of every action; most for the server, some for its whole namespace or for the mesh.
pub(super) fn authorization_policies(random: &mut Random, world: &World) -> Vec<Value> {
    let count = *random.pick(&[0, 1, 1, 2, 3]);
    let policies = (0..count).map(|number| {
        let action = random.one(&["ALLOW", "ALLOW", "DENY", "DENY", "DENY", "AUDIT"]);
        let rules: Vec<Value> = (0..=random.below(4) / 2).map(|_| rule(random, world)).collect();
        let mut spec = json!({ "action": action, "rules": rules });
        let namespace = if random.percent(15) { "istio-system" } else { "default" };
        if random.percent(75) {
            let app = random.one(&["server", "server", "server", "client"]);
            spec["selector"] = json!({ "matchLabels": { "app": app } });
        }
        if action == "ALLOW" && random.percent(5) {
            spec["rules"] = json!([]);
        }
        let mut policy = object(POLICY, namespace, &format!("policy-{number}"), &spec);
        if action != "AUDIT" && random.percent(5) {
            policy["metadata"]["annotations"] = json!({ "istio.io/dry-run": "true" });
        }
        policy
    });
    policies.collect()
}

fn rule(random: &mut Random, world: &World) -> Value {
    let mut rule = json!({});
    if random.percent(45) {
        let sources: Vec<Value> =
            (0..=random.below(4) / 3).map(|_| json!({ "source": source(random) })).collect();
        rule["from"] = json!(sources);
    }
    if random.percent(65) {
        let operations: Vec<Value> = (0..=random.below(4) / 3)
            .map(|_| json!({ "operation": operation(random, world) }))
            .collect();
        rule["to"] = json!(operations);
    }
    if random.percent(40) {
        let conditions: Vec<Value> =
            (0..=random.below(4) / 3).map(|_| condition(random, world)).collect();
        rule["when"] = json!(conditions);
    }
    rule
}

/// `field` with one or two values, or its opposite.
fn clause(random: &mut Random, into: &mut Value, field: &str, values: &[&str]) {
    let mut list: Vec<&str> = vec![random.one(values)];
    if random.percent(30) {
        list.push(random.one(values));
    }
    let field = if random.percent(75) {
        field.to_owned()
    } else {
        format!("not{}{}", field[..1].to_uppercase(), &field[1..])
    };
    into[field] = json!(list);
}

fn source(random: &mut Random) -> Value {
    let mut source = json!({});
    for field in random.some(&["who", "domain", "ip", "remote"], 25) {
        match field {
            "who" => match random.below(4) {
                0 | 1 => clause(random, &mut source, "principals", &PRINCIPALS),
                2 => {
                    let namespaces = ["default", "other", "de*", "*lt", "*", "d*t"];
                    clause(random, &mut source, "namespaces", &namespaces);
                }
                _ => {
                    let accounts = ["client", "other", "default/client", "other/client"];
                    clause(random, &mut source, "serviceAccounts", &accounts);
                }
            },
            "domain" => {
                let domains = ["cluster.local", "*.local", "cluster.*", "other.domain"];
                clause(random, &mut source, "trustDomains", &domains);
            }
            "ip" => clause(random, &mut source, "ipBlocks", &BLOCKS),
            _ => clause(random, &mut source, "remoteIpBlocks", &BLOCKS),
        }
    }
    source
}

const BLOCKS: [&str; 5] = ["127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.7"];

fn operation(random: &mut Random, world: &World) -> Value {
    let mut operation = json!({});
    for field in random.some(&["paths", "paths", "methods", "hosts", "ports"], 30) {
        match field {
            "paths" => {
                let paths = paths(random);
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                clause(random, &mut operation, "paths", &paths);
            }
            "methods" => {
                let methods = [METHODS[0], METHODS[1], METHODS[2], "P*", "*", "get", "*T"];
                clause(random, &mut operation, "methods", &methods);
            }
            "hosts" => {
                let hosts =
                    ["server", "server:80", "Server.default", "server*", "*.local", "*", "*:*"];
                clause(random, &mut operation, "hosts", &hosts);
            }
            _ => {
                let ports: Vec<String> =
                    world.server_ports().iter().map(ToString::to_string).collect();
                let mut ports: Vec<&str> = ports.iter().map(String::as_str).collect();
                ports.push("81");
                clause(random, &mut operation, "ports", &ports);
            }
        }
    }
    operation
}

/// Patterns and templates of paths.
fn paths(random: &mut Random) -> [String; 2] {
    let mut pattern = || {
        let path = random.one(&PATHS);
        let last = path.rsplit('/').next().filter(|last| !last.is_empty()).unwrap_or("x");
        match random.below(7) {
            0 | 1 => path.to_owned(),
            2 => format!("{path}*"),
            3 => format!("*{last}"),
            4 => format!("{}/{{*}}", path.trim_end_matches('/')),
            5 => format!("{}/{{**}}", path.trim_end_matches('/')),
            _ => random.one(&["/{*}/v1/{**}", "*", "/api/{*}/items", "/{**}/app.js"]).to_owned(),
        }
    };
    [pattern(), pattern()]
}

fn condition(random: &mut Random, world: &World) -> Value {
    let (key, values): (String, Vec<String>) = match random.below(10) {
        0..=3 => {
            let name = random.one(&HEADERS);
            let value = random.one(&VALUES);
            let half = &value[..value.len().div_ceil(2)];
            let values = [
                value.to_owned(),
                format!("{half}*"),
                format!("*{}", &value[value.len() / 2..]),
                "*".to_owned(),
            ];
            (format!("request.headers[{name}]"), vec![random.pick(&values).clone()])
        }
        4 => ("source.ip".to_owned(), vec![random.one(&BLOCKS).to_owned()]),
        5 => {
            let key = random.one(&["remote.ip", "destination.ip"]);
            (key.to_owned(), vec![random.one(&BLOCKS).to_owned()])
        }
        6 => {
            let key = random.one(&["source.principal", "source.principal", "source.namespace"]);
            let value = if key == "source.namespace" { "default" } else { random.one(&PRINCIPALS) };
            (key.to_owned(), vec![value.to_owned()])
        }
        7 => {
            let key = random.one(&["source.serviceAccount", "source.trustDomain"]);
            let value =
                if key == "source.trustDomain" { "cluster.local" } else { "default/client" };
            (key.to_owned(), vec![value.to_owned()])
        }
        8 => {
            let port = *random.pick(&world.server_ports());
            ("destination.port".to_owned(), vec![port.to_string()])
        }
        _ => {
            let names =
                ["*", "outbound_.80_._.server.default.svc.cluster.local", "*.local", "other"];
            ("connection.sni".to_owned(), vec![random.one(&names).to_owned()])
        }
    };
    let field = if random.percent(75) { "values" } else { "notValues" };
    json!({ "key": key, field: values })
}
