//! Messages, written as a control plane would.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use lateen_engine::{Cut, Plan, Resources};
use lateen_mesh::address::{encode_address, pack_port};
use lateen_mesh::v1::{self, MtlsMode, Protocol, resource::Body};
use lateen_proxy::handover::Resource;
use prost::Message;

/// The resources of one scope.
pub struct Mesh {
    settings: v1::Settings,
    inbound: v1::Inbound,
    entries: Vec<v1::DirectoryEntry>,
    others: Vec<(String, Body)>,
}

impl Mesh {
    /// Nothing but a workload that owns the /16 of `base`.
    pub fn new(base: Ipv4Addr) -> Self {
        Self {
            settings: v1::Settings {
                trust_domain: "cluster.local".to_owned(),
                namespace: "shop".to_owned(),
                connect_timeout_ms: 2_000,
                ..v1::Settings::default()
            },
            inbound: v1::Inbound {
                local_base: encode_address(IpAddr::V4(base)),
                ..v1::Inbound::default()
            },
            entries: Vec::new(),
            others: Vec::new(),
        }
    }

    pub fn registry_only(mut self) -> Self {
        self.settings.outbound_policy = v1::OutboundPolicy::RegistryOnly.into();
        self
    }

    /// A port that a service declares.
    pub fn port(mut self, port: u16, protocol: Protocol, mtls: MtlsMode) -> Self {
        self.inbound.ports.push(v1::InboundPort {
            port: port.into(),
            protocol: protocol.into(),
            mtls: mtls.into(),
            service_host: "app.shop".to_owned(),
            service_port: port.into(),
            ..v1::InboundPort::default()
        });
        self
    }

    /// A policy about the caller's principal.
    pub fn principals(mut self, action: v1::authorization_policy::Action, allowed: &str) -> Self {
        let clause = v1::Clause {
            attribute: v1::Attribute::Principal.into(),
            values: vec![v1::ValueMatch {
                kind: Some(v1::value_match::Kind::Exact(allowed.to_owned())),
                ignore_case: false,
            }],
            ..v1::Clause::default()
        };
        let rule = v1::AuthorizationRule {
            from: vec![v1::Clauses { clauses: vec![clause] }],
            ..v1::AuthorizationRule::default()
        };
        let policy = v1::AuthorizationPolicy {
            namespace: "shop".to_owned(),
            name: "callers".to_owned(),
            action: action.into(),
            rules: vec![rule],
            ..v1::AuthorizationPolicy::default()
        };
        self.inbound.policies.push("policy/shop/callers".to_owned());
        self.others.push(("policy/shop/callers".to_owned(), Body::Policy(policy)));
        self
    }

    /// A service at `offset` with one route of opaque bytes to its own endpoints.
    pub fn service(
        self,
        host: &str,
        offset: u32,
        port: u16,
        protocol: Protocol,
        endpoints: &[Endpoint],
    ) -> Self {
        let backends = vec![backend(host, port)];
        let rule = v1::TcpRule { backends, ..v1::TcpRule::default() };
        let routes = v1::Routes { tcp: vec![rule], ..v1::Routes::default() };
        self.entry(host, offset, port, protocol)
            .routes(host, routes)
            .destination(host, port, endpoints)
    }

    pub fn entry(mut self, host: &str, offset: u32, port: u16, protocol: Protocol) -> Self {
        self.entries.push(v1::DirectoryEntry {
            host: host.to_owned(),
            ports: vec![pack_port(port, protocol)],
            local_offset: offset,
            ..v1::DirectoryEntry::default()
        });
        self
    }

    pub fn routes(self, host: &str, routes: v1::Routes) -> Self {
        self.resource(
            &format!("routes/{host}"),
            Body::Routes(v1::Routes { host: host.to_owned(), ..routes }),
        )
    }

    pub fn destination(mut self, host: &str, port: u16, endpoints: &[Endpoint]) -> Self {
        let slice = format!("endpoints/{host}/{port}/0");
        let destination = v1::Destination {
            host: host.to_owned(),
            port: port.into(),
            connect_timeout_ms: 1_000,
            endpoint_slices: vec![slice.clone()],
            ..v1::Destination::default()
        };
        let name = format!("destination/{host}/{port}/");
        self.others.push((name, Body::Destination(destination)));
        let templates = endpoints.iter().map(|endpoint| v1::EndpointTemplate {
            identity: endpoint.identity.clone(),
            ..v1::EndpointTemplate::default()
        });
        let messages = endpoints.iter().enumerate().map(|(index, endpoint)| v1::Endpoint {
            workload_uid: endpoint.address.to_string(),
            addresses: vec![encode_address(endpoint.address.ip())],
            port: endpoint.address.port().into(),
            template: u32::try_from(index).unwrap(),
            mesh_tls: endpoint.mesh,
            ..v1::Endpoint::default()
        });
        let endpoints = v1::EndpointSlice {
            host: host.to_owned(),
            port: port.into(),
            templates: templates.collect(),
            endpoints: messages.collect(),
        };
        self.others.push((slice, Body::Endpoints(endpoints)));
        self
    }

    pub fn resource(mut self, name: &str, body: Body) -> Self {
        self.others.push((name.to_owned(), body));
        self
    }

    /// The plan, made from the encoded messages.
    pub fn plan(self) -> Arc<Plan> {
        let cut = Cut { upserts: self.encoded(), removed: Vec::new() };
        Resources::new().apply(&cut).unwrap()
    }

    /// What a predecessor would hand over.
    pub fn resources(self) -> Vec<Resource> {
        let named = self.encoded().into_iter();
        named.map(|(name, body)| Resource { version: name.clone(), name, body }).collect()
    }

    fn encoded(self) -> Vec<(String, Bytes)> {
        let directory = v1::DirectorySlice {
            namespace: "shop".to_owned(),
            entries: self.entries,
            ..v1::DirectorySlice::default()
        };
        let own = [
            ("settings".to_owned(), Body::Settings(self.settings)),
            ("inbound/shop/app".to_owned(), Body::Inbound(self.inbound)),
            ("directory/shop/0".to_owned(), Body::Directory(directory)),
        ];
        let bodies = own.into_iter().chain(self.others);
        let encode = |body| v1::Resource { objects: Vec::new(), body: Some(body) }.encode_to_vec();
        bodies.map(|(name, body)| (name, Bytes::from(encode(body)))).collect()
    }
}

/// Where an endpoint is and whom to expect there.
#[derive(Clone)]
pub struct Endpoint {
    address: SocketAddr,
    mesh: bool,
    identity: String,
}

/// One that speaks plain text.
pub fn plain(address: SocketAddr) -> Endpoint {
    Endpoint { address, mesh: false, identity: String::new() }
}

/// One that speaks the mesh's mutual TLS.
pub fn meshed(address: SocketAddr, account: &str) -> Endpoint {
    Endpoint { address, mesh: true, identity: identity(account) }
}

pub fn identity(account: &str) -> String {
    format!("spiffe://cluster.local/ns/shop/sa/{account}")
}

pub fn backend(host: &str, port: u16) -> v1::Backend {
    v1::Backend { host: host.to_owned(), port: port.into(), weight: 1, ..v1::Backend::default() }
}
