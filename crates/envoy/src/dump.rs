//! A whole configuration as one static bootstrap: for `envoy --mode validate`, and to look at.
//!
//! What comes over the stream in life stands inline: endpoints in their clusters, virtual hosts in
//! their route configurations, those in their listeners, and secrets beside them.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap, bootstrap};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::core::v3::{
    Address, ApiConfigSource, ApiVersion, GrpcService,
    Http2ProtocolOptions, Node, Pipe, address, api_config_source, grpc_service,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use prost::{DecodeError, Message, Name as _};

use crate::message::{any, millis};
use crate::{Kind, Lowering, cluster, names};

/// The static cluster of the control plane.
const ADS_CLUSTER: &str = "xds-grpc";

/// The resources of these lowerings (those of a scope, and of one of its workloads) as a bootstrap
/// in protobuf, which Envoy reads from a file that ends in `.pb`.
///
/// # Errors
/// When a resource is not what its kind says.
pub fn bootstrap(lowerings: &[&Lowering]) -> Result<Vec<u8>, DecodeError> {
    let routes = tables(lowerings)?;
    let mut listeners: Vec<Listener> = decoded(lowerings, Kind::Listener)?;
    for listener in &mut listeners {
        for chain in listener.filter_chains.iter_mut().chain(&mut listener.default_filter_chain) {
            inline_routes(chain, &routes)?;
        }
    }
    let mut assignments: HashMap<String, ClusterLoadAssignment> = HashMap::new();
    for assignment in decoded::<ClusterLoadAssignment>(lowerings, Kind::Endpoints)? {
        assignments.insert(assignment.cluster_name.clone(), assignment);
    }
    let mut clusters: Vec<Cluster> = decoded(lowerings, Kind::Cluster)?;
    for cluster in &mut clusters {
        inline_endpoints(cluster, &assignments);
    }
    let agent = [ADS_CLUSTER, names::SDS_CLUSTER, names::ACCESS_LOG_CLUSTER];
    clusters.extend(agent.map(agent_cluster));
    let bootstrap = Bootstrap {
        node: Some(Node {
            id: "sidecar~127.0.0.1~dump.dump~dump.svc.cluster.local".to_owned(),
            cluster: "dump.dump".to_owned(),
            ..Node::default()
        }),
        static_resources: Some(StaticResources {
            listeners,
            clusters,
            secrets: decoded::<Secret>(lowerings, Kind::Secret)?,
        }),
        dynamic_resources: Some(bootstrap::DynamicResources {
            ads_config: Some(ads()),
            ..bootstrap::DynamicResources::default()
        }),
        admin: Some(Admin::default()),
        ..Bootstrap::default()
    };
    Ok(bootstrap.encode_to_vec())
}

fn decoded<M: Message + Default>(
    lowerings: &[&Lowering],
    kind: Kind,
) -> Result<Vec<M>, DecodeError> {
    let resources = lowerings.iter().flat_map(|lowering| lowering.resources(kind));
    resources.map(|resource| M::decode(resource.body.clone())).collect()
}

/// Route configurations with their virtual hosts.
fn tables(lowerings: &[&Lowering]) -> Result<HashMap<String, RouteConfiguration>, DecodeError> {
    let mut tables = HashMap::new();
    for mut table in decoded::<RouteConfiguration>(lowerings, Kind::Routes)? {
        table.vhds = None;
        tables.insert(table.name.clone(), table);
    }
    for virtual_host in decoded::<VirtualHost>(lowerings, Kind::VirtualHost)? {
        let table = virtual_host.name.split_once('/').and_then(|(table, _)| tables.get_mut(table));
        if let Some(table) = table {
            table.virtual_hosts.push(virtual_host);
        }
    }
    Ok(tables)
}

fn inline_routes(
    chain: &mut FilterChain,
    tables: &HashMap<String, RouteConfiguration>,
) -> Result<(), DecodeError> {
    for filter in &mut chain.filters {
        let Some(filter::ConfigType::TypedConfig(config)) = &mut filter.config_type else {
            continue;
        };
        if config.type_url != HttpConnectionManager::type_url() {
            continue;
        }
        let mut manager = HttpConnectionManager::decode(&*config.value)?;
        if let Some(RouteSpecifier::Rds(rds)) = &manager.route_specifier
            && let Some(table) = tables.get(&rds.route_config_name)
        {
            manager.route_specifier = Some(RouteSpecifier::RouteConfig(table.clone()));
            *config = any(&manager);
        }
    }
    Ok(())
}

fn inline_endpoints(cluster: &mut Cluster, assignments: &HashMap<String, ClusterLoadAssignment>) {
    let Some(eds) = cluster.eds_cluster_config.take() else { return };
    let mut assignment = assignments.get(&eds.service_name).cloned().unwrap_or_default();
    assignment.cluster_name.clone_from(&cluster.name);
    cluster.load_assignment = Some(assignment);
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
}

fn ads() -> ApiConfigSource {
    ApiConfigSource {
        api_type: api_config_source::ApiType::DeltaGrpc.into(),
        transport_api_version: ApiVersion::V3.into(),
        grpc_services: vec![GrpcService {
            target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(
                grpc_service::EnvoyGrpc {
                    cluster_name: ADS_CLUSTER.to_owned(),
                    ..grpc_service::EnvoyGrpc::default()
                },
            )),
            ..GrpcService::default()
        }],
        set_node_on_first_message_only: true,
        ..ApiConfigSource::default()
    }
}

/// A cluster of the agent's, on a socket that is never opened when a dump is only validated.
fn agent_cluster(name: &str) -> Cluster {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(
            ExplicitHttpConfig {
                protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(
                    Http2ProtocolOptions::default(),
                )),
            },
        )),
        ..HttpProtocolOptions::default()
    };
    let address = Address {
        address: Some(address::Address::Pipe(Pipe {
            path: format!("./{name}.sock"),
            ..Pipe::default()
        })),
    };
    let endpoint = LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(address),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    Cluster {
        name: name.to_owned(),
        connect_timeout: Some(millis(1_000)),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![endpoint],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        typed_extension_protocol_options: cluster::extension(&options),
        ..Cluster::default()
    }
}
