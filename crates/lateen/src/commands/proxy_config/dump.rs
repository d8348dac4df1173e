//! The configuration of a proxy, as its page `/config_dump` has it, in parts.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How many addresses of one resource are written out for people.
const ADDRESSES: usize = 4;

/// Whose page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Native,
    Envoy,
}

impl Engine {
    /// By what a page consists of.
    pub fn of(page: &Value) -> Option<Self> {
        let native = page["resources"].is_array().then_some(Self::Native);
        native.or_else(|| page["configs"].is_array().then_some(Self::Envoy))
    }
}

/// A part of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    All,
    Bootstrap,
    Listeners,
    Routes,
    Clusters,
    Endpoints,
    Policies,
    Directory,
    Secrets,
}

/// A resource that a proxy runs on.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    name: String,
    version: String,
    config: Value,
    holds: String,
}

impl Item {
    /// `holds`: what people would look for in it.
    pub fn new(name: &str, version: &str, config: &Value, holds: String) -> Self {
        let (name, version) = (name.to_owned(), version.to_owned());
        Self { name, version, config: config.clone(), holds }
    }

    pub fn json(&self) -> Value {
        json!({ "name": self.name, "version": self.version, "config": self.config })
    }
}

/// For people.
pub fn table(items: &[Item]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["NAME", "VERSION", "HOLDS"]);
    for Item { name, version, holds, .. } in items {
        // Enough to see whether two are the same.
        let version: String = version.chars().take(12).collect();
        table.add_row([name.as_str(), version.as_str(), holds.as_str()]);
    }
    table.to_string()
}

/// The resources of a part.
pub fn items(page: &Value, engine: Engine, part: Part) -> anyhow::Result<Vec<Item>> {
    match engine {
        Engine::Native => Ok(native(page, part)),
        Engine::Envoy => {
            anyhow::ensure!(part != Part::Policies, "an Envoy has its policies in its listeners");
            anyhow::ensure!(
                part != Part::Directory,
                "an Envoy has no directory; ask for its routes"
            );
            Ok(envoy(page, part))
        }
    }
}

/// Native resources are told apart by their names.
fn native(page: &Value, part: Part) -> Vec<Item> {
    let resources = page["resources"].as_array().into_iter().flatten();
    let found = resources.filter_map(|resource| {
        let name = text(&resource["name"]);
        if part != Part::All && part_of(name) != Some(part) {
            return None;
        }
        let config = &resource["content"];
        let slice = &config["body"]["Endpoints"]["endpoints"];
        let holds = match slice.as_array() {
            Some(endpoints) => addresses(&endpoints.iter().map(native_address).collect::<Vec<_>>()),
            None => format!("{} bytes", resource["bytes"]),
        };
        Some(Item::new(name, text(&resource["version"]), config, holds))
    });
    found.collect()
}

fn part_of(name: &str) -> Option<Part> {
    let mut pieces = name.split('/');
    Some(match (pieces.next()?, pieces.count()) {
        ("settings", _) => Part::Bootstrap,
        ("directory", _) => Part::Directory,
        ("inbound", _) | ("gateway", 1) => Part::Listeners,
        ("routes" | "gateway", _) => Part::Routes,
        ("destination", _) => Part::Clusters,
        ("endpoints", _) => Part::Endpoints,
        ("policy", _) => Part::Policies,
        ("secret", _) => Part::Secrets,
        _ => return None,
    })
}

/// Addresses travel as their bytes.
fn native_address(endpoint: &Value) -> String {
    let bytes: Vec<u8> = endpoint["addresses"][0]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
        .collect();
    let address = if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        std::net::Ipv4Addr::from(four).to_string()
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes.as_slice()) {
        format!("[{}]", std::net::Ipv6Addr::from(sixteen))
    } else {
        let path = text(&endpoint["unix_path"]);
        return if path.is_empty() { text(&endpoint["workload_uid"]) } else { path }.to_owned();
    };
    format!("{address}:{}", endpoint["port"])
}

