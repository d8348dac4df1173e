//! ServiceEntries.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lateen_api::networking::{self, Location, ServiceEntry, WorkloadEntry};

use super::workload_entry::{entry_ports, is_mesh_tls};
use super::{Fact, Lowering, Selecting, block, port_number, protocol};
use crate::node::{
    EndpointPorts, ExportTo, InlineEndpoint, Labels, Listed, RawEndpoint, Registry, Resolution,
    Service, ServiceKey, ServicePort, Target,
};

impl Lowering<'_> {
    pub(super) fn service_entry(&mut self, entry: &ServiceEntry) -> Vec<Fact> {
        let resolution = match entry.resolution {
            networking::Resolution::None => Resolution::Passthrough,
            networking::Resolution::Static => Resolution::Endpoints,
            networking::Resolution::Dns | networking::Resolution::DnsRoundRobin => Resolution::Dns,
            // Nothing here resolves the host that a request names.
            networking::Resolution::DynamicDns => return Vec::new(),
        };
        let inline: Vec<InlineEndpoint> =
            entry.endpoints.iter().map(|endpoint| self.inline_endpoint(endpoint)).collect();
        let ports: Arc<[ServicePort]> = entry.ports.iter().filter_map(service_port).collect();
        let addresses: Arc<[_]> = entry.addresses.iter().filter_map(|text| block(text)).collect();
        let names: Arc<[Arc<str>]> =
            entry.subject_alt_names.iter().map(|name| name.as_str().into()).collect();
        let listed = listed(&inline);
        let mut facts = Vec::new();
        for host in &entry.hosts {
            let host: Arc<str> = host.to_lowercase().into();
            let key = ServiceKey { namespace: self.namespace(), host: host.clone() };
            facts.push(Fact::Service(Arc::new(Service {
                source: self.source(),
                key: key.clone(),
                name: host.clone(),
                registry: Registry::Entry,
                addresses: Arc::clone(&addresses),
                ports: Arc::clone(&ports),
                resolution,
                external: entry.location == Location::MeshExternal,
                export_to: ExportTo::read(
                    entry.export_to.iter().map(String::as_str),
                    &self.object.meta.namespace,
                ),
                subject_alt_names: Arc::clone(&names),
                publish_not_ready: false,
                keeps_gateway_ports: self.keeps_gateway_ports(),
                dns: match resolution {
                    Resolution::Dns => inline.as_slice().into(),
                    _ => Arc::default(),
                },
            })));
            if !listed.0.is_empty() {
                facts.push(Fact::Listed(
                    key.clone(),
                    self.object.reference(),
                    Arc::new(listed.clone()),
                ));
            }
            if let Some(selector) = &entry.workload_selector {
                let labels = Labels::new(&selector.labels);
                facts.push(Fact::Selecting(Arc::new(Selecting {
                    service: key,
                    labels,
                    pods: true,
                })));
            }
        }
        facts
    }

    fn inline_endpoint(&self, endpoint: &WorkloadEntry) -> InlineEndpoint {
        let account = (!endpoint.service_account.is_empty())
            .then(|| (self.namespace(), endpoint.service_account.as_str().into()));
        let labels = Labels::new(&endpoint.labels);
        InlineEndpoint {
            address: endpoint.address.as_str().into(),
            ports: entry_ports(&endpoint.ports),
            mesh_tls: is_mesh_tls(&labels, account.is_some()),
            labels,
            weight: endpoint.weight,
            locality: endpoint.locality.as_str().into(),
            account,
        }
    }
}

/// The endpoints with an address or a Unix path; names are for DNS.
fn listed(inline: &[InlineEndpoint]) -> Listed {
    let mut listed = BTreeMap::new();
    for endpoint in inline {
        let address: Option<IpAddr> = endpoint.address.parse().ok();
        let unix_path: Option<Arc<str>> = endpoint.address.strip_prefix("unix://").map(Into::into);
        if address.is_none() && unix_path.is_none() {
            continue;
        }
        let ports: Vec<String> =
            endpoint.ports.iter().map(|(name, number)| format!("{name}={number}")).collect();
        // One address may stand for several endpoints that differ in their ports.
        let name = format!("{} {}", endpoint.address, ports.join(","));
        let raw = RawEndpoint {
            workload: None,
            addresses: address.into_iter().collect(),
            unix_path,
            ports: EndpointPorts::Overrides(Arc::clone(&endpoint.ports)),
            ready: true,
            terminating: false,
            inline: Some(Arc::new(endpoint.clone())),
        };
        listed.insert(name.into(), Arc::new(raw));
    }
    Listed(listed)
}

fn service_port(port: &networking::ServicePort) -> Option<ServicePort> {
    let number = port_number(port.number)?;
    Some(ServicePort {
        number,
        name: port.name.as_str().into(),
        protocol: protocol(lateen_api::Protocol::parse(&port.protocol))?,
        target: Target::Number(port_number(port.target_port).unwrap_or(number)),
    })
}
