//! DestinationRules, ServiceEntries, Sidecars: what is known of destinations, and how they are
//! talked to.

use serde_json::{Value, json};

use super::world::Service;
use super::{World, object};
use crate::generate::random::Random;

const RULE: (&str, &str) = ("networking.istio.io/v1", "DestinationRule");
const ENTRY: (&str, &str) = ("networking.istio.io/v1", "ServiceEntry");
const SIDECAR: (&str, &str) = ("networking.istio.io/v1", "Sidecar");

/// One rule for most services, now and then one for all.
pub(super) fn rules(random: &mut Random, world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    for service in &world.services {
        if random.percent(65) {
            let host = match random.below(4) {
                0 => service.name.clone(),
                1 if service.namespace == "test" => format!("{}.test", service.name),
                _ => service.host.clone(),
            };
            let spec = rule(random, service, &host);
            all.push(object(RULE, &service.namespace, &service.name, &spec));
        }
    }
    if random.percent(15) {
        let spec = json!({
            "host": "*.test.svc.cluster.local",
            "trafficPolicy": traffic_policy(random, true),
        });
        all.push(object(RULE, "test", "all", &spec));
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
                let simple = ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM", "LEAST_CONN", "PASSTHROUGH"];
                json!({ "simple": random.one(&simple) })
            }
            "tls" => {
                // What talks TLS to a workload without a sidecar only fails; seldom is enough.
                let mesh = sidecars || random.percent(10);
                let mode = if mesh && random.percent(60) { "ISTIO_MUTUAL" } else { "DISABLE" };
                let mut tls = json!({ "mode": mode });
                if mode == "ISTIO_MUTUAL" && random.percent(25) {
                    tls["subjectAltNames"] = json!([random.one(&[
                        "spiffe://cluster.local/ns/test/sa/alpha",
                        "spiffe://cluster.local/ns/test/sa/server",
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

/// Hosts outside of the mesh, and inside.
pub(super) fn entries(random: &mut Random) -> Vec<Value> {
    let mut all = Vec::new();
    for (number, host) in ["api.example.com", "*.wild.example", "db.example.com"].iter().enumerate()
    {
        if !random.percent(30) {
            continue;
        }
        let protocol = match number {
            2 => "TCP",
            _ => random.one(&["HTTP", "HTTP", "HTTPS", "GRPC"]),
        };
        let port = if protocol == "HTTPS" { 443 } else { 8070 };
        let mut spec = json!({
            "hosts": [host],
            "ports": [{ "number": port, "name": "main", "protocol": protocol }],
            "location": random.one(&["MESH_EXTERNAL", "MESH_INTERNAL"]),
            "resolution": if number == 1 { "NONE" } else { "STATIC" },
        });
        if number != 1 {
            spec["workloadSelector"] = json!({ "labels": { "app": random.one(&["alpha", "gamma"]) } });
        }
        if random.percent(20) {
            spec["addresses"] = json!(["192.0.2.7"]);
        }
        all.push(object(ENTRY, "test", &format!("entry-{number}"), &spec));
    }
    all
}

/// What the client sees.
pub(super) fn sidecars(random: &mut Random) -> Vec<Value> {
    if !random.percent(30) {
        return Vec::new();
    }
    let all = ["./*", "*/*", "test/alpha.test.svc.cluster.local", "other/*", "~other/*", "istio-system/*"];
    let mut hosts = vec![random.one(&all[..3])];
    if random.percent(50) {
        hosts.push(random.one(&all));
    }
    hosts.dedup();
    let mut spec = json!({ "egress": [{ "hosts": hosts }] });
    if random.percent(50) {
        spec["workloadSelector"] = json!({ "labels": { "app": "client" } });
    }
    if random.percent(40) {
        let mode = random.one(&["REGISTRY_ONLY", "ALLOW_ANY"]);
        spec["outboundTrafficPolicy"] = json!({ "mode": mode });
    }
    vec![object(SIDECAR, "test", "sidecar", &spec)]
}
