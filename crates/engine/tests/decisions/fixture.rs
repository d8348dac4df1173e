//! A small mesh to decide on, written as the control plane would send it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use lateen_engine::connection::Hosts;
use lateen_engine::{Cut, HttpScope, Plan, Rejected, Request, Resources};
use lateen_mesh::address::{Block, encode_address, pack_port};
use lateen_mesh::v1::resource::Body;
use lateen_mesh::v1::{self, Protocol};
use prost::Message;

/// Collects resources into one cut.
#[derive(Default)]
pub struct Mesh(pub Cut);

pub fn encode(body: Body) -> Bytes {
    let objects = vec![v1::ObjectRef {
        kind: "VirtualService".to_owned(),
        namespace: "shop".to_owned(),
        name: "reviews".to_owned(),
    }];
    v1::Resource { objects, body: Some(body) }.encode_to_vec().into()
}

impl Mesh {
    /// Settings of namespace `shop`, ALLOW_ANY.
    pub fn new() -> Self {
        Self::with_settings(settings())
    }

    pub fn with_settings(settings: v1::Settings) -> Self {
        Self::default().with("settings", Body::Settings(settings))
    }

    pub fn with(mut self, name: &str, body: Body) -> Self {
        self.0.upserts.push((name.to_owned(), encode(body)));
        self
    }

    pub fn entries(self, entries: Vec<v1::DirectoryEntry>) -> Self {
        let slice =
            v1::DirectorySlice::within("shop".to_owned(), "shop.svc.cluster.local", entries);
        self.with("directory/shop/0", Body::Directory(slice))
    }

    pub fn routes(self, routes: v1::Routes) -> Self {
        self.with(&format!("routes/{}", routes.host), Body::Routes(routes))
    }

    pub fn destination(self, destination: v1::Destination) -> Self {
        let v1::Destination { host, port, subset, .. } = &destination;
        let name = format!("destination/{host}/{port}/{subset}");
        self.with(&name, Body::Destination(destination))
    }

    pub fn inbound(self, inbound: v1::Inbound) -> Self {
        self.with("inbound/shop/reviews-1", Body::Inbound(inbound))
    }

    /// An entry with everything behind it: a default HTTP and TCP route to a destination with
    /// one endpoint for each port.
    pub fn service(mut self, host: &str, ports: &[(u16, Protocol)]) -> Self {
        let routes = v1::Routes {
            host: host.to_owned(),
            http: vec![to("default", vec![backend(host, 0)])],
            tcp: vec![v1::TcpRule { backends: vec![backend(host, 0)], ..Default::default() }],
            ..Default::default()
        };
        for (port, protocol) in ports {
            self = self.destination(v1::Destination {
                protocol: i32::from(*protocol),
                ..destination(host, *port)
            });
            let slice = slice(host, *port, vec![endpoint("a", *port)]);
            self = self.with(&format!("endpoints/{host}/{port}/0"), Body::Endpoints(slice));
        }
        self.routes(routes)
    }

    pub fn try_plan(self) -> Result<Arc<Plan>, Rejected> {
        Resources::new().apply(&self.0)
    }

    pub fn plan(self) -> Arc<Plan> {
        self.try_plan().unwrap_or_else(|rejected| panic!("rejected: {rejected}"))
    }
}

pub fn settings() -> v1::Settings {
    v1::Settings {
        trust_domain: "cluster.local".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        namespace: "shop".to_owned(),
        outbound_policy_origin: origin("spec.outboundTrafficPolicy"),
        ..Default::default()
    }
}

pub fn registry_only() -> v1::Settings {
    v1::Settings { outbound_policy: v1::OutboundPolicy::RegistryOnly.into(), ..settings() }
}

/// An origin of the one object that every resource here lists.
pub fn origin(field: &str) -> Option<v1::Origin> {
    Some(v1::Origin { object: 1, field: field.to_owned() })
}

