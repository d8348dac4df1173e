//! `inbound/<namespace>/<workload>`: what one workload accepts.

use std::net::IpAddr;
use std::sync::Arc;

use lateen_mesh::address::encode_address;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

use super::Linker;
use super::destination::endpoint_port;
use crate::client::{Client, Role};
use crate::node::{
    Registry, Service, ServiceKey, ServicePort, Source, Workload, WorkloadKey, WorkloadSource,
};
use crate::store::Query;
use lateen_mesh::local;

/// A port of the application, and the service that declares it.
struct Declared<'a> {
    number: u16,
    service: &'a Arc<Service>,
    port: &'a ServicePort,
}

impl<'a> Linker<'a> {
    pub(super) fn inbound(&mut self, namespace: &str, name: &str) -> Option<Body> {
        let key = WorkloadKey { namespace: namespace.into(), name: name.into() };
        let workload = self.query.workload(&key)?;
        let modes = self.modes(&key.namespace, &workload.labels);
        let declared = self.declared_ports(workload);
        let ports: Vec<v1::InboundPort> = declared
            .iter()
            .map(|declared| {
                let (mode, origin) = modes.port(declared.number);
                v1::InboundPort {
                    port: u32::from(declared.number),
                    protocol: declared.port.protocol.into(),
                    mtls: (*mode).into(),
                    mtls_origin: origin.clone(),
                    service_host: declared.service.key.host.to_string(),
                    service_port: u32::from(declared.port.number),
                    service_namespace: declared.service.key.namespace.to_string(),
                    service_name: declared.service.name.to_string(),
                    forward_address: bytes::Bytes::new(),
                    forward_port: 0,
                }
            })
            .collect();
        let undeclared =
            modes.ports.iter().filter(|(port, _)| declared.iter().all(|own| own.number != *port));
        let port_mtls = undeclared
            .map(|(port, (mode, origin))| v1::PortMtls {
                port: u32::from(*port),
                mtls: (*mode).into(),
                origin: origin.clone(),
            })
            .collect();
        let policies = self.applying_policies(workload);
        let base = self.query.local_base(&key);
        Some(Body::Inbound(v1::Inbound {
            workload: Some(self.workload_facts(workload)),
            ports,
            mtls: modes.workload.0.into(),
            mtls_origin: modes.workload.1,
            port_mtls,
            policies,
            local_base: base.map(|base| encode_address(base.into())).unwrap_or_default(),
            only_declared: false,
        }))
    }

