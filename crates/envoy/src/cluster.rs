//! Clusters: how destinations are reached.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, CustomClusterType, DiscoveryType, EdsClusterConfig,
    LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, circuit_breakers};
use envoy_types::pb::envoy::config::core::v3::{
    Address, Http1ProtocolOptions, Http2ProtocolOptions, HttpProtocolOptions as CommonHttpProtocolOptions,
    UpstreamHttpProtocolOptions,
};
use envoy_types::pb::envoy::extensions::clusters::dns::v3::DnsCluster;
use envoy_types::pb::envoy::extensions::clusters::common::dns::v3::DnsLookupFamily;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Any, Duration};
use lateen_mesh::v1::{self, Discovery, Protocol, load_balancing};
use prost::Message;

use crate::lowering::{Context, DestinationKey, Output, object_of};
use crate::message::{ads, any, millis, socket_address, socket_address_of_name, uint32};
use crate::names::{self, Carried};
use crate::route::config_path;
use crate::tls::{UpstreamTls, Version, upstream, version};
use crate::wire::{
    ClusterLoadAssignment, ClusterTail, Endpoint, LbEndpoint, LocalityLbEndpoints, Metadata,
    Struct, Value,
};
use crate::{Kind, endpoints};

/// How long a cluster waits for its endpoints before it is used without, in milliseconds.
const ENDPOINTS_WAIT: u64 = 1_000;

/// Where nothing is set, in milliseconds: Istio's.
const CONNECT_TIMEOUT: u64 = 10_000;

/// How often names are resolved whose answers have no lifetime, in milliseconds: Istio's.
const DNS_REFRESH: u64 = 60_000;

/// Connections of requests that were passed through and are idle so long are closed, in
/// milliseconds: Istio's.
const PASSTHROUGH_IDLE: u64 = 300_000;

/// The clusters that are always there.
pub(crate) fn fixed(context: &Context<'_>, out: &mut Output) {
    let black_hole = Cluster {
        name: names::BLACK_HOLE_CLUSTER.to_owned(),
        connect_timeout: Some(connect_timeout(context, 0)),
        cluster_discovery_type: discovery_type(DiscoveryType::Static),
        ..Cluster::default()
    };
    out.put(Kind::Cluster, names::BLACK_HOLE_CLUSTER, &black_hole);
    let mut options = http_options(Version::Downstream, &UpstreamTls::default());
    options.common_http_protocol_options = Some(CommonHttpProtocolOptions {
        idle_timeout: Some(millis(PASSTHROUGH_IDLE)),
        ..CommonHttpProtocolOptions::default()
    });
    let passthrough = Cluster {
        name: names::PASSTHROUGH_CLUSTER.to_owned(),
        connect_timeout: Some(connect_timeout(context, 0)),
        cluster_discovery_type: discovery_type(DiscoveryType::OriginalDst),
        lb_policy: LbPolicy::ClusterProvided.into(),
        circuit_breakers: Some(unlimited()),
        typed_extension_protocol_options: extension(&options),
        ..Cluster::default()
    };
    out.put(Kind::Cluster, names::PASSTHROUGH_CLUSTER, &passthrough);
}

/// The clusters of a destination: one for what its port is declared for, and another for the other
/// use, if something `carries` it there. A port whose protocol is detected has both in the mesh.
pub(crate) fn lower(
    context: &Context<'_>,
    key: &DestinationKey,
    carries: impl Fn(Carried) -> bool,
    out: &mut Output,
) {
    let name = key.name();
    let Some(destination) = context.model.destination(&name) else { return };
    let objects = context.model.objects(&name);
    let natural = names::natural_use(destination.protocol());
    let other = match natural {
        Carried::Http => Carried::Tcp,
        Carried::Tcp => Carried::Http,
    };
    put(context, key, destination, objects, natural, out);
    let detected =
        destination.protocol() == Protocol::Auto && context.placement.role == crate::Role::Sidecar;
    if detected || carries(other) {
        put(context, key, destination, objects, other, out);
    }
}

fn put(
    context: &Context<'_>,
    key: &DestinationKey,
    destination: &v1::Destination,
    objects: &[v1::ObjectRef],
    carried: Carried,
    out: &mut Output,
) {
    let protocol = destination.protocol();
    let name = names::cluster(&key.host, key.port, &key.subset, protocol, carried);
    let version = version(protocol, context.placement.role);
    let tls = upstream(destination, carried, version);
    let options = (carried == Carried::Http).then(|| http_options(version, &tls));
    let mut cluster = Cluster {
        alt_stat_name: format!("{name};"),
        name,
        connect_timeout: Some(connect_timeout(context, destination.connect_timeout_ms)),
        lb_policy: lb_policy(destination).into(),
        circuit_breakers: Some(unlimited()),
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..CommonLbConfig::default()
        }),
        typed_extension_protocol_options: options.as_ref().map(extension).unwrap_or_default(),
        transport_socket: tls.transport_socket,
        transport_socket_matches: tls.matches,
        ..Cluster::default()
    };
    let mut load_assignment = None;
    match destination.discovery() {
        Discovery::Endpoints => {
            cluster.cluster_discovery_type = discovery_type(DiscoveryType::Eds);
            cluster.eds_cluster_config = Some(EdsClusterConfig {
                eds_config: Some(ads(Some(ENDPOINTS_WAIT))),
                service_name: names::outbound(&key.host, key.port, &key.subset),
            });
        }
        Discovery::Dns => {
            cluster.cluster_discovery_type = Some(dns());
            load_assignment = Some(targets(context, &cluster.name, destination));
        }
        Discovery::Passthrough => {
            cluster.cluster_discovery_type = discovery_type(DiscoveryType::OriginalDst);
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
        }
    }
    let mut body = cluster.encode_to_vec();
    let tail = ClusterTail { metadata: Some(metadata(destination, objects)), load_assignment };
    body.extend(tail.encode_to_vec());
    out.put_bytes(Kind::Cluster, cluster.name, body);
}

