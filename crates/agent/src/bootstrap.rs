//! Envoy's static configuration.
//!
//! What Istio's bootstrap has, in Istio's names (`istio-contracts.md` §6), and what keeps Envoy's
//! memory low: only the statistics that somebody asks for, and those only once they are used
//! (`envoy-xds.md`). Everything else comes over the stream.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

/// Names of the static clusters, all of which lead to the agent's Unix socket: configuration, secrets,
/// and the access log.
const AGENT_CLUSTERS: [&str; 3] = ["xds-grpc", "sds-grpc", "lateen-access-log"];

/// What Envoy counts and shows, by the beginning of its names.
const STATS_PREFIXES: [&str; 7] = [
    "access_logs.grpc_access_log",
    "cluster.xds-grpc",
    "cluster_manager",
    "component",
    "control_plane",
    "listener_manager",
    "server",
];

/// By the end: what policies decided, and what is open.
const STATS_SUFFIXES: [&str; 6] = [
    "downstream_cx_active",
    "downstream_rq_active",
    "rbac.allowed",
    "rbac.denied",
    "shadow_allowed",
    "shadow_denied",
];

/// Tags that are taken out of names: Istio's prefixes end with `;`.
const STATS_TAGS: [(&str, &str); 4] = [
    ("cluster_name", r"^cluster\.((xds-grpc|[^;]+?);?\.)(?:http2\.)?[a-z_0-9]+$"),
    ("http_conn_manager_prefix", r"^http\.(([^;]+);\.)"),
    ("tcp_prefix", r"^tcp\.(([^;]+);\.)"),
    (
        "listener_address",
        r"^listener\.(((?:[_.[:digit:]]+|\[[_aAbBcCdDeEfF[:digit:]]+\][_[:digit:]]*))\.)",
    ),
];

/// Where Envoy and the agent meet.
#[derive(Debug, Clone, Copy)]
pub struct Addresses<'a> {
    /// The agent's socket.
    pub socket: &'a Path,
    /// Envoy's admin page.
    pub admin: SocketAddr,
    /// Envoy's own metrics, for whoever scrapes Envoys.
    pub prometheus: SocketAddr,
    /// The agent's page of metrics.
    pub agent: SocketAddr,
}

/// The bootstrap of an Envoy that says of itself what `node` says.
#[must_use]
pub fn bootstrap(node: &Value, addresses: &Addresses<'_>) -> Value {
    json!({
        "node": node,
        "admin": {
            "address": socket_address(addresses.admin),
            "ignore_global_conn_limit": true,
        },
        "dynamic_resources": dynamic_resources(),
        "static_resources": {
            "clusters": clusters(addresses),
            "listeners": [prometheus_listener(addresses.prometheus)],
        },
        "stats_config": stats_config(),
        "stats_flush_interval": "5s",
        "deferred_stat_options": { "enable_deferred_creation_stats": true },
        "layered_runtime": { "layers": [
            { "name": "global config", "static_layer": {
                "re2.max_program_size.error_level": 32768,
                "envoy.reloadable_features.http_reject_path_with_fragment": false,
            } },
            { "name": "admin", "admin_layer": {} },
        ] },
        "overload_manager": { "resource_monitors": [ {
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": i32::MAX,
            },
        } ] },
        "application_log_config": { "log_format": {
            "text_format": "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t",
        } },
    })
}

/// Everything over one delta stream. Without a limit for the first answers: what is not there is
/// waited for.
fn dynamic_resources() -> Value {
    let by_stream =
        json!({ "ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3" });
    json!({
        "lds_config": by_stream,
        "cds_config": by_stream,
        "ads_config": {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "set_node_on_first_message_only": true,
            "grpc_services": [ {
                "envoy_grpc": { "cluster_name": "xds-grpc" },
                "retry_policy": { "retry_back_off": {
                    "base_interval": "0.1s",
                    "max_interval": "10s",
                } },
            } ],
        },
    })
}

fn clusters(addresses: &Addresses<'_>) -> Vec<Value> {
    let pipe = json!({ "pipe": { "path": addresses.socket } });
    let http2 = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let mut clusters = vec![
        cluster("prometheus_stats", &socket_address(addresses.admin)),
        cluster("agent", &socket_address(addresses.agent)),
    ];
    for name in AGENT_CLUSTERS {
        let mut cluster = cluster(name, &pipe);
        cluster["typed_extension_protocol_options"] = http2.clone();
        clusters.push(cluster);
    }
    clusters
}

fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [ { "lb_endpoints": [ { "endpoint": { "address": address } } ] } ],
        },
    })
}

/// Istio's port for Envoy's own metrics, without the rest of the admin page.
fn prometheus_listener(address: SocketAddr) -> Value {
    json!({
        "name": format!("{}_{}", address.ip(), address.port()),
        "address": everywhere(address),
        "bypass_overload_manager": true,
        "ignore_global_conn_limit": true,
        "filter_chains": [ { "filters": [ {
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "stats",
                "route_config": { "virtual_hosts": [ {
                    "name": "backend",
                    "domains": ["*"],
                    "routes": [ {
                        "match": { "prefix": "/stats/prometheus" },
                        "route": { "cluster": "prometheus_stats" },
                    } ],
                } ] },
                "http_filters": [ {
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                } ],
            },
        } ] } ],
    })
}

fn stats_config() -> Value {
    let prefixes = STATS_PREFIXES.iter().map(|prefix| json!({ "prefix": prefix }));
    let suffixes = STATS_SUFFIXES.iter().map(|suffix| json!({ "suffix": suffix }));
    let tags = STATS_TAGS.iter().map(|(name, regex)| json!({ "tag_name": name, "regex": regex }));
    json!({
        "use_all_default_tags": false,
        "stats_tags": tags.collect::<Vec<_>>(),
        "stats_matcher": { "inclusion_list": {
            "patterns": prefixes.chain(suffixes).collect::<Vec<_>>(),
        } },
    })
}

/// A listener's address, where `::` stands for both families.
fn everywhere(address: SocketAddr) -> Value {
    let mut everywhere = socket_address(address);
    if address.is_ipv6() && address.ip().is_unspecified() {
        everywhere["socket_address"]["ipv4_compat"] = true.into();
    }
    everywhere
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "socket_address": {
        "address": address.ip().to_string(),
        "port_value": address.port(),
    } })
}
