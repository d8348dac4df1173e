//! Inbound clusters: the way to the application.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, circuit_breakers::Thresholds, cluster,
};
use envoy_types::pb::envoy::config::core::v3::{
    BindConfig, ExtraSourceAddress, Http1ProtocolOptions, Http2ProtocolOptions,
    HttpProtocolOptions as Common, SocketAddress, address,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions, http_protocol_options,
};
use envoy_types::pb::google::protobuf::{Any, Duration};
use http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions, UseDownstreamHttpConfig, explicit_http_config,
};
use lateen_mesh::address::decode_address;
use lateen_mesh::local::{self, APPLICATION};
use lateen_mesh::v1::{self, Protocol};
use prost::Message;

use super::{Port, Workload};
use crate::Kind;
use crate::lowering::Output;
use crate::message::{any, millis, socket_address, uint32};
use crate::names;
use crate::wire::{ClusterTail, Metadata, Struct, Value};

/// From where captured connections to the application come, so that they are not captured again:
/// Istio's address.
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 6));
/// The same for IPv6.
const SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6));

/// Milliseconds for a connection that no destination governs, unless the mesh's settings say other.
const CONNECT_TIMEOUT: u64 = 10_000;

/// Seconds that an unused connection to the application of an undeclared port is kept.
const PASSTHROUGH_IDLE: i64 = 300;

/// `inbound|<port>||`, if a service declares the port.
pub(super) fn declared(workload: &Workload<'_>, port: &Port<'_>, out: &mut Output) {
    let Some(declared) = port.declared else { return };
    let name = names::inbound(port.number);
    let base = Cluster {
        name: name.clone(),
        typed_extension_protocol_options: protocol_options(port.protocol(), None),
        ..common(workload)
    };
    let cluster = match application(workload, port, declared) {
        Some(address) => at(base, address),
        None => captured(base, workload),
    };
    let tail = ClusterTail { metadata: Some(metadata(declared)), load_assignment: None };
    let mut body = cluster.encode_to_vec();
    body.extend(tail.encode_to_vec());
    out.put_bytes(Kind::Cluster, name, body);
}

/// `InboundPassthroughCluster`: ports that no service declares.
pub(super) fn passthrough(workload: &Workload<'_>, inbound: &v1::Inbound, out: &mut Output) {
    if inbound.only_declared {
        return;
    }
    let name = names::INBOUND_PASSTHROUGH_CLUSTER;
    let cluster = Cluster {
        name: name.to_owned(),
        typed_extension_protocol_options: protocol_options(Protocol::Auto, Some(PASSTHROUGH_IDLE)),
        ..common(workload)
    };
    out.put(Kind::Cluster, name, &captured(cluster, workload));
}

/// Where the application listens, if not where the caller dialled.
fn application(
    workload: &Workload<'_>,
    port: &Port<'_>,
    declared: &v1::InboundPort,
) -> Option<SocketAddr> {
    let number = match u16::try_from(declared.forward_port) {
        Ok(0) | Err(_) => port.number,
        Ok(number) => number,
    };
    let own = workload.local_base.map(|base| IpAddr::V4(local::address(base, APPLICATION)));
    let address = decode_address(&declared.forward_address).or(own);
    match address {
        Some(address) => {
            let socket = SocketAddr::new(address, number);
            let moved = own.is_some() && local::is_in_mesh(address);
            Some(if moved { local::shift_address(socket) } else { socket })
        }
        // Another port of the own address: whichever it is, the application listens on loopback.
        None if number != port.number => Some((Ipv4Addr::LOCALHOST, number).into()),
        None => None,
    }
}