    /// Ports of the application by the services that the workload is an endpoint of; of several
    /// services with one port the oldest counts.
    fn declared_ports(&self, workload: &'a Arc<Workload>) -> Vec<Declared<'a>> {
        let mut services: Vec<&Arc<Service>> = Vec::new();
        for key in services_of_client(self.query, &workload.key, &workload.addresses) {
            let own = self.query.services(&key.host).iter();
            services.extend(own.filter(|service| service.key == key));
        }
        services.sort_by(|a, b| a.source.cmp(&b.source));
        let mut declared: Vec<Declared<'_>> = Vec::new();
        for service in services {
            for port in &*service.ports {
                for number in self.target_ports(service, port, workload) {
                    if declared.iter().all(|known| known.number != number) {
                        declared.push(Declared { number, service, port });
                    }
                }
            }
        }
        declared.sort_by_key(|declared| declared.number);
        declared
    }

    /// The ports on which the application listens, as services declare them, sorted.
    pub(super) fn application_ports(&self, workload: &'a Arc<Workload>) -> Vec<u16> {
        self.declared_ports(workload).iter().map(|declared| declared.number).collect()
    }

    /// Where a service's port arrives at the workload. What a ServiceEntry lists may have ports of its own.
    fn target_ports(
        &self,
        service: &Service,
        port: &ServicePort,
        workload: &Arc<Workload>,
    ) -> Vec<u16> {
        if service.registry == Registry::Entry {
            let mut numbers = Vec::new();
            for bucket in 0..self.query.endpoint_buckets(&service.key) {
                for (_, entries) in self.query.endpoints(&service.key, bucket) {
                    for found in entries {
                        let raw = &found.entry.raw;
                        let is_own = found.entry.workload.as_ref() == Some(&workload.key)
                            || raw.addresses.iter().any(|each| workload.addresses.contains(each));
                        if is_own && found.is_listed_by(&service.source) {
                            numbers.extend(endpoint_port(port, &raw.ports, Some(workload)));
                        }
                    }
                }
            }
            numbers.sort_unstable();
            numbers.dedup();
            return numbers;
        }
        let selected = crate::node::EndpointPorts::Overrides(Arc::default());
        endpoint_port(port, &selected, Some(workload)).into_iter().collect()
    }

    /// Names of the policies of the root namespace and of the workload's own that select it.
    fn applying_policies(&mut self, workload: &Workload) -> Vec<String> {
        let root = self.query.root_namespace();
        let own = &workload.key.namespace;
        let mut names: Vec<Name> = Vec::new();
        for namespace in [root, own] {
            for policy in self.query.authorizations(namespace) {
                let selects = policy.selector.as_ref();
                if selects.is_none_or(|selector| selector.select_labels(&workload.labels)) {
                    names.push(Name::Policy {
                        namespace: policy.namespace.to_string(),
                        name: policy.name.to_string(),
                    });
                }
            }
        }
        names.sort();
        names.dedup();
        let policies = names.iter().map(ToString::to_string).collect();
        self.references.extend(names);
        policies
    }

    fn workload_facts(&self, workload: &Workload) -> v1::Workload {
        let options = self.query.options;
        let trust = self.query.trust();
        let or = |own: &str, other: &str| if own.is_empty() { other } else { own }.to_owned();
        let base = self.query.local_base(&workload.key);
        let addresses = match base {
            Some(base) => vec![encode_address(local::address(base, local::APPLICATION).into())],
            None => workload.addresses.iter().map(|each| encode_address(*each)).collect(),
        };
        v1::Workload {
            uid: format!("{}/{}/{}", options.cluster_id, workload.key.namespace, workload.key.name),
            namespace: workload.key.namespace.to_string(),
            name: workload.key.name.to_string(),
            service_account: workload.service_account.to_string(),
            labels: workload.labels.to_map(),
            canonical_name: workload.canonical_name().to_owned(),
            canonical_revision: workload.canonical_revision().to_owned(),
            owner_name: workload.owner.0.to_string(),
            owner_kind: workload.owner.1.to_string(),
            cluster: options.cluster_id.clone(),
            network: or(&workload.network, &options.network),
            locality: self.query.locality(workload).to_owned(),
            addresses,
            mesh_id: or(&options.mesh_id, &trust.domain),
        }
    }
}

/// Services that a client's workload is an endpoint of, by its name or by one of its addresses, sorted.
pub(crate) fn services_of_client(
    query: &Query<'_>,
    key: &WorkloadKey,
    addresses: &[IpAddr],
) -> Vec<ServiceKey> {
    let by_address = addresses.iter().flat_map(|address| query.services_at(*address));
    let mut services: Vec<ServiceKey> = query.services_of(key).chain(by_address).cloned().collect();
    services.sort();
    services.dedup();
    services
}

/// A workload that objects describe, as a client.
pub(crate) fn client_of(workload: &Workload, locality: &str, role: Role) -> Option<Client> {
    (workload.from != WorkloadSource::Client).then(|| Client {
        role,
        namespace: workload.key.namespace.to_string(),
        name: workload.key.name.to_string(),
        labels: workload.labels.to_map(),
        service_account: workload.service_account.to_string(),
        addresses: workload.addresses.to_vec(),
        network: workload.network.to_string(),
        locality: locality.to_owned(),
        owner: Some((workload.owner.0.to_string(), workload.owner.1.to_string())),
        whole_scope: false,
    })
}

impl crate::store::EndpointEntry<'_> {
    /// Whether the service's own object lists the endpoint, or labels select it.
    fn is_listed_by(&self, source: &Source) -> bool {
        match &self.id.lister {
            crate::store::Lister::Object(object) => **object == *source.object,
            crate::store::Lister::Selected(_) => true,
        }
    }
}
