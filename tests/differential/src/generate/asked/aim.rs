//! Requests that meet a condition of some object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Asked, Caller, Place, Speech};
use crate::generate::mesh::{Mesh, Service};
use crate::generate::random::Random;
use crate::generate::words::{
    Expression, METHOD_EXPRESSIONS, PATH_EXPRESSIONS, VALUE_EXPRESSIONS, VALUES,
};

/// Who calls the server where nothing else is asked for.
pub(super) const CLIENT: &str = "spiffe://cluster.local/ns/default/sa/client";

/// Port of the gateway's server that asks for certificates.
const MUTUAL: u16 = 444;

/// Parts of a request that a condition names; the others are of no importance to it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Path,
    Method,
    Authority,
    Header(String),
    Query(String),
    ServerName,
    Identity,
}

/// A request that meets all of a condition, and the parts that the condition is about.
#[derive(Debug, Clone)]
pub struct Aim {
    pub(super) asked: Asked,
    pub(super) parts: BTreeSet<Part>,
}

/// An aim for each condition of the mesh, and some at everything that is open.
pub fn aims(random: &mut Random, mesh: &Mesh) -> Vec<Aim> {
    let mut aims = Vec::new();
    for object in &mesh.objects {
        match object["kind"].as_str() {
            Some("VirtualService") => routes(random, mesh, object, &mut aims),
            Some("AuthorizationPolicy") => policy(random, mesh, object, &mut aims),
            Some("ServiceEntry") => entry(object, &mut aims),
            _ => {}
        }
    }
    open(random, mesh, &mut aims);
    aims.retain(|aim| mesh.can_be_dialled(&aim.asked));
    aims
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| u16::try_from(number).ok())
}

impl Asked {
    fn new(place: Place, service: &str, port: u16) -> Self {
        Self {
            place,
            service: service.to_owned(),
            port,
            caller: Caller::Plain,
            speech: Speech::Request,
            http2: false,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            query: Vec::new(),
            authority: vec![service.to_owned()],
            headers: Vec::new(),
            spelling: None,
            about: BTreeSet::new(),
        }
    }
}

impl Aim {
    fn new(asked: Asked) -> Self {
        Self { asked, parts: BTreeSet::from([Part::Path, Part::Authority]) }
    }

    fn header(&mut self, name: &str, value: String) {
        let name = name.to_lowercase();
        self.asked.headers.retain(|(other, _)| *other != name);
        self.asked.headers.push((name.clone(), value));
        self.parts.insert(Part::Header(name));
    }
}

fn routes(random: &mut Random, mesh: &Mesh, object: &Value, aims: &mut Vec<Aim>) {
    let spec = &object["spec"];
    let gateways: Vec<&str> = items(&spec["gateways"]).map(text).collect();
    let in_mesh = gateways.is_empty() || gateways.contains(&"mesh");
    let at_gateway = gateways.iter().any(|gateway| *gateway != "mesh");
    for host in items(&spec["hosts"]).map(text) {
        for rule in items(&spec["http"]) {
            let none = [Value::Null];
            let conditions = rule["match"].as_array().map_or(&none[..], Vec::as_slice);
            for condition in conditions {
                let port = number(&condition["port"]);
                if in_mesh && let Some(asked) = to_host(random, mesh, host, port) {
                    aims.push(http(random, Aim::new(asked), condition));
                }
                if at_gateway && let Some(asked) = to_gateway(random, mesh, host, port) {
                    aims.push(http(random, Aim::new(asked), condition));
                }
            }
        }
        for condition in items(&spec["tls"]).flat_map(|rule| items(&rule["match"])) {
            let sni = items(&condition["sniHosts"]).map(text).next().unwrap_or(host);
            let place = if at_gateway { Place::Gateway } else { Place::Outbound };
            let port = number(&condition["port"]);
            let port = port.or_else(|| service(mesh, host)?.ports_of("tls").next());
            let mut aim = Aim::new(Asked::new(place, host, port.unwrap_or(8443)));
            aim.asked.caller = tls(&named(sni));
            aim.asked.speech = Speech::Bytes;
            aim.parts = BTreeSet::from([Part::ServerName]);
            aims.push(aim);
        }
        for _ in items(&spec["tcp"]) {
            let place = if at_gateway { Place::Gateway } else { Place::Outbound };
            let port = service(mesh, host).and_then(|service| service.ports_of("tcp").next());
            let mut aim = Aim::new(Asked::new(place, host, port.unwrap_or(9100)));
            aim.asked.speech = Speech::Bytes;
            aim.parts.clear();
            aims.push(aim);
        }
    }
}