fn discovery_type(discovery: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(discovery.into()))
}

fn dns() -> ClusterDiscoveryType {
    let config = DnsCluster {
        dns_refresh_rate: Some(millis(DNS_REFRESH)),
        respect_dns_ttl: true,
        dns_lookup_family: DnsLookupFamily::V4Preferred.into(),
        ..DnsCluster::default()
    };
    ClusterDiscoveryType::ClusterType(CustomClusterType {
        name: "envoy.cluster.dns".to_owned(),
        typed_config: Some(any(&config)),
    })
}

fn targets(
    context: &Context<'_>,
    name: &str,
    destination: &v1::Destination,
) -> ClusterLoadAssignment {
    let labels = &destination.subset_labels;
    let selected = destination
        .dns
        .iter()
        .filter(|target| labels.iter().all(|(name, value)| target.labels.get(name) == Some(value)));
    let lb_endpoints = selected.map(|target| LbEndpoint {
        endpoint: Some(Endpoint {
            address: Some(target_address(context, target)),
            ..Endpoint::default()
        }),
        metadata: Some(endpoints::metadata("", &target.labels, target.mesh_tls)),
        load_balancing_weight: Some(uint32(target.weight.max(1))),
        ..LbEndpoint::default()
    });
    ClusterLoadAssignment {
        cluster_name: name.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: lb_endpoints.collect(),
            ..LocalityLbEndpoints::default()
        }],
    }
}

fn target_address(context: &Context<'_>, target: &v1::DnsTarget) -> Address {
    let port = u16::try_from(target.port).unwrap_or_default();
    match target.host.parse() {
        Ok(address) => {
            socket_address(address, endpoints::dialled(context.placement.capture, address, port))
        }
        Err(_) => socket_address_of_name(&target.host, port),
    }
}

fn connect_timeout(context: &Context<'_>, own: u32) -> Duration {
    let set = [own, context.settings.connect_timeout_ms].into_iter().find(|it| *it > 0);
    millis(set.map_or(CONNECT_TIMEOUT, u64::from))
}

fn lb_policy(destination: &v1::Destination) -> LbPolicy {
    use load_balancing::Policy;
    match destination.load_balancing.as_ref().map(v1::LoadBalancing::policy) {
        None | Some(Policy::LeastRequest) => LbPolicy::LeastRequest,
        Some(Policy::RoundRobin) => LbPolicy::RoundRobin,
        Some(Policy::Random) => LbPolicy::Random,
    }
}

/// No limits, as Istio's.
pub(crate) fn unlimited() -> CircuitBreakers {
    let most = || Some(uint32(u32::MAX));
    CircuitBreakers {
        thresholds: vec![circuit_breakers::Thresholds {
            max_connections: most(),
            max_pending_requests: most(),
            max_requests: most(),
            max_retries: most(),
            ..circuit_breakers::Thresholds::default()
        }],
        ..CircuitBreakers::default()
    }
}

fn http_options(version: Version, tls: &UpstreamTls) -> HttpProtocolOptions {
    let explicit = |config| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })
    };
    HttpProtocolOptions {
        upstream_protocol_options: Some(match version {
            Version::Http1 => {
                explicit(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default()))
            }
            Version::Http2 => {
                explicit(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()))
            }
            Version::Downstream => {
                UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                    http_protocol_options: Some(Http1ProtocolOptions::default()),
                    http2_protocol_options: Some(Http2ProtocolOptions::default()),
                    ..UseDownstreamHttpConfig::default()
                })
            }
        }),
        upstream_http_protocol_options: tls.by_authority.then(|| UpstreamHttpProtocolOptions {
            auto_sni: true,
            auto_san_validation: !tls.unverified,
            ..UpstreamHttpProtocolOptions::default()
        }),
        ..HttpProtocolOptions::default()
    }
}

/// The one entry that says how a cluster speaks HTTP.
pub(crate) fn extension(options: &HttpProtocolOptions) -> HashMap<String, Any> {
    let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    HashMap::from([(key.to_owned(), any(options))])
}

/// What tools and telemetry read of a cluster: its service, its subset, the DestinationRule.
fn metadata(destination: &v1::Destination, objects: &[v1::ObjectRef]) -> Metadata {
    let service = Struct::new([
        ("host", Value::string(&destination.host)),
        ("name", Value::string(&destination.service_name)),
        ("namespace", Value::string(&destination.namespace)),
    ]);
    let mut istio = Struct::new([("services", Value::list(vec![service.into_value()]))]);
    let mut set = |key: &str, value: Value| istio.fields.insert(key.to_owned(), value);
    if !destination.subset.is_empty() {
        set("subset", Value::string(&destination.subset));
    }
    let rule = destination.policy_origin.as_ref().and_then(|origin| object_of(objects, origin));
    if let Some(path) = rule.and_then(config_path) {
        set("config", Value::string(path));
    }
    if destination.external {
        set("external", Value::bool(true));
    }
    Metadata::new([("istio", istio)])
}