/// The lists of an Envoy's dump: the part, where the resource lies in an entry of the list, and what it is named by.
const LISTS: [(Part, &str, &str, &str); 11] = [
    (Part::Listeners, "static_listeners", "/listener", "name"),
    (Part::Listeners, "dynamic_listeners", "/active_state/listener", "name"),
    (Part::Routes, "static_route_configs", "/route_config", "name"),
    (Part::Routes, "dynamic_route_configs", "/route_config", "name"),
    (Part::Clusters, "static_clusters", "/cluster", "name"),
    (Part::Clusters, "dynamic_active_clusters", "/cluster", "name"),
    (Part::Clusters, "dynamic_warming_clusters", "/cluster", "name"),
    (Part::Endpoints, "static_endpoint_configs", "/endpoint_config", "cluster_name"),
    (Part::Endpoints, "dynamic_endpoint_configs", "/endpoint_config", "cluster_name"),
    (Part::Secrets, "static_secrets", "/secret", "name"),
    (Part::Secrets, "dynamic_active_secrets", "/secret", "name"),
];

fn envoy(page: &Value, part: Part) -> Vec<Item> {
    let mut items = Vec::new();
    for config in page["configs"].as_array().into_iter().flatten() {
        let bootstrap = &config["bootstrap"];
        if bootstrap.is_object() && matches!(part, Part::All | Part::Bootstrap) {
            let node = format!("node {}", text(&bootstrap["node"]["id"]));
            items.push(Item::new("bootstrap", "", bootstrap, node));
        }
        for (of, list, pointer, name) in LISTS {
            if part != Part::All && part != of {
                continue;
            }
            for entry in config[list].as_array().into_iter().flatten() {
                let Some(resource) = entry.pointer(pointer) else { continue };
                let version = entry.pointer("/active_state/version_info");
                let version = version.unwrap_or(&entry["version_info"]);
                let holds = envoy_holds(of, resource);
                items.push(Item::new(text(&resource[name]), text(version), resource, holds));
            }
        }
    }
    items
}

fn envoy_holds(part: Part, resource: &Value) -> String {
    match part {
        Part::Listeners => socket(&resource["address"]),
        Part::Routes => {
            let hosts = resource["virtual_hosts"].as_array().map_or(&[][..], Vec::as_slice);
            let rules = hosts.iter().filter_map(|host| Some(host["routes"].as_array()?.len()));
            format!("{} virtual hosts, {} routes", hosts.len(), rules.sum::<usize>())
        }
        Part::Clusters => match (&resource["type"], &resource["cluster_type"]["name"]) {
            (Value::String(kind), _) | (_, Value::String(kind)) => kind.clone(),
            // The default of the field, which is left out.
            _ => "STATIC".to_owned(),
        },
        Part::Endpoints => {
            let localities = resource["endpoints"].as_array().into_iter().flatten();
            let endpoints =
                localities.flat_map(|it| it["lb_endpoints"].as_array().into_iter().flatten());
            let address = |it: &Value| match text(&it["health_status"]) {
                "" | "HEALTHY" | "UNKNOWN" => socket(&it["endpoint"]["address"]),
                health => format!("{} {health}", socket(&it["endpoint"]["address"])),
            };
            addresses(&endpoints.map(address).collect::<Vec<_>>())
        }
        Part::Secrets if resource["tls_certificate"].is_object() => "a certificate".to_owned(),
        Part::Secrets => "roots".to_owned(),
        Part::All | Part::Bootstrap | Part::Policies | Part::Directory => String::new(),
    }
}

fn socket(address: &Value) -> String {
    if let Some(path) = address["pipe"]["path"].as_str() {
        return path.to_owned();
    }
    let socket = &address["socket_address"];
    format!("{}:{}", text(&socket["address"]), socket["port_value"])
}