/// A connection to each port of an entry.
fn entry(object: &Value, aims: &mut Vec<Aim>) {
    let Some(host) = items(&object["spec"]["hosts"]).map(text).next() else { return };
    if host.starts_with('*') {
        return;
    }
    for port in items(&object["spec"]["ports"]) {
        let Some(number) = number(&port["number"]) else { continue };
        let mut aim = Aim::new(Asked::new(Place::Outbound, host, number));
        match text(&port["protocol"]) {
            "TLS" => {
                aim.asked.caller = tls(host);
                aim.asked.speech = Speech::Bytes;
                aim.parts = BTreeSet::from([Part::ServerName]);
            }
            "TCP" => aim.asked.speech = Speech::Bytes,
            "GRPC" | "HTTP2" => aim.asked.http2 = true,
            _ => {}
        }
        aims.push(aim);
    }
}

fn tls(sni: &str) -> Caller {
    Caller::Tls { sni: sni.to_owned(), certificate: "" }
}

/// The service of a short or whole name.
fn service<'m>(mesh: &'m Mesh, host: &str) -> Option<&'m Service> {
    mesh.world.services.iter().find(|service| service.host == host || service.name == host)
}

/// A host that a pattern covers.
fn named(pattern: &str) -> String {
    match pattern {
        "*" => "any.example".to_owned(),
        _ => pattern.replacen('*', "any", 1),
    }
}

/// A request for a host, from the client: to the service of that name, else to any that has the port.
fn to_host(random: &mut Random, mesh: &Mesh, host: &str, port: Option<u16>) -> Option<Asked> {
    let able: Vec<&Service> = mesh
        .world
        .services
        .iter()
        .filter(|service| service.has_http() && service.name != "server")
        .collect();
    let dialled = match service(mesh, host) {
        Some(service) => service,
        None => random.pick(&able),
    };
    let ports: Vec<u16> = dialled.http_ports().collect();
    let port = port.filter(|port| ports.contains(port)).or_else(|| ports.first().copied())?;
    let mut asked = Asked::new(Place::Outbound, &dialled.host, port);
    asked.authority = vec![named(host)];
    Some(asked)
}

/// A request for a host at some HTTP server of a Gateway.
fn to_gateway(random: &mut Random, mesh: &Mesh, host: &str, port: Option<u16>) -> Option<Asked> {
    let able: Vec<(u16, bool)> = gateway_servers(mesh)
        .filter(|(_, protocol)| matches!(*protocol, "HTTP" | "HTTPS"))
        .map(|(port, protocol)| (port, protocol == "HTTPS"))
        .collect();
    if able.is_empty() {
        return None;
    }
    let own = able.iter().find(|(number, _)| Some(*number) == port);
    let (port, encrypted) = *own.unwrap_or_else(|| random.pick(&able));
    let mut asked = Asked::new(Place::Gateway, "", port);
    asked.authority = vec![named(host)];
    if encrypted {
        let certificate = if port == MUTUAL { "client.example" } else { "" };
        asked.caller = Caller::Tls { sni: named(host), certificate };
    }
    Some(asked)
}

/// Ports of Gateways, with their protocols.
fn gateway_servers(mesh: &Mesh) -> impl Iterator<Item = (u16, &str)> {
    let gateways = mesh.objects.iter().filter(|object| object["kind"] == "Gateway");
    gateways.flat_map(|gateway| items(&gateway["spec"]["servers"])).filter_map(|server| {
        Some((number(&server["port"]["number"])?, text(&server["port"]["protocol"])))
    })
}

/// Completes a request so that it meets a condition of a route.
fn http(random: &mut Random, mut aim: Aim, condition: &Value) -> Aim {
    if !condition["uri"].is_null() {
        let path = met(random, &condition["uri"], &PATH_EXPRESSIONS);
        match path.split_once('?') {
            Some((path, _)) => aim.asked.path = path.to_owned(),
            None => aim.asked.path = path,
        }
    }
    if !condition["method"].is_null() {
        aim.asked.method = met(random, &condition["method"], &METHOD_EXPRESSIONS);
        aim.parts.insert(Part::Method);
    }
    if !condition["authority"].is_null() {
        aim.asked.authority = vec![match &condition["authority"]["regex"] {
            Value::String(regex) => regex.replace(".*", ""),
            _ => met(random, &condition["authority"], &[]),
        }];
    }
    for (name, matcher) in fields(&condition["headers"]) {
        aim.header(name, met(random, matcher, &VALUE_EXPRESSIONS));
    }
    for (name, matcher) in fields(&condition["withoutHeaders"]) {
        if random.percent(50) {
            aim.header(name, met(random, matcher, &VALUE_EXPRESSIONS));
        } else {
            aim.parts.insert(Part::Header(name.to_lowercase()));
        }
    }
    for (name, matcher) in fields(&condition["queryParams"]) {
        let value = met(random, matcher, &VALUE_EXPRESSIONS).replace(' ', "%20");
        aim.asked.query.push((name.clone(), Some(value)));
        aim.parts.insert(Part::Query(name.clone()));
    }
    aim
}

