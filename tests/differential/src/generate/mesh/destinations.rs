//! DestinationRules, ServiceEntries, Sidecars: what is known of destinations, and how they are
//! talked to.

use serde_json::{Value, json};

use super::world::Service;
use super::{World, object};
use crate::generate::random::Random;

const RULE: (&str, &str) = ("networking.istio.io/v1", "DestinationRule");
const ENTRY: (&str, &str) = ("networking.istio.io/v1", "ServiceEntry");

/// Address of a server outside of the mesh.
pub const OUTSIDE: &str = "10.1.1.1";
/// Ports at which it listens.
pub const OUTSIDE_PORTS: [u16; 4] = [8070, 8071, 8072, 5432];

const SIDECAR: (&str, &str) = ("networking.istio.io/v1", "Sidecar");

/// One rule for most services, now and then one for all.
pub(super) fn rules(random: &mut Random, world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for service in &world.services {
        if random.percent(65) {
            let host = match random.below(4) {
                0 => service.name.clone(),
                1 if service.namespace == "default" => format!("{}.default", service.name),
                _ => service.host.clone(),
            };
            let spec = rule(random, service, &host);
            all.push(object(RULE, &service.namespace, &service.name, &spec));
        }
    }
    if random.percent(15) {
        let spec = json!({
            "host": "*.default.svc.cluster.local",
            "trafficPolicy": traffic_policy(random, true),
        });
        all.push(object(RULE, "default", "all", &spec));
    }
    all
}

fn rule(random: &mut Random, service: &Service, host: &str) -> Value {
    let mut spec = json!({ "host": host });
    let mut subsets = Vec::new();
    for version in ["v1", "v2"] {
        if random.percent(80) {
            let mut subset = json!({ "name": version, "labels": { "version": version } });
            if random.percent(15) {
                subset["trafficPolicy"] = traffic_policy(random, service.sidecars);
            }
            subsets.push(subset);
        }
    }
    if random.percent(35) {
        spec["trafficPolicy"] = traffic_policy(random, service.sidecars);
        if random.percent(30) {
            let mut policy = traffic_policy(random, service.sidecars);
            policy["port"] = json!({ "number": service.ports[0].number });
            spec["trafficPolicy"]["portLevelSettings"] = json!([policy]);
        }
    }
    if random.percent(10) {
        spec["exportTo"] = json!([random.one(&["*", ".", "other", "default"])]);
    }
    if !subsets.is_empty() {
        spec["subsets"] = json!(subsets);
    }
    spec
}

fn traffic_policy(random: &mut Random, sidecars: bool) -> Value {
    let mut policy = json!({});
    for field in random.some(&["loadBalancer", "tls", "connectionPool"], 40) {
        policy[field] = match field {
            "loadBalancer" => {
                let simple =
                    ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "LEAST_CONN", "PASSTHROUGH"];
                json!({ "simple": random.one(&simple) })
            }
            "tls" => {
                // What talks TLS to a workload without a sidecar only fails; seldom is enough.
                let mesh = sidecars || random.percent(10);
                let mode = if mesh && random.percent(60) { "ISTIO_MUTUAL" } else { "DISABLE" };
                let mut tls = json!({ "mode": mode });
                if mode == "ISTIO_MUTUAL" && random.percent(25) {
                    tls["subjectAltNames"] = json!([random.one(&[
                        "spiffe://cluster.local/ns/default/sa/alpha",
                        "spiffe://cluster.local/ns/default/sa/server",
                    ])]);
                }
                if mode == "ISTIO_MUTUAL" && random.percent(20) {
                    tls["sni"] = json!("own.example");
                }
                tls
            }
            _ => json!({ "tcp": { "connectTimeout": random.one(&["1s", "5s"]) } }),
        };
    }
    policy
}

/// Services that no Kubernetes Service describes: host, resolution, protocols.
const ENTRIES: [(&str, &str, &[&str]); 4] = [
    ("api.example.com", "STATIC", &["HTTP", "HTTP", "GRPC", "HTTP2"]),
    ("name.example.com", "DNS", &["HTTP", "TCP"]),
    ("db.example.com", "STATIC", &["TCP", "TLS"]),
    ("*.wild.example", "NONE", &["HTTP"]),
];

/// Hosts outside of the mesh, and inside.
pub(super) fn entries(random: &mut Random) -> Vec<Value> {
    let mut all = Vec::new();
    for (number, (host, resolution, protocols)) in ENTRIES.into_iter().enumerate() {
        if !random.percent(25) {
            continue;
        }
        let mut port = json!({
            "number": if number == 2 { 5432 } else { 8070 },
            "name": "main",
            "protocol": random.one(protocols),
        });
        if resolution != "NONE" && random.percent(40) {
            port["targetPort"] = json!(8071);
        }
        let mut spec = json!({
            "hosts": [host],
            "ports": [port],
            "location": random.one(&["MESH_EXTERNAL", "MESH_INTERNAL"]),
            "resolution": resolution,
        });
        match resolution {
            "STATIC" if random.percent(30) => {
                let app = random.one(&["alpha", "gamma"]);
                spec["workloadSelector"] = json!({ "labels": { "app": app } });
            }
            "STATIC" => spec["endpoints"] = json!([endpoint(random)]),
            _ => {}
        }
        if random.percent(20) && number != 3 {
            spec["addresses"] = json!(["192.0.2.7"]);
        }
        all.push(object(ENTRY, "default", &format!("entry-{number}"), &spec));
    }
    all
}

/// The endpoint where the bed's server outside of the mesh listens.
fn endpoint(random: &mut Random) -> Value {
    let mut endpoint = json!({ "address": OUTSIDE });
    if random.percent(30) {
        endpoint["ports"] = json!({ "main": 8072 });
    }
    if random.percent(30) {
        endpoint["labels"] = json!({ "version": random.one(&["v1", "v2"]) });
    }
    endpoint
}

/// What the client sees.
pub(super) fn sidecars(random: &mut Random) -> Vec<Value> {
    if !random.percent(30) {
        return Vec::new();
    }
    let all = [
        "./*",
        "*/*",
        "default/alpha.default.svc.cluster.local",
        "other/*",
        "~other/*",
        "istio-system/*",
    ];
    let mut hosts = vec![random.one(&all[..3])];
    if random.percent(50) {
        hosts.push(random.one(&all));
    }
    hosts.dedup();
    let mut spec = json!({ "egress": [{ "hosts": hosts }] });
    if random.percent(30) {
        let number = *random.pick(&[80, 8000, 9000, 8070]);
        let mut port = json!({ "number": number, "name": "own", "protocol": "HTTP" });
        if number == 9000 {
            port["protocol"] = json!("TCP");
        }
        let first = json!({ "port": port, "hosts": [random.one(&all[..3])] });
        spec["egress"] = json!([first, spec["egress"][0]]);
    }
    if random.percent(50) {
        spec["workloadSelector"] = json!({ "labels": { "app": "client" } });
    }
    if random.percent(40) {
        let mode = random.one(&["REGISTRY_ONLY", "ALLOW_ANY"]);
        spec["outboundTrafficPolicy"] = json!({ "mode": mode });
    }
    vec![object(SIDECAR, "default", "sidecar", &spec)]
}
