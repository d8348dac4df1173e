//! Relaying bytes.

use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, UpstreamConnectMode, tcp_proxy as tcp,
};
use tcp::weighted_cluster::ClusterWeight;
use tcp::{ClusterSpecifier, TcpAccessLogOptions, WeightedCluster};

use super::{Place, access_log, network_filter};
use crate::lowering::Context;
use crate::message::{any, millis, uint32};
use crate::names::BLACK_HOLE_CLUSTER;

/// How often a connection that stays open is told to the agent, in milliseconds: Istio's
/// `tcp_reporting_duration`.
const REPORTING_INTERVAL: u64 = 5_000;

/// The network filter that relays a connection to one of the clusters, chosen by weight. A single
/// one takes everything; of several, those of weight 0 get nothing; without any the connection is
/// closed.
///
/// `after_handshake`: TLS ends here, and nothing is dialled before its handshake is done.
pub(crate) fn tcp_proxy(
    context: &Context<'_>,
    place: Place,
    stat_prefix: &str,
    clusters: Vec<(String, u32)>,
    after_handshake: bool,
) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.to_owned(),
        access_log: access_log::tcp(context, place),
        access_log_options: context.placement.telemetry.then(|| TcpAccessLogOptions {
            access_log_flush_interval: Some(millis(REPORTING_INTERVAL)),
            flush_access_log_on_connected: true,
            ..TcpAccessLogOptions::default()
        }),
        cluster_specifier: Some(specifier(clusters)),
        upstream_connect_mode: match after_handshake {
            true => UpstreamConnectMode::OnDownstreamTlsHandshake.into(),
            false => UpstreamConnectMode::Immediate.into(),
        },
        // Envoy asks for a bound with it; nothing is read before.
        max_early_data_bytes: after_handshake.then(|| uint32(0)),
        ..TcpProxy::default()
    };
    network_filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

fn specifier(mut clusters: Vec<(String, u32)>) -> ClusterSpecifier {
    if clusters.len() > 1 {
        clusters.retain(|(_, weight)| *weight > 0);
    }
    match clusters.len() {
        0 => ClusterSpecifier::Cluster(BLACK_HOLE_CLUSTER.to_owned()),
        1 => ClusterSpecifier::Cluster(clusters.remove(0).0),
        _ => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: clusters
                .into_iter()
                .map(|(name, weight)| ClusterWeight { name, weight, metadata_match: None })
                .collect(),
        }),
    }
}