pub fn entry(host: &str, addresses: &[&str], ports: &[(u16, Protocol)]) -> v1::DirectoryEntry {
    v1::DirectoryEntry {
        host: host.to_owned(),
        addresses: addresses.iter().map(|text| block(text)).collect(),
        ports: ports.iter().map(|(port, protocol)| pack_port(*port, *protocol)).collect(),
        ..Default::default()
    }
}

pub fn kubernetes(host: &str, addresses: &[&str], ports: &[(u16, Protocol)]) -> v1::DirectoryEntry {
    v1::DirectoryEntry { kind: v1::EntryKind::Kubernetes.into(), ..entry(host, addresses, ports) }
}

/// `10.0.0.1` or `10.0.0.0/8` in the compact form.
pub fn block(text: &str) -> Bytes {
    match text.split_once('/') {
        None => encode_address(ip(text)),
        Some((address, prefix)) => {
            Block { address: ip(address), prefix: prefix.parse().expect("a prefix length") }
                .encode()
        }
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub fn socket(text: &str) -> SocketAddr {
    text.parse().expect("an address with a port")
}

pub fn backend(host: &str, port: u32) -> v1::Backend {
    v1::Backend {
        host: host.to_owned(),
        port,
        weight: 1,
        origin: origin("route[0]"),
        ..Default::default()
    }
}

/// A rule for every request.
pub fn to(name: &str, backends: Vec<v1::Backend>) -> v1::HttpRule {
    v1::HttpRule {
        name: name.to_owned(),
        origin: origin(&format!("spec.http[{name}]")),
        action: Some(v1::http_rule::Action::Forward(v1::Forward { backends })),
        ..Default::default()
    }
}

/// A rule for requests that match any of these.
pub fn when(rule: v1::HttpRule, matches: Vec<v1::HttpMatch>) -> v1::HttpRule {
    v1::HttpRule { matches, ..rule }
}

pub fn path(kind: v1::path_match::Kind) -> v1::HttpMatch {
    let path = Some(v1::PathMatch { kind: Some(kind), ignore_case: false });
    v1::HttpMatch { path, ..Default::default() }
}

pub fn string(kind: v1::string_match::Kind) -> v1::StringMatch {
    v1::StringMatch { kind: Some(kind), ignore_case: false }
}

pub fn destination(host: &str, port: u16) -> v1::Destination {
    v1::Destination {
        host: host.to_owned(),
        port: port.into(),
        protocol: Protocol::Http.into(),
        endpoint_slices: vec![format!("endpoints/{host}/{port}/0")],
        ..Default::default()
    }
}

pub fn slice(host: &str, port: u16, endpoints: Vec<v1::Endpoint>) -> v1::EndpointSlice {
    let template = v1::EndpointTemplate {
        namespace: "shop".to_owned(),
        workload: "reviews".to_owned(),
        identity: "spiffe://cluster.local/ns/shop/sa/reviews".to_owned(),
        labels: [("version".to_owned(), "v1".to_owned())].into(),
        ..Default::default()
    };
    let other = v1::EndpointTemplate {
        labels: [("version".to_owned(), "v2".to_owned())].into(),
        identity: String::new(),
        ..template.clone()
    };
    v1::EndpointSlice {
        host: host.to_owned(),
        port: port.into(),
        templates: vec![template, other],
        endpoints,
    }
}

pub fn endpoint(name: &str, port: u16) -> v1::Endpoint {
    v1::Endpoint {
        workload_uid: format!("c1/shop/{name}"),
        addresses: vec![block("10.1.0.1")],
        port: port.into(),
        mesh_tls: true,
        ..Default::default()
    }
}

/// A scope of the directory's virtual hosts on a port.
pub fn on_port(port: u16) -> HttpScope {
    HttpScope { port, destination: SocketAddr::new(ip("192.0.2.1"), port), hosts: Hosts::Port }
}

pub fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().expect("a header value"));
    }
    map
}

pub fn get<'a>(authority: &'a str, path: &'a str, headers: &'a HeaderMap) -> Request<'a> {
    Request { method: "GET", scheme: "http", authority, path_and_query: path, headers }
}
