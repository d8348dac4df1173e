//! Meshes: a caller and five workloads behind three services and one that has none, with routes,
//! subsets and policies that differ.

use serde_json::{Value, json};

use super::{METHODS, PATHS, Random, USERS};
use crate::yaml;

/// The workloads that are called.
pub const PODS: [&str; 5] = ["alpha-v1", "alpha-v2", "beta-v1", "beta-v2", "gamma-v1"];

/// A host that only a VirtualService knows.
pub(super) const VIRTUAL_HOST: &str = "shop.example";

/// The files of a mesh.
pub fn mesh(random: &mut Random) -> Vec<(&'static str, String)> {
    let settings = if random.percent(60) {
        "outboundTrafficPolicy:\n  mode: REGISTRY_ONLY"
    } else {
        "outboundTrafficPolicy:\n  mode: ALLOW_ANY"
    };
    let mut objects = vec![destination_rule("alpha", None), destination_rule("beta", None)];
    let plain = random.percent(40).then_some("DISABLE");
    objects.push(destination_rule("gamma", plain));
    for host in ["alpha", "beta", VIRTUAL_HOST] {
        objects.push(virtual_service(random, host));
    }
    for number in 0..1 + random.below(3) {
        objects.push(policy(random, number));
    }
    // JSON is YAML.
    let objects: Vec<String> = objects.iter().map(|object| format!("{object:#}\n")).collect();
    vec![
        ("mesh.yaml", yaml::mesh(settings)),
        ("workloads.yaml", workloads(random)),
        ("objects.yaml", objects.join("---\n")),
    ]
}

fn workloads(random: &mut Random) -> String {
    let mut text = yaml::pod("caller", "caller", "v1", "10.0.0.99");
    let mut address = 0;
    for (number, service) in ["alpha", "beta", "gamma", "empty"].into_iter().enumerate() {
        let mut endpoints = Vec::new();
        for pod in PODS.iter().filter(|pod| pod.starts_with(service)) {
            address += 1;
            let ip = format!("10.0.0.{address}");
            let version = pod.rsplit('-').next().unwrap_or_default();
            text.push_str(&yaml::pod(pod, service, version, &ip));
            let ready = service == "gamma" || random.percent(80);
            endpoints.push((*pod, ip, ready));
        }
        let endpoints: Vec<(&str, &str, bool)> =
            endpoints.iter().map(|(pod, ip, ready)| (*pod, ip.as_str(), *ready)).collect();
        let cluster_ip = format!("10.96.0.{}", number + 1);
        text.push_str(&yaml::service(service, &cluster_ip, "http", (80, 8080), &endpoints));
    }
    text
}

fn object(kind: (&str, &str), namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": kind.0,
        "kind": kind.1,
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    })
}

fn destination_rule(service: &str, tls: Option<&str>) -> Value {
    let subset = |version: &str| json!({ "name": version, "labels": { "version": version } });
    let mut spec = json!({ "host": service, "subsets": [subset("v1"), subset("v2")] });
    if let Some(mode) = tls {
        spec["trafficPolicy"] = json!({ "tls": { "mode": mode } });
    }
    object(("networking.istio.io/v1", "DestinationRule"), "test", service, &spec)
}

fn virtual_service(random: &mut Random, host: &str) -> Value {
    let count = 2 + random.below(4);
    let mut rules: Vec<Value> = (0..count).map(|number| rule(random, number)).collect();
    if random.percent(60) {
        rules.push(json!({ "name": "rest", "route": [destination(random)] }));
    }
    let spec = json!({ "hosts": [host], "http": rules });
    object(("networking.istio.io/v1", "VirtualService"), "test", &host.replace('.', "-"), &spec)
}

fn rule(random: &mut Random, number: usize) -> Value {
    let matches: Vec<Value> = (0..=random.below(2)).map(|_| request_match(random)).collect();
    let mut rule = json!({ "match": matches });
    if random.percent(80) {
        rule["name"] = json!(format!("rule-{number}"));
    }
    match random.below(8) {
        0 => {
            rule["redirect"] = json!({
                "uri": random.one(&PATHS),
                "redirectCode": random.one(&[301, 302, 307]),
            });
        }
        1 => {
            let status = random.one(&[204, 404, 418, 503]);
            rule["directResponse"] = json!({ "status": status, "body": { "string": "fixed" } });
        }
        _ => forwarding(random, &mut rule),
    }
    rule
}

fn forwarding(random: &mut Random, rule: &mut Value) {
    let count = 1 + random.below(3);
    let mut route: Vec<Value> = (0..count).map(|_| destination(random)).collect();
    if count > 1 {
        for (position, destination) in route.iter_mut().enumerate() {
            let weight = if position == 0 { 50 } else { random.one(&[0, 10, 50]) };
            destination["weight"] = json!(weight);
        }
    }
    rule["route"] = json!(route);
    if random.percent(30) {
        rule["rewrite"] = match random.below(3) {
            0 => json!({ "uri": random.one(&PATHS) }),
            1 => json!({ "uri": random.one(&PATHS), "authority": "rewritten.example" }),
            _ => json!({ "uriRegexRewrite": { "match": "/(api|static)/(.*)", "rewrite": "/\\2" } }),
        };
    }
    if random.percent(30) {
        rule["headers"] = json!({ "request": {
            "set": { "x-user": random.one(&USERS) },
            "remove": ["x-debug"],
        }});
    }
}

