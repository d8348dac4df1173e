//! What a scope sees: exports, the Sidecar's egress, and which of several services with one host.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_mesh::address::Block;

use super::Linker;
use crate::node::{
    EgressHost, Registry, Resolution, Route, Service, ServiceKey, ServicePort, Sidecar,
    hosts_overlap,
};

/// The services of one namespace that make up one host, the oldest first.
pub(super) struct Seen<'a> {
    services: Vec<&'a Arc<Service>>,
    /// Only these ports, where a Sidecar says so.
    only: Option<BTreeSet<u16>>,
}

impl<'a> Seen<'a> {
    /// The oldest, which decides what cannot be merged.
    pub fn primary(&self) -> &'a Arc<Service> {
        self.services[0]
    }

    pub fn key(&self) -> &'a ServiceKey {
        &self.primary().key
    }

    /// Each port with the oldest service that declares it.
    pub fn ports(&self) -> Vec<(&'a Arc<Service>, &'a ServicePort)> {
        let mut ports: Vec<(&Arc<Service>, &ServicePort)> = Vec::new();
        for service in &self.services {
            for port in &*service.ports {
                let seen = self.only.as_ref().is_none_or(|only| only.contains(&port.number));
                if seen && !ports.iter().any(|(_, other)| other.number == port.number) {
                    ports.push((service, port));
                }
            }
        }
        ports
    }

    pub fn port(&self, number: u16) -> Option<(&'a Arc<Service>, &'a ServicePort)> {
        self.ports().into_iter().find(|(_, port)| port.number == number)
    }

    /// Addresses that belong to the service itself.
    pub fn addresses(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> =
            self.services.iter().flat_map(|service| service.addresses.iter().copied()).collect();
        blocks.sort();
        blocks.dedup();
        blocks
    }

    pub fn subject_alt_names(&self) -> Vec<String> {
        let names = self.services.iter().flat_map(|service| service.subject_alt_names.iter());
        let mut names: Vec<String> = names.map(ToString::to_string).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The services that declare a port and are found by DNS.
    pub fn dns(&self, port: u16) -> impl Iterator<Item = (&'a Arc<Service>, &'a ServicePort)> {
        let found_by_dns =
            self.services.iter().filter(|service| service.resolution == Resolution::Dns);
        found_by_dns.filter_map(move |service| Some((*service, service.port(port)?)))
    }
}

impl<'a> Linker<'a> {
    /// Whether anything of a namespace may be seen, as far as the Sidecar goes.
    pub(super) fn imports_from(&self, namespace: &str) -> bool {
        let Some(sidecar) = self.scope.sidecar().filter(|sidecar| !sidecar.egress.is_empty())
        else {
            return true;
        };
        let mut imports = sidecar.egress.iter().flat_map(|listener| &listener.hosts);
        imports.any(|import| import.namespace.matches(namespace))
    }

    /// The service of a host as the scope's directory lists it.
    pub(super) fn service(&self, host: &Arc<str>) -> Option<Seen<'a>> {
        let exported = self.exported(host);
        let Some(sidecar) = self.scope.sidecar().filter(|sidecar| !sidecar.egress.is_empty())
        else {
            return self.choose(&exported);
        };
        let imported: Vec<&Arc<Service>> = exported
            .into_iter()
            .filter(|service| imported_ports(sidecar, &service.key).is_some())
            .collect();
        let mut seen = self.choose(&imported)?;
        seen.only = imported_ports(sidecar, seen.key())?;
        (!seen.ports().is_empty()).then_some(seen)
    }

    /// The service of a host that a route sends to: one that the scope sees, else one that is exported
    /// to it beyond doubt (a Sidecar need not list what its routes name).
    pub(super) fn backend_service(&self, host: &Arc<str>) -> Option<Seen<'a>> {
        if let Some(seen) = self.service(host) {
            return Some(Seen { only: None, ..seen });
        }
        let exported = self.exported(host);
        let namespaces: BTreeSet<&Arc<str>> =
            exported.iter().map(|service| &service.key.namespace).collect();
        let beyond_doubt =
            namespaces.len() == 1 || namespaces.iter().any(|namespace| self.scope.is_in(namespace));
        beyond_doubt.then(|| self.choose(&exported)).flatten()
    }

    fn exported(&self, host: &Arc<str>) -> Vec<&'a Arc<Service>> {
        let exports = self.query.exports();
        let services = self.query.services(host).iter();
        let seen = services.filter(|service| {
            let own = &service.key.namespace;
            self.scope.sees(&service.export_to, own, &exports.services)
        });
        seen.collect()
    }

    /// Of several namespaces with one host: Kubernetes' own first, then the scope's namespace, then the
    /// oldest.
    fn choose(&self, services: &[&'a Arc<Service>]) -> Option<Seen<'a>> {
        let rank = |service: &&Arc<Service>| {
            (service.registry != Registry::Kubernetes, !self.scope.is_in(&service.key.namespace))
        };
        let best = match services {
            [only] => only,
            services => services.iter().copied().min_by_key(rank)?,
        };
        let namespace = &best.key.namespace;
        let services: Vec<_> =
            services.iter().copied().filter(|other| other.key.namespace == *namespace).collect();
        Some(Seen { services, only: None })
    }

    /// Whether the scope's clients apply a VirtualService: it is exported to them, and their Sidecar
    /// imports one of its hosts.
    pub(super) fn sees_route(&self, route: &Route) -> bool {
        let exports = self.query.exports();
        let own = &route.namespace;
        if !self.scope.sees(&route.export_to, own, &exports.routes) {
            return false;
        }
        let Some(sidecar) = self.scope.sidecar().filter(|sidecar| !sidecar.egress.is_empty())
        else {
            return true;
        };
        sidecar.egress.iter().flat_map(|listener| &listener.hosts).any(|import| {
            import.namespace.matches(own)
                && route.hosts.iter().any(|host| hosts_overlap(&import.host, host))
        })
    }
}

/// The ports of a service that a Sidecar imports: `Some(None)` all of them, `None` not the service at
/// all.
fn imported_ports(sidecar: &Sidecar, service: &ServiceKey) -> Option<Option<BTreeSet<u16>>> {
    let mut ports = BTreeSet::new();
    for listener in &sidecar.egress {
        let covers = |import: &EgressHost| {
            import.namespace.matches(&service.namespace) && covers(&import.host, &service.host)
        };
        if listener.hosts.iter().any(covers) && !listener.except.iter().any(covers) {
            match listener.port {
                Some(port) => {
                    ports.insert(port);
                }
                None => return Some(None),
            }
        }
    }
    (!ports.is_empty()).then_some(Some(ports))
}

/// Whether every host of `host` is one of `pattern`.
pub(super) fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        None => pattern == host,
        Some(suffix) => match host.strip_prefix('*') {
            Some(inner) => inner.ends_with(suffix),
            None => host.ends_with(suffix) && host.len() > suffix.len(),
        },
    }
}
