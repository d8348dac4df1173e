//! WorkloadEntries.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_api::networking::WorkloadEntry;

use super::pod::{WORKLOAD_NAME, has_sidecar};
use super::{Fact, Lowering, port_number};
use crate::node::{Labels, Workload, WorkloadKey, WorkloadSource};

/// Says whether mesh TLS is spoken at a workload.
pub(super) const TLS_MODE: &str = "security.istio.io/tlsMode";

impl Lowering<'_> {
    pub(super) fn workload_entry(&mut self, entry: &WorkloadEntry) -> Vec<Fact> {
        let mut labels = self.object.meta.labels.clone();
        labels.extend(entry.labels.clone());
        let labels = Labels::new(&labels);
        let address = entry.address.parse().ok();
        let owner = labels.get(WORKLOAD_NAME).unwrap_or(&self.object.meta.name).into();
        let mesh_tls = is_mesh_tls(&labels, !entry.service_account.is_empty());
        vec![Fact::Workload(Arc::new(Workload {
            from: WorkloadSource::Entry,
            source: Some(self.source()),
            key: WorkloadKey { namespace: self.namespace(), name: self.name() },
            service_account: entry.service_account.as_str().into(),
            host: (address.is_none() && !entry.address.is_empty())
                .then(|| entry.address.as_str().into()),
            addresses: address.into_iter().collect(),
            ports: entry_ports(&entry.ports),
            owner: (owner, "workloadentry".into()),
            network: entry.network.as_str().into(),
            locality: entry.locality.as_str().into(),
            node: Arc::default(),
            weight: entry.weight,
            sidecar: has_sidecar(self.options, &labels, mesh_tls),
            mesh_tls,
            ready: true,
            labels,
        }))]
    }
}

/// Ports by name, sorted.
pub(super) fn entry_ports(ports: &BTreeMap<String, u32>) -> Arc<[(Arc<str>, u16)]> {
    let ports = ports.iter();
    ports.filter_map(|(name, number)| Some((name.as_str().into(), port_number(*number)?))).collect()
}

/// Istio's rule: what the label says, else whether there is an identity to speak with.
pub(super) fn is_mesh_tls(labels: &Labels, has_account: bool) -> bool {
    labels.get(TLS_MODE).map_or(has_account, |mode| mode == "istio")
}