fn destination(random: &mut Random) -> Value {
    let usual = ["alpha", "alpha", "beta", "beta", "alpha.test", "beta.test", "gamma"];
    let host = match random.below(20) {
        0 => "missing",
        1 => "empty",
        _ => random.one(&usual),
    };
    let mut destination = json!({ "host": host });
    if random.percent(40) {
        // The last is no subset of anything.
        let subset = if random.percent(90) { random.one(&["v1", "v2"]) } else { "v9" };
        destination["subset"] = json!(subset);
    }
    json!({ "destination": destination })
}

fn request_match(random: &mut Random) -> Value {
    let mut matched = json!({});
    if random.percent(75) {
        matched["uri"] = path_match(random);
        if random.percent(20) && matched["uri"].get("regex").is_none() {
            matched["ignoreUriCase"] = json!(true);
        }
    }
    if random.percent(25) {
        matched["method"] = json!({ "exact": random.one(&METHODS) });
    }
    if random.percent(30) {
        matched["headers"] = json!({ "x-user": string_match(random) });
    } else if random.percent(15) {
        matched["headers"] = json!({ "x-debug": {} });
    }
    if random.percent(15) {
        matched["withoutHeaders"] = json!({ "x-user": string_match(random) });
    }
    if random.percent(20) {
        matched["queryParams"] = json!({ "version": { "exact": random.one(&["1", "2"]) } });
    }
    if random.percent(25) {
        matched["name"] = json!(format!("match-{}", random.below(10)));
    }
    let empty = matched.as_object().is_none_or(serde_json::Map::is_empty);
    if empty { json!({ "uri": { "prefix": "/api" } }) } else { matched }
}

fn path_match(random: &mut Random) -> Value {
    let path = random.one(&PATHS);
    match random.below(5) {
        0 | 1 => json!({ "prefix": path }),
        2 => json!({ "exact": path }),
        3 => json!({ "regex": format!("{path}.*") }),
        _ => json!({ "regex": "/(api|admin)/v?[0-9a-z/]+" }),
    }
}

fn string_match(random: &mut Random) -> Value {
    match random.below(3) {
        0 => json!({ "exact": random.one(&USERS) }),
        1 => json!({ "prefix": "jas" }),
        _ => json!({ "regex": "j.*n" }),
    }
}

fn policy(random: &mut Random, number: usize) -> Value {
    let root = random.percent(20);
    let allow = !root && random.percent(40);
    let rules: Vec<Value> = (0..=random.below(2)).map(|_| policy_rule(random, allow)).collect();
    let action = if allow { "ALLOW" } else { "DENY" };
    let mut spec = json!({ "action": action, "rules": rules });
    if !root && random.percent(80) {
        let app = random.one(&["alpha", "beta", "gamma"]);
        spec["selector"] = json!({ "matchLabels": { "app": app } });
        if random.percent(30) {
            spec["selector"]["matchLabels"]["version"] = json!("v2");
        }
    }
    let namespace = if root { "istio-system" } else { "test" };
    let name = format!("policy-{number}");
    object(("security.istio.io/v1", "AuthorizationPolicy"), namespace, &name, &spec)
}

fn policy_rule(random: &mut Random, allow: bool) -> Value {
    let mut rule = json!({});
    if random.percent(40) {
        let account = random.one(&["caller", "caller", "other"]);
        let principal = format!("cluster.local/ns/test/sa/{account}");
        let field = if random.percent(80) { "principals" } else { "notPrincipals" };
        rule["from"] = json!([{ "source": { field: [principal] } }]);
    }
    let mut operation = json!({});
    // What allows is to leave something to compare.
    if random.percent(if allow { 30 } else { 70 }) {
        operation["paths"] = json!([path_pattern(random), path_pattern(random)]);
    }
    if random.percent(30) {
        operation["methods"] = json!([random.one(&METHODS), random.one(&METHODS)]);
    }
    if random.percent(20) {
        operation["notPaths"] = json!([path_pattern(random)]);
    }
    if operation.as_object().is_some_and(|fields| !fields.is_empty()) {
        rule["to"] = json!([{ "operation": operation }]);
    }
    if random.percent(25) || (!allow && rule["to"].is_null()) {
        rule["when"] = json!([{
            "key": "request.headers[x-user]",
            "values": [random.one(&USERS), "nobody"],
        }]);
    }
    rule
}

fn path_pattern(random: &mut Random) -> String {
    let path = random.one(&PATHS);
    match random.below(3) {
        0 => path.to_owned(),
        1 => format!("{path}*"),
        _ => format!("*{}", path.rsplit('/').next().filter(|it| !it.is_empty()).unwrap_or("x")),
    }
}