fn addresses(all: &[String]) -> String {
    let mut shown = String::new();
    for address in all.iter().take(ADDRESSES) {
        let _ = write!(shown, "{}{address}", if shown.is_empty() { "" } else { ", " });
    }
    match all.len().saturating_sub(ADDRESSES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(page: &Value, part: Part) -> Vec<(String, String)> {
        let engine = Engine::of(page).unwrap();
        let items = items(page, engine, part).unwrap();
        items.into_iter().map(|item| (item.name, item.holds)).collect()
    }

    fn row(name: &str, holds: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), holds.to_owned())]
    }

    #[test]
    fn a_native_dump_has_parts() {
        let resource = |name: &str, content: Value| json!({ "name": name, "version": "8a7c", "bytes": 17, "content": content });
        let endpoint = |last: u8| json!({ "addresses": [[10, 0, 0, last]], "port": 80 });
        let six =
            json!({ "addresses": [[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]], "port": 1 });
        let endpoints: Vec<Value> = [six].into_iter().chain((1..6).map(endpoint)).collect();
        let page = json!({ "cut": 1, "resources": [
            resource("settings", json!({})),
            resource("inbound/shop/web", json!({})),
            resource("gateway/80", json!({})),
            resource("gateway/80/http/shop.example", json!({})),
            resource("endpoints/web/80/0", json!({ "body": { "Endpoints": { "endpoints": endpoints } } })),
        ] });
        assert_eq!(rows(&page, Part::All).len(), 5);
        assert_eq!(rows(&page, Part::Bootstrap), row("settings", "17 bytes"));
        assert_eq!(rows(&page, Part::Listeners).len(), 2);
        assert_eq!(rows(&page, Part::Routes), row("gateway/80/http/shop.example", "17 bytes"));
        assert_eq!(
            rows(&page, Part::Endpoints),
            row("endpoints/web/80/0", "[::1]:1, 10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80 and 2 more")
        );
        assert_eq!(rows(&page, Part::Secrets), []);
    }

    #[test]
    fn an_envoys_dump_has_parts() {
        let address =
            |port: u16| json!({ "socket_address": { "address": "10.0.0.1", "port_value": port } });
        let page = json!({ "configs": [
            { "bootstrap": { "node": { "id": "sidecar~10.0.0.1" } } },
            { "dynamic_active_clusters": [{ "version_info": "3", "cluster": { "name": "web", "type": "EDS" } }] },
            { "dynamic_endpoint_configs": [{ "endpoint_config": { "cluster_name": "web", "endpoints": [
                { "lb_endpoints": [
                    { "endpoint": { "address": address(80) }, "health_status": "HEALTHY" },
                    { "endpoint": { "address": address(81) }, "health_status": "DRAINING" },
                ] },
            ] } }] },
            { "dynamic_listeners": [{ "name": "l", "active_state": {
                "version_info": "4", "listener": { "name": "l", "address": address(15001) },
            } }] },
            { "dynamic_route_configs": [{ "route_config": { "name": "80", "virtual_hosts": [
                { "routes": [{}, {}] }, { "routes": [{}] }, {},
            ] } }] },
            { "dynamic_active_secrets": [{ "secret": { "name": "default", "tls_certificate": {} } }] },
        ] });
        assert_eq!(rows(&page, Part::All).len(), 6);
        for (part, name, holds) in [
            (Part::Bootstrap, "bootstrap", "node sidecar~10.0.0.1"),
            (Part::Clusters, "web", "EDS"),
            (Part::Endpoints, "web", "10.0.0.1:80, 10.0.0.1:81 DRAINING"),
            (Part::Listeners, "l", "10.0.0.1:15001"),
            (Part::Routes, "80", "3 virtual hosts, 3 routes"),
            (Part::Secrets, "default", "a certificate"),
        ] {
            assert_eq!(rows(&page, part), row(name, holds));
        }
        assert!(items(&page, Engine::Envoy, Part::Policies).is_err());
        assert_eq!(Engine::of(&json!({})), None);
    }
}
