//! Local mode: the places of a workload and of what it sees.

use std::sync::Arc;

use crate::local::{PortAddress, ServiceAddress, WorkloadAddresses};
use crate::node::WorkloadKey;
use crate::scope::Scope;
use crate::store::Query;
use lateen_mesh::local;

use super::Linker;
use super::directory::Entry;

/// The places of a workload; none for one that has no place.
pub(crate) fn addresses(
    query: &Query<'_>,
    scope: &Arc<Scope>,
    key: &WorkloadKey,
) -> Option<WorkloadAddresses> {
    let workload = query.workload(key)?;
    let base = query.local_base(key)?;
    let linker = Linker::new(query, scope);
    let mut services = Vec::new();
    for (namespace, buckets) in query.directory() {
        for bucket in 0..u32::try_from(buckets).unwrap_or(u32::MAX) {
            for host in query.directory_bucket(namespace, bucket) {
                if let Some(Entry::Service(seen)) = linker.entry(host)
                    && seen.key().namespace == *namespace
                    && let Some(offset) = query.local_offset(host)
                {
                    let ports = seen.ports();
                    services.push(ServiceAddress {
                        host: host.to_string(),
                        address: local::address(base, offset),
                        ports: ports
                            .iter()
                            .map(|(_, port)| PortAddress::new(port.number))
                            .collect(),
                    });
                }
            }
        }
    }
    services.sort_by(|a, b| a.host.cmp(&b.host));
    let ports = linker.application_ports(workload);
    Some(WorkloadAddresses {
        namespace: key.namespace.to_string(),
        name: key.name.to_string(),
        base,
        application: local::address(base, local::APPLICATION),
        sidecar: workload.sidecar.then(|| local::address(base, local::SIDECAR)),
        ports: ports.into_iter().map(PortAddress::new).collect(),
        services,
    })
}