fn common(workload: &Workload<'_>) -> Cluster {
    let timeout = match workload.context.settings.connect_timeout_ms {
        0 => CONNECT_TIMEOUT,
        millis => millis.into(),
    };
    let unlimited = || Some(uint32(u32::MAX));
    Cluster {
        connect_timeout: Some(millis(timeout)),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: unlimited(),
                max_pending_requests: unlimited(),
                max_requests: unlimited(),
                max_retries: unlimited(),
                ..Thresholds::default()
            }],
            ..CircuitBreakers::default()
        }),
        ..Cluster::default()
    }
}

/// The address that the caller dialled.
fn captured(cluster: Cluster, workload: &Workload<'_>) -> Cluster {
    Cluster {
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
            cluster::DiscoveryType::OriginalDst.into(),
        )),
        lb_policy: cluster::LbPolicy::ClusterProvided.into(),
        upstream_bind_config: Some(source(&workload.addresses)),
        ..cluster
    }
}

/// Where connections come from, in the families of the workload's addresses.
fn source(addresses: &[IpAddr]) -> BindConfig {
    let socket = |address: IpAddr| match socket_address(address, 0).address {
        Some(address::Address::SocketAddress(socket)) => Some(socket),
        _ => None,
    };
    let extra =
        |address: IpAddr| ExtraSourceAddress { address: socket(address), socket_options: None };
    let v4 = addresses.is_empty() || addresses.iter().any(IpAddr::is_ipv4);
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    let (first, others): (IpAddr, Vec<ExtraSourceAddress>) = match (v4, v6) {
        (true, true) => (SOURCE, vec![extra(SOURCE_V6)]),
        (false, true) => (SOURCE_V6, Vec::new()),
        (_, false) => (SOURCE, Vec::new()),
    };
    let source_address: Option<SocketAddress> = socket(first);
    BindConfig { source_address, extra_source_addresses: others, ..BindConfig::default() }
}

/// One address.
fn at(cluster: Cluster, address: SocketAddr) -> Cluster {
    let endpoint = LbEndpoint {
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: Some(socket_address(address.ip(), address.port())),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    Cluster {
        cluster_discovery_type: Some(cluster::ClusterDiscoveryType::Type(
            cluster::DiscoveryType::Static.into(),
        )),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: cluster.name.clone(),
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![endpoint],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        ..cluster
    }
}

/// The version in which HTTP is spoken to the application: as declared, else the caller's.
fn protocol_options(protocol: Protocol, idle: Option<i64>) -> HashMap<String, Any> {
    let http1 = || Some(Http1ProtocolOptions::default());
    let http2 = || Some(Http2ProtocolOptions::default());
    let explicit = |config| {
        UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(config),
        })
    };
    let version = match protocol {
        Protocol::Http | Protocol::GrpcWeb => {
            explicit(explicit_http_config::ProtocolConfig::HttpProtocolOptions(
                Http1ProtocolOptions::default(),
            ))
        }
        Protocol::Http2 | Protocol::Grpc => {
            explicit(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
                Http2ProtocolOptions::default(),
            ))
        }
        Protocol::Auto => {
            UpstreamProtocolOptions::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
                http_protocol_options: http1(),
                http2_protocol_options: http2(),
                ..UseDownstreamHttpConfig::default()
            })
        }
        Protocol::Tcp | Protocol::Tls => return HashMap::new(),
    };
    let options = HttpProtocolOptions {
        common_http_protocol_options: idle.map(|seconds| Common {
            idle_timeout: Some(Duration { seconds, nanos: 0 }),
            ..Common::default()
        }),
        upstream_protocol_options: Some(version),
        ..HttpProtocolOptions::default()
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    HashMap::from([(name, any(&options))])
}

/// Which service the cluster is of.
fn metadata(declared: &v1::InboundPort) -> Metadata {
    let service = Struct::new([
        ("host", Value::string(&declared.service_host)),
        ("name", Value::string(&declared.service_name)),
        ("namespace", Value::string(&declared.service_namespace)),
    ]);
    let services = Value::list(vec![service.into_value()]);
    Metadata::new([("istio", Struct::new([("services", services)]))])
}