/// A value that meets a matcher.
fn met(random: &mut Random, matcher: &Value, expressions: &[Expression]) -> String {
    for (kind, value) in fields(matcher) {
        let value = text(value);
        if kind != "regex" {
            return value.to_owned();
        }
        let hits = expressions.iter().find(|each| each.text == value);
        let near = hits.filter(|each| !each.misses.is_empty() && random.percent(30));
        if let Some(expression) = near {
            return random.one(expression.misses).to_owned();
        }
        if let Some(expression) = hits {
            return random.one(expression.hits).to_owned();
        }
    }
    random.one(&VALUES).to_owned()
}

/// For each rule of a policy a request to the server that the rule matches.
fn policy(random: &mut Random, mesh: &Mesh, object: &Value, aims: &mut Vec<Aim>) {
    for rule in items(&object["spec"]["rules"]) {
        let port = *random.pick(&mesh.world.server_ports());
        let mut aim = Aim::new(to_server(mesh, port));
        aim.asked.caller = mesh_caller(mesh, CLIENT, port);
        if let Some(from) = items(&rule["from"]).next() {
            from_source(random, mesh, &from["source"], &mut aim);
        }
        if let Some(to) = items(&rule["to"]).next() {
            to_operation(random, &to["operation"], &mut aim);
        }
        for condition in items(&rule["when"]) {
            when(random, mesh, condition, &mut aim);
        }
        aims.push(aim);
    }
}

pub(super) fn to_server(mesh: &Mesh, port: u16) -> Asked {
    let server = mesh.world.server();
    let mut asked = Asked::new(Place::Inbound, &server.host, port);
    asked.authority = vec!["server".to_owned()];
    let tcp = server.ports.iter().any(|own| own.target == port && own.protocol == "tcp");
    if tcp {
        asked.speech = Speech::Bytes;
    }
    asked
}

fn mesh_caller(mesh: &Mesh, identity: &str, port: u16) -> Caller {
    let server = mesh.world.server();
    let number = server.ports.iter().find(|own| own.target == port).map_or(port, |own| own.number);
    Caller::Mesh {
        identity: identity.to_owned(),
        sni: format!("outbound_.{number}_._.{}", server.host),
    }
}

/// One of the values of a clause or of its opposite, without stars.
fn of_clause(random: &mut Random, clauses: &Value, field: &str) -> Option<String> {
    let opposite = format!("not{}{}", field[..1].to_uppercase(), &field[1..]);
    let list = [field, &opposite].into_iter().find_map(|field| clauses[field].as_array())?;
    (!list.is_empty()).then(|| text(random.pick(list)).to_owned())
}

fn from_source(random: &mut Random, mesh: &Mesh, source: &Value, aim: &mut Aim) {
    let port = aim.asked.port;
    let identify = |aim: &mut Aim, identity: String| {
        aim.asked.caller = mesh_caller(mesh, &identity, port);
        aim.parts.insert(Part::Identity);
    };
    if let Some(principal) = of_clause(random, source, "principals") {
        identify(aim, principal_identity(&principal));
    }
    if let Some(namespace) = of_clause(random, source, "namespaces") {
        let namespace = namespace.replace('*', "");
        let namespace = if namespace.is_empty() { "default" } else { &namespace };
        identify(aim, format!("spiffe://cluster.local/ns/{namespace}/sa/client"));
    }
    if let Some(account) = of_clause(random, source, "serviceAccounts") {
        let (namespace, account) = account.split_once('/').unwrap_or(("default", &account));
        identify(aim, format!("spiffe://cluster.local/ns/{namespace}/sa/{account}"));
    }
    if source["remoteIpBlocks"].is_array() || source["notRemoteIpBlocks"].is_array() {
        forwarded(random, aim);
    }
}

/// The identity that a principal of a policy stands for.
fn principal_identity(principal: &str) -> String {
    match principal {
        "*" => CLIENT.to_owned(),
        _ if principal.starts_with('*') => CLIENT.to_owned(),
        _ => format!("spiffe://{}", principal.replace('*', "sa/client")),
    }
}

fn forwarded(random: &mut Random, aim: &mut Aim) {
    let chains = ["10.1.2.3", "192.0.2.7", "10.1.2.3, 127.0.0.1", "127.0.0.1,192.0.2.7", "x"];
    aim.header("x-forwarded-for", random.one(&chains).to_owned());
}

