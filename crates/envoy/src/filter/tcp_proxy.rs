//! Relaying bytes.

use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy as tcp,
};
use tcp::weighted_cluster::ClusterWeight;
use tcp::{ClusterSpecifier, TcpAccessLogOptions, WeightedCluster};

use super::{Place, access_log, network_filter};
use crate::lowering::Context;
use crate::message::{any, millis};

/// How often a connection that stays open is told to the agent, in milliseconds: Istio's
/// `tcp_reporting_duration`.
const REPORTING_INTERVAL: u64 = 5_000;

/// The network filter that relays a connection to one of the clusters, chosen by weight. Clusters
/// of weight 0 get nothing; there must be one that gets something.
pub(crate) fn tcp_proxy(
    context: &Context<'_>,
    place: Place,
    stat_prefix: &str,
    clusters: Vec<(String, u32)>,
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
        ..TcpProxy::default()
    };
    network_filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

fn specifier(mut clusters: Vec<(String, u32)>) -> ClusterSpecifier {
    clusters.retain(|(_, weight)| *weight > 0);
    if clusters.len() == 1 {
        let (name, _) = clusters.remove(0);
        return ClusterSpecifier::Cluster(name);
    }
    let weighted = clusters.into_iter().map(|(name, weight)| ClusterWeight {
        name,
        weight,
        metadata_match: None,
    });
    ClusterSpecifier::WeightedClusters(WeightedCluster { clusters: weighted.collect() })
}
