//! A small mesh, written as the messages that a control plane would send.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use lateen_engine::{Cut, Plan, Resources};
use lateen_mesh::v1;
use prost::Message;

/// The resources of a plan.
#[derive(Default)]
pub struct Mesh {
    resources: Vec<(String, v1::resource::Body)>,
    entries: Vec<v1::DirectoryEntry>,
    settings: v1::Settings,
}

/// Host of the service that most tests call.
pub const SHOP: &str = "shop.example";

impl Mesh {
    pub fn new() -> Self {
        let settings = v1::Settings {
            trust_domain: "cluster.local".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            root_namespace: "istio-system".to_owned(),
            namespace: "shop".to_owned(),
            connect_timeout_ms: 2_000,
            ..v1::Settings::default()
        };
        Self { settings, ..Self::default() }
    }

    pub fn settings(mut self, change: impl FnOnce(&mut v1::Settings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// [`SHOP`] on port 80 with these endpoints and one rule that is `rule`, its backend filled in.
    pub fn shop(
        self,
        protocol: v1::Protocol,
        endpoints: &[SocketAddr],
        rule: v1::HttpRule,
    ) -> Self {
        self.service(SHOP, protocol, endpoints, vec![to(SHOP, rule)])
    }

    /// A service on port 80.
    pub fn service(
        mut self,
        host: &str,
        protocol: v1::Protocol,
        endpoints: &[SocketAddr],
        http: Vec<v1::HttpRule>,
    ) -> Self {
        self.entries.push(v1::DirectoryEntry {
            host: host.to_owned(),
            ports: vec![80 << 4 | u32::try_from(i32::from(protocol)).expect("protocol")],
            ..v1::DirectoryEntry::default()
        });
        let routes = v1::Routes { host: host.to_owned(), http, ..v1::Routes::default() };
        self.add(format!("routes/{host}"), v1::resource::Body::Routes(routes));
        let destination = v1::Destination {
            host: host.to_owned(),
            port: 80,
            protocol: protocol.into(),
            endpoint_slices: vec![format!("endpoints/{host}/80/0")],
            connect_timeout_ms: 1_000,
            namespace: "shop".to_owned(),
            service_name: "shop".to_owned(),
            load_balancing: Some(v1::LoadBalancing {
                policy: v1::load_balancing::Policy::RoundRobin.into(),
                origin: None,
            }),
            ..v1::Destination::default()
        };
        self.add(format!("destination/{host}/80/"), v1::resource::Body::Destination(destination));
        let endpoints = endpoints.iter().map(endpoint).collect();
        let slice = v1::EndpointSlice {
            host: host.to_owned(),
            port: 80,
            templates: vec![v1::EndpointTemplate {
                namespace: "shop".to_owned(),
                workload: "shop-v1".to_owned(),
                ..v1::EndpointTemplate::default()
            }],
            endpoints,
        };
        self.add(format!("endpoints/{host}/80/0"), v1::resource::Body::Endpoints(slice));
        self
    }

    /// All endpoints so far speak mutual TLS of the mesh, as the account `web`.
    pub fn mesh_tls(mut self) -> Self {
        for (_, body) in &mut self.resources {
            match body {
                v1::resource::Body::Endpoints(slice) => {
                    for endpoint in &mut slice.endpoints {
                        endpoint.mesh_tls = true;
                    }
                }
                v1::resource::Body::Destination(destination) => {
                    destination.identities =
                        vec!["spiffe://cluster.local/ns/shop/sa/web".to_owned()];
                }
                _ => {}
            }
        }
        self
    }

    pub fn inbound(mut self, inbound: v1::Inbound) -> Self {
        self.add("inbound/shop/web".to_owned(), v1::resource::Body::Inbound(inbound));
        self
    }

    pub fn policy(mut self, name: &str, policy: v1::AuthorizationPolicy) -> Self {
        self.add(format!("policy/shop/{name}"), v1::resource::Body::Policy(policy));
        self
    }

    /// A gateway's port 80 with one plain server for [`SHOP`].
    pub fn gateway(mut self, rules: Vec<v1::HttpRule>) -> Self {
        let name = format!("gateway/80/http/{SHOP}");
        let routes = v1::Routes { host: SHOP.to_owned(), http: rules, ..v1::Routes::default() };
        self.add(name.clone(), v1::resource::Body::Routes(routes));
        let server = v1::GatewayServer {
            name: "shop.front.http".to_owned(),
            number: 80,
            hosts: vec![SHOP.to_owned()],
            ..v1::GatewayServer::default()
        };
        let listener =
            v1::GatewayListener { port: 80, servers: vec![server], http_routes: vec![name] };
        self.add("gateway/80".to_owned(), v1::resource::Body::Gateway(listener));
        self
    }

    /// The entry of a host whose details never come.
    pub fn entry_without_details(mut self, host: &str) -> Self {
        self.entries.push(v1::DirectoryEntry {
            host: host.to_owned(),
            ports: vec![80 << 4 | 3],
            ..v1::DirectoryEntry::default()
        });
        self
    }

    pub fn plan(mut self) -> Arc<Plan> {
        let directory = v1::DirectorySlice {
            namespace: "shop".to_owned(),
            entries: std::mem::take(&mut self.entries),
            ..v1::DirectorySlice::default()
        };
        self.add("directory/shop/0".to_owned(), v1::resource::Body::Directory(directory));
        let settings = std::mem::take(&mut self.settings);
        self.add("settings".to_owned(), v1::resource::Body::Settings(settings));
        let upserts = self.resources.into_iter().map(|(name, body)| {
            let resource = v1::Resource { objects: Vec::new(), body: Some(body) };
            (name, Bytes::from(resource.encode_to_vec()))
        });
        let cut = Cut { upserts: upserts.collect(), removed: Vec::new() };
        Resources::new().apply(&cut).expect("the messages are good")
    }

    fn add(&mut self, name: String, body: v1::resource::Body) {
        self.resources.push((name, body));
    }
}

fn endpoint(address: &SocketAddr) -> v1::Endpoint {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    v1::Endpoint {
        workload_uid: format!("cluster/shop/{address}"),
        addresses: vec![bytes.into()],
        port: address.port().into(),
        ..v1::Endpoint::default()
    }
}

/// The rule, forwarding to a host's port 80.
pub fn to(host: &str, mut rule: v1::HttpRule) -> v1::HttpRule {
    if rule.action.is_none() {
        let backend =
            v1::Backend { host: host.to_owned(), port: 80, weight: 1, ..v1::Backend::default() };
        rule.action = Some(v1::http_rule::Action::Forward(v1::Forward { backends: vec![backend] }));
    }
    rule
}

/// Istio's default retries, or others.
pub fn retries(attempts: u32, on: &str) -> Option<v1::RetryPolicy> {
    Some(v1::RetryPolicy {
        attempts,
        retry_on: on.split(',').map(str::to_owned).collect(),
        backoff_base_ms: 1,
        avoid_previous_hosts: 5,
        ..v1::RetryPolicy::default()
    })
}

/// A workload whose application listens on `application` and has it declared as `protocol`.
pub fn inbound(application: SocketAddr, protocol: v1::Protocol) -> v1::Inbound {
    let IpAddr::V4(ip) = application.ip() else { panic!("an IPv4 address") };
    v1::Inbound {
        workload: Some(v1::Workload {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            service_account: "web".to_owned(),
            ..v1::Workload::default()
        }),
        ports: vec![v1::InboundPort {
            port: application.port().into(),
            protocol: protocol.into(),
            service_host: "web.shop.svc.cluster.local".to_owned(),
            service_port: 80,
            service_name: "web".to_owned(),
            service_namespace: "shop".to_owned(),
            forward_address: ip.octets().to_vec().into(),
            ..v1::InboundPort::default()
        }],
        ..v1::Inbound::default()
    }
}
