//! Where a gateway's opaque bytes go.

use lateen_mesh::v1::Backend;

use crate::lowering::Context;
use crate::names::{BLACK_HOLE_CLUSTER, Carried};

/// The clusters of a rule's backends with their weights, for a server of this number. What cannot
/// be reached takes its share and closes it; a single backend takes everything, whatever its
/// weight.
pub(super) fn clusters(
    context: &Context<'_>,
    backends: &[Backend],
    number: u16,
) -> Vec<(String, u32)> {
    let cluster = |backend: &Backend| {
        let reachable =
            backend.invalid.is_empty() && context.destination(backend, number).is_some();
        if reachable {
            context.cluster(backend, number, Carried::Tcp)
        } else {
            BLACK_HOLE_CLUSTER.to_owned()
        }
    };
    match backends {
        [only] => vec![(cluster(only), 1)],
        several => {
            let weighted = several.iter().filter(|backend| backend.weight > 0);
            let clusters: Vec<_> =
                weighted.map(|backend| (cluster(backend), backend.weight)).collect();
            if clusters.is_empty() { vec![(BLACK_HOLE_CLUSTER.to_owned(), 1)] } else { clusters }
        }
    }
}

/// The name of the statistics: the cluster's where there is one.
pub(super) fn stat_prefix(clusters: &[(String, u32)], server: &str) -> String {
    match clusters {
        [(cluster, _)] => cluster.clone(),
        _ => server.to_owned(),
    }
}
