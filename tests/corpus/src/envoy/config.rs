//! The bootstrap: what the control plane would send, with what a test can provide in the place of
//! iptables, of the agent and of the application.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, Node, SocketAddress, address, data_source, socket_address,
    transport_socket,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::config::listener::v3::{Listener, ListenerFilter, listener_filter};
use envoy_types::pb::envoy::config::overload::v3::{
    OverloadManager, ResourceMonitor, resource_monitor,
};
use envoy_types::pb::envoy::extensions::filters::listener::proxy_protocol::v3::ProxyProtocol;
use envoy_types::pb::envoy::extensions::resource_monitors::downstream_connections::v3::DownstreamConnectionsConfig;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, DownstreamTlsContext, Secret, TlsCertificate,
    common_tls_context::ValidationContextType, secret,
};
use envoy_types::pb::google::protobuf::Any;
use lateen_envoy::{Capture, Kind, Lowering, Part, Placement, Pool, Role, names};
use lateen_mesh::name::Name;
use lateen_mesh::v1;
use prost::Message;

use super::certificates::Authority;

/// Gathers the listeners.
pub struct Builder<'a> {
    authority: &'a Authority,
    application: SocketAddr,
    listeners: Vec<Listener>,
}

impl<'a> Builder<'a> {
    pub fn new(authority: &'a Authority, application: SocketAddr) -> Self {
        Self { authority, application, listeners: Vec::new() }
    }

    /// Adds the inbound listener of a workload, under a name of its own.
    pub fn listener(
        &mut self,
        name: &str,
        model: Vec<(Name, Arc<v1::Resource>)>,
    ) -> anyhow::Result<String> {
        let mut lowering = Lowering::new(Placement {
            role: Role::Sidecar,
            part: Part::Workload,
            capture: Capture::Redirect,
            ipv6: false,
            agent: false,
            telemetry: false,
        });
        let changes = model.into_iter().map(|(name, resource)| (name, Some(resource)));
        lowering.apply(&mut Pool::default(), changes);
        let lowered = lowering.get(Kind::Listener, names::VIRTUAL_INBOUND);
        let lowered = lowered.context("nothing listens for what comes in")?;
        let mut listener = Listener::decode(lowered.body.clone())?;
        listener.name = name.to_owned();
        listener.address = Some(socket(SocketAddr::from(([127, 0, 0, 1], 0))));
        for filter in &mut listener.listener_filters {
            if filter.name == "envoy.filters.listener.original_dst" {
                *filter = proxy_protocol();
            }
        }
        for chain in &mut listener.filter_chains {
            if let Some(socket) = &mut chain.transport_socket
                && let Some(transport_socket::ConfigType::TypedConfig(config)) =
                    &mut socket.config_type
            {
                *config = without_agent(config)?;
            }
        }
        self.listeners.push(listener);
        Ok(name.to_owned())
    }

    /// The whole, in protobuf.
    pub fn encode(self) -> Vec<u8> {
        let pair = self.authority.server().expect("invariant: the server's name is one");
        let own = TlsCertificate {
            certificate_chain: Some(inline(pair.certificate)),
            private_key: Some(inline(pair.key)),
            ..TlsCertificate::default()
        };
        let roots = CertificateValidationContext {
            trusted_ca: Some(inline(self.authority.root())),
            ..CertificateValidationContext::default()
        };
        let secret = |name: &str, content| Secret { name: name.to_owned(), r#type: Some(content) };
        Bootstrap {
            node: Some(Node {
                id: "sidecar~10.0.0.1~case.corpus~corpus.svc.cluster.local".to_owned(),
                cluster: "case.corpus".to_owned(),
                ..Node::default()
            }),
            static_resources: Some(StaticResources {
                listeners: self.listeners,
                clusters: vec![
                    cluster(names::INBOUND_PASSTHROUGH_CLUSTER, Some(self.application)),
                    cluster(names::BLACK_HOLE_CLUSTER, None),
                ],
                secrets: vec![
                    secret(names::WORKLOAD_CERTIFICATE, secret::Type::TlsCertificate(own)),
                    secret(names::ROOTS, secret::Type::ValidationContext(roots)),
                ],
            }),
            overload_manager: Some(OverloadManager {
                resource_monitors: vec![connections()],
                ..OverloadManager::default()
            }),
            admin: Some(Admin {
                address: Some(socket(SocketAddr::from(([127, 0, 0, 1], 0)))),
                ..Admin::default()
            }),
            ..Bootstrap::default()
        }
        .encode_to_vec()
    }
}

/// Says where a connection came from and where it was going, as iptables would let Envoy know.
fn proxy_protocol() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.proxy_protocol".to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(&ProxyProtocol::default()))),
        ..ListenerFilter::default()
    }
}

/// More connections than a test makes; Envoy warns without a limit.
fn connections() -> ResourceMonitor {
    let limit = DownstreamConnectionsConfig { max_active_downstream_connections: 1_000 };
    ResourceMonitor {
        name: "envoy.resource_monitors.global_downstream_max_connections".to_owned(),
        config_type: Some(resource_monitor::ConfigType::TypedConfig(any(&limit))),
    }
}

fn any<M: Message + prost::Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Certificates out of the bootstrap instead of the agent's, and callers of any trust domain: who
/// is let in by TLS is another question than what policies allow.
fn without_agent(config: &Any) -> anyhow::Result<Any> {
    let mut context = DownstreamTlsContext::decode(config.value.as_slice())?;
    let common = context.common_tls_context.as_mut().context("no TLS context")?;
    for secret in &mut common.tls_certificate_sds_secret_configs {
        secret.sds_config = None;
    }
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        &mut common.validation_context_type
    else {
        anyhow::bail!("callers are not verified as in the mesh");
    };
    combined.default_validation_context = Some(CertificateValidationContext::default());
    if let Some(secret) = &mut combined.validation_context_sds_secret_config {
        secret.sds_config = None;
    }
    Ok(Any { type_url: config.type_url.clone(), value: context.encode_to_vec() })
}

fn cluster(name: &str, at: Option<SocketAddr>) -> Cluster {
    let endpoints = at.map(|at| LocalityLbEndpoints {
        lb_endpoints: vec![LbEndpoint {
            host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
                address: Some(socket(at)),
                ..Endpoint::default()
            })),
            ..LbEndpoint::default()
        }],
        ..LocalityLbEndpoints::default()
    });
    Cluster {
        name: name.to_owned(),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: endpoints.into_iter().collect(),
            ..ClusterLoadAssignment::default()
        }),
        ..Cluster::default()
    }
}

fn socket(address: SocketAddr) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.ip().to_string(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(address.port().into())),
            ..SocketAddress::default()
        })),
    }
}

fn inline(pem: String) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineString(pem)),
        ..DataSource::default()
    }
}