fn to_operation(random: &mut Random, operation: &Value, aim: &mut Aim) {
    if let Some(path) = of_clause(random, operation, "paths") {
        let path = path
            .replace("{**}", random.one(&["x/y", "", "x"]))
            .replace("{*}", random.one(&["seg", "v1"]));
        let path = path.trim_start_matches('*').trim_end_matches('*');
        aim.asked.path = match path {
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
    }
    if let Some(method) = of_clause(random, operation, "methods") {
        aim.asked.method = match method.as_str() {
            "*" => "GET".to_owned(),
            "P*" => "PUT".to_owned(),
            "*T" => "GET".to_owned(),
            method => method.to_owned(),
        };
        aim.parts.insert(Part::Method);
    }
    if let Some(host) = of_clause(random, operation, "hosts") {
        aim.asked.authority = vec![match host.as_str() {
            "*" | "*:*" => "server:80".to_owned(),
            host => {
                host.replacen('*', "server", usize::from(host.starts_with('*'))).replace('*', "")
            }
        }];
    }
    if let Some(port) = of_clause(random, operation, "ports").and_then(|port| port.parse().ok())
        && port != 81
    {
        aim.asked.port = port;
    }
}

fn when(random: &mut Random, mesh: &Mesh, condition: &Value, aim: &mut Aim) {
    let list = condition["values"].as_array().or_else(|| condition["notValues"].as_array());
    let Some(value) = list.and_then(|list| list.first()).map(text) else { return };
    let key = text(&condition["key"]);
    let header = key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']'));
    if let Some(name) = header {
        let value = if value == "*" { "any" } else { &value.replace('*', "") };
        return aim.header(name, value.to_owned());
    }
    let port = aim.asked.port;
    match key {
        "remote.ip" => forwarded(random, aim),
        "source.principal" => {
            aim.asked.caller = mesh_caller(mesh, &principal_identity(value), port);
            aim.parts.insert(Part::Identity);
        }
        "source.namespace" | "source.serviceAccount" | "source.trustDomain" => {
            aim.parts.insert(Part::Identity);
        }
        "connection.sni" => {
            let sni = if value == "*" { "any" } else { &value.replacen('*', "any", 1) };
            if let Caller::Mesh { sni: own, .. } = &mut aim.asked.caller {
                *own = sni.to_owned();
            }
            aim.parts.insert(Part::ServerName);
        }
        "destination.port" => {
            if let Ok(port) = value.parse() {
                aim.asked.port = port;
            }
        }
        _ => {}
    }
}

/// Aims at every port that is open, whether an object speaks about it or not.
fn open(random: &mut Random, mesh: &Mesh, aims: &mut Vec<Aim>) {
    for service in mesh.world.services.iter().filter(|service| service.name != "server") {
        for port in &service.ports {
            let mut aim = Aim::new(Asked::new(Place::Outbound, &service.host, port.number));
            match port.protocol {
                "tls" => {
                    aim.asked.caller = tls(&service.host);
                    aim.asked.speech = Speech::Bytes;
                    aim.parts = BTreeSet::from([Part::ServerName]);
                }
                "tcp" => aim.asked.speech = Speech::Bytes,
                "http2" | "grpc" => aim.asked.http2 = true,
                _ => {}
            }
            aims.push(aim);
        }
    }
    for port in mesh.world.server_ports() {
        for kind in 0..3 {
            let mut aim = Aim::new(to_server(mesh, port));
            match kind {
                0 => {}
                1 => {
                    aim.asked.caller = mesh_caller(mesh, CLIENT, port);
                    aim.parts.insert(Part::Identity);
                }
                _ => aim.asked.caller = tls("server.example"),
            }
            if random.percent(20) {
                aim.asked.speech = match aim.asked.speech {
                    Speech::Request => Speech::Bytes,
                    Speech::Bytes => Speech::Request,
                };
            }
            aims.push(aim);
        }
    }
    for (port, protocol) in gateway_servers(mesh) {
        let mut aim = Aim::new(Asked::new(Place::Gateway, "shop.example", port));
        match protocol {
            "HTTPS" => {
                let certificate = if port == MUTUAL { "client.example" } else { "" };
                aim.asked.caller = Caller::Tls { sni: "shop.example".to_owned(), certificate };
                aim.parts.insert(Part::ServerName);
                if port == MUTUAL {
                    aim.parts.insert(Part::Identity);
                }
            }
            "TLS" => {
                aim.asked.caller = tls("shop.example");
                aim.asked.speech = Speech::Bytes;
                aim.parts = BTreeSet::from([Part::ServerName]);
            }
            "TCP" => aim.asked.speech = Speech::Bytes,
            _ => {}
        }
        aims.push(aim);
    }
}
