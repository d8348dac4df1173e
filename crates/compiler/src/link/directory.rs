//! `directory/<namespace>/<bucket>`: what exists.

use std::sync::Arc;

use lateen_mesh::address::{Block, pack_port};
use lateen_mesh::v1::{self, EntryKind, Protocol, resource::Body};

use super::Linker;
use super::http::Place;
use super::visible::Seen;
use crate::node::{Alias, Registry, Resolution, Route, parent_wildcards};

/// The port of hosts that only VirtualServices name.
const HTTP_PORT: u16 = 80;

/// What a host is in a scope's directory.
pub(super) enum Entry<'a> {
    Service(Seen<'a>),
    /// A host that only VirtualServices name, with its ports.
    VirtualHost(&'a Arc<Route>, Vec<u16>),
}

impl<'a> Linker<'a> {
    pub(super) fn directory(&mut self, namespace: &str, bucket: u32) -> Option<Body> {
        let namespace: Arc<str> = namespace.into();
        if bucket as usize >= self.query.directory_buckets(&namespace) {
            return None;
        }
        let mut entries = Vec::new();
        for host in self.query.directory_bucket(&namespace, bucket) {
            match self.entry(host) {
                Some(Entry::Service(seen)) if seen.key().namespace == namespace => {
                    entries.push(self.service_entry(host, &seen));
                }
                Some(Entry::VirtualHost(route, ports)) if route.namespace == namespace => {
                    entries.push(v1::DirectoryEntry {
                        host: host.to_string(),
                        ports: ports.iter().map(|port| pack_port(*port, Protocol::Http)).collect(),
                        kind: EntryKind::VirtualHost.into(),
                        ..v1::DirectoryEntry::default()
                    });
                }
                _ => {}
            }
        }
        // What Kubernetes' services are called here.
        let domain = format!("{namespace}.svc.{}", self.query.options.cluster_domain);
        Some(Body::Directory(v1::DirectorySlice::within(namespace.to_string(), &domain, entries)))
    }

    /// What a host is in the scope; none if nothing of the name is there.
    pub(super) fn entry(&self, host: &Arc<str>) -> Option<Entry<'a>> {
        if let Some(seen) = self.service(host) {
            return Some(Entry::Service(seen));
        }
        let routes = self.query.routes(host).iter().filter(|route| self.sees_route(route));
        let routes: Vec<_> = routes.filter(|route| !route.http.is_empty()).collect();
        if routes.is_empty() || self.has_services_below(host) {
            return None;
        }
        routes.into_iter().find_map(|route| {
            let ports = self.virtual_ports(host, route);
            self.has_http(route, Place::Mesh(&ports)).then_some(Entry::VirtualHost(route, ports))
        })
    }

    /// Whether a wildcard is one over services, which are then entries of their own.
    fn has_services_below(&self, host: &Arc<str>) -> bool {
        host.starts_with('*')
            && self.query.service_hosts_below(host).any(|below| self.service(below).is_some())
    }

    /// A host that is no service is routed on the HTTP ports of the services that the same VirtualService
    /// names, else on port 80.
    fn virtual_ports(&self, host: &Arc<str>, route: &Route) -> Vec<u16> {
        let mut ports: Vec<u16> = Vec::new();
        let mut take = |seen: &Seen<'_>| {
            let own = seen.ports().into_iter().filter(|(_, port)| may_be_http(port.protocol));
            ports.extend(own.map(|(_, port)| port.number));
        };
        for other in &*route.hosts {
            if let Some(seen) = self.service(other) {
                take(&seen);
            } else if other.starts_with('*') && other != host {
                for below in self.query.service_hosts_below(other) {
                    if let Some(seen) = self.service(below) {
                        take(&seen);
                    }
                }
            }
        }
        // An ExternalName service stands on the ports of what it points at.
        for alias in self.query.aliases(host) {
            if let Some(seen) = self.service(&alias.target) {
                take(&seen);
            }
        }
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() { vec![HTTP_PORT] } else { ports }
    }

    fn service_entry(&self, host: &Arc<str>, seen: &Seen<'_>) -> v1::DirectoryEntry {
        let primary = seen.primary();
        let headless = primary.resolution == Resolution::Headless;
        let kind = match primary.registry {
            Registry::Kubernetes if headless => EntryKind::Headless,
            Registry::Kubernetes => EntryKind::Kubernetes,
            Registry::Entry => EntryKind::Service,
        };
        let addresses = if headless {
            self.query.addresses(seen.key()).map(Block::single).collect()
        } else {
            seen.addresses()
        };
        let ports = seen.ports();
        v1::DirectoryEntry {
            host: host.to_string(),
            addresses: addresses.iter().map(Block::encode).collect(),
            ports: ports.iter().map(|(_, port)| pack_port(port.number, port.protocol)).collect(),
            kind: kind.into(),
            aliases: self.aliases(host),
            local_offset: self.query.local_offset(host).map_or(0, u32::from),
        }
    }

    /// Every name under which ExternalName services know the host. One that has a VirtualService of its own
    /// is an entry of its own.
    fn aliases(&self, host: &Arc<str>) -> Vec<String> {
        let exports = self.query.exports();
        let mut names = Vec::new();
        let mut open: Vec<&Arc<str>> = vec![host];
        let mut seen: Vec<&Arc<str>> = vec![host];
        while let Some(target) = open.pop() {
            for alias in self.query.aliases_of(target) {
                let own = &alias.key.namespace;
                let exported = self.scope.sees(&alias.export_to, own, &exports.services);
                if exported && !seen.contains(&&alias.key.host) {
                    seen.push(&alias.key.host);
                    open.push(&alias.key.host);
                    self.alias_names(alias, &mut names);
                }
            }
        }
        names.sort();
        names
    }

    fn alias_names(&self, alias: &Alias, names: &mut Vec<String>) {
        let host = &alias.key.host;
        let namespace = &alias.key.namespace;
        let name = host.split('.').next().unwrap_or_default();
        if self.query.routes(host).iter().all(|route| !self.sees_route(route)) {
            names.push(host.to_string());
        }
        names.push(format!("{name}.{namespace}.svc"));
        names.push(format!("{name}.{namespace}"));
        if self.scope.is_in(namespace) {
            names.push(name.to_owned());
        }
    }

    /// The VirtualServices that may route a host for HTTP, the first that has rules decides: those that
    /// name it exactly, else the oldest that names the longest wildcard above it.
    pub(super) fn http_candidates(&self, host: &Arc<str>) -> Vec<&'a Arc<Route>> {
        let seen = |pattern: &Arc<str>| -> Vec<&'a Arc<Route>> {
            self.query.routes(pattern).iter().filter(|route| self.sees_route(route)).collect()
        };
        let exact = seen(host);
        if !exact.is_empty() {
            return exact;
        }
        let parents = parent_wildcards(host).map(Arc::from);
        parents
            .map(|parent| seen(&parent))
            .find(|routes| !routes.is_empty())
            .map(|routes| routes.into_iter().take(1).collect())
            .unwrap_or_default()
    }
}

/// Whether requests on the port are routed one by one, at least when they turn out to be HTTP.
pub(super) fn may_be_http(protocol: Protocol) -> bool {
    match protocol {
        Protocol::Auto | Protocol::Http | Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => {
            true
        }
        Protocol::Tcp | Protocol::Tls => false,
    }
}

/// Whether bytes on the port are relayed without looking into them, at least when they turn out to be
/// no HTTP.
pub(super) fn may_be_tcp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Auto | Protocol::Tcp)
}
