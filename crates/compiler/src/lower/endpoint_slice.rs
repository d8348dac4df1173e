//! EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lateen_api::host::service_host;
use lateen_api::kubernetes::{Endpoint, EndpointSlice, SERVICE_NAME_LABEL};

use super::{Fact, Lowering, port_number};
use crate::node::{EndpointPorts, Listed, RawEndpoint, ServiceKey, WorkloadKey};

impl Lowering<'_> {
    pub(super) fn endpoint_slice(&mut self, slice: &EndpointSlice) -> Vec<Fact> {
        let meta = &self.object.meta;
        // The slices of a service are found by their label; by hand many write only its name.
        let service = meta.labels.get(SERVICE_NAME_LABEL).unwrap_or(&meta.name);
        if slice.address_type == "FQDN" {
            return Vec::new();
        }
        let host = service_host(service, &meta.namespace, &self.options.cluster_domain);
        let service = ServiceKey { namespace: self.namespace(), host: host.to_lowercase().into() };
        let ports: Arc<[(Arc<str>, u16)]> = slice
            .ports
            .iter()
            .filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"))
            .filter_map(|port| {
                let number = port_number(port.port?)?;
                Some((port.name.as_deref().unwrap_or_default().into(), number))
            })
            .collect();
        let mut listed = BTreeMap::new();
        for endpoint in &slice.endpoints {
            if let Some(raw) = endpoint_of(&service.namespace, endpoint, &ports) {
                listed.insert(name_in(&listed, &raw), Arc::new(raw));
            }
        }
        vec![Fact::Listed(service, self.object.reference(), Arc::new(Listed(listed)))]
    }
}

/// What an endpoint is called in its slice: its address, which pods on their node's network share while one
/// takes the place of another.
fn name_in(listed: &BTreeMap<Arc<str>, Arc<RawEndpoint>>, raw: &RawEndpoint) -> Arc<str> {
    let address: Arc<str> = raw.addresses[0].to_string().into();
    match &raw.workload {
        Some(workload) if listed.contains_key(&address) => {
            format!("{address} {}/{}", workload.namespace, workload.name).into()
        }
        _ => address,
    }
}

/// An endpoint that a slice of the namespace lists.
fn endpoint_of(
    own: &Arc<str>,
    endpoint: &Endpoint,
    ports: &Arc<[(Arc<str>, u16)]>,
) -> Option<RawEndpoint> {
    // All addresses of an endpoint mean the same; consumers use the first.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
    let workload = pod.map(|pod| {
        let is_own = pod.namespace.is_empty() || *pod.namespace == **own;
        WorkloadKey {
            namespace: if is_own { Arc::clone(own) } else { pod.namespace.as_str().into() },
            name: pod.name.as_str().into(),
        }
    });
    Some(RawEndpoint {
        workload,
        addresses: [address].into(),
        unix_path: None,
        ports: EndpointPorts::Listed(Arc::clone(ports)),
        ready: endpoint.is_ready(),
        // Ready wins: a service that publishes addresses that are not ready has those that end, too.
        terminating: endpoint.is_terminating() && !endpoint.is_ready(),
        inline: None,
    })
}
