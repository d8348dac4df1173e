//! Which servers listen on which port of a gateway's workload.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_api::diagnostic::Code;

use super::super::Linker;
use crate::client::Role;
use crate::node::{Gateway, Server, ServerProtocol, ServiceKey, Target};
use crate::scope::Selects;

/// A server on a port of the workload.
#[derive(Clone, Copy)]
pub(super) struct Listening<'a> {
    pub gateway: &'a Arc<Gateway>,
    pub server: &'a Server,
}

impl<'a> Linker<'a> {
    /// The ports that the scope's workloads open, sorted.
    pub(in crate::link) fn gateway_ports(&self) -> BTreeSet<u16> {
        let mut ports = BTreeSet::new();
        for gateway in self.own_gateways() {
            for server in &gateway.servers {
                ports.extend(self.workload_ports(gateway, server.number));
            }
        }
        ports
    }

    /// The servers of one port, the oldest Gateway first, without those that cannot stand beside what is
    /// there already.
    pub(super) fn listening(&mut self, port: u16) -> Vec<Listening<'a>> {
        let mut taken: Vec<Listening<'a>> = Vec::new();
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        for gateway in self.own_gateways() {
            for server in &gateway.servers {
                if !self.workload_ports(gateway, server.number).contains(&port) {
                    continue;
                }
                let listening = Listening { gateway, server };
                match conflict(&taken, &names, server) {
                    None => {
                        if speaks_tls(server) {
                            names.extend(server.hosts.iter().map(|(_, host)| host.clone()));
                        }
                        taken.push(listening);
                    }
                    Some(reason) => {
                        let message = format!("not opened on port {port}: {reason}");
                        let code = Code::ConflictingServers;
                        self.warn(&gateway.source, code, &server.field, message);
                    }
                }
            }
        }
        taken
    }

    /// The Gateways that select the scope's workloads, the oldest first.
    fn own_gateways(&self) -> Vec<&'a Arc<Gateway>> {
        let mut gateways: Vec<&Arc<Gateway>> = Vec::new();
        if self.scope.role() != Role::Gateway {
            return gateways;
        }
        for selector in &*self.scope.whole().selectors {
            if selector.selects == Selects::Gateway {
                gateways.extend(self.query.gateways(selector));
            }
        }
        for service in &*self.scope.whole().services {
            gateways.extend(self.query.gateways_of(&service.host));
        }
        gateways.sort_by(|a, b| a.source.cmp(&b.source));
        gateways.dedup_by(|a, b| a.source.object == b.source.object);
        gateways
    }

    /// The workload's ports behind a Gateway's port: where the services that select the workload send it;
    /// without any, the port itself, but only for a Gateway that selects by labels.
    fn workload_ports(&self, gateway: &Gateway, number: u16) -> BTreeSet<u16> {
        let by_labels = gateway.selector.is_some();
        let mut ports = BTreeSet::new();
        for service in &*self.scope.whole().services {
            if by_labels || gateway.services.contains(&service.host) {
                self.translate(service, number, by_labels, &mut ports);
            }
        }
        if ports.is_empty() && by_labels {
            ports.insert(number);
        }
        ports
    }

    fn translate(&self, key: &ServiceKey, number: u16, by_labels: bool, ports: &mut BTreeSet<u16>) {
        let services = self.query.services(&key.host).iter();
        for service in services.filter(|service| service.key == *key) {
            let Some(port) = service.port(number) else { continue };
            if service.keeps_gateway_ports && by_labels {
                ports.insert(number);
                continue;
            }
            let target = match &port.target {
                Target::Number(target) => Some(*target),
                Target::Name(name) => {
                    let own = self.scope.whole().named_ports.iter();
                    own.into_iter().find(|(own, _)| own == name).map(|(_, port)| *port)
                }
            };
            ports.extend(target);
        }
    }
}

/// Why a server cannot stand beside those that are there.
fn conflict(
    taken: &[Listening<'_>],
    names: &BTreeSet<Arc<str>>,
    server: &Server,
) -> Option<String> {
    let first = taken.first()?;
    let by = &first.gateway.source.object;
    if speaks_tls(first.server) != speaks_tls(server) {
        return Some(format!("{by} has the port for another protocol"));
    }
    if speaks_tls(server) {
        let twice = server.hosts.iter().find(|(_, host)| names.contains(host));
        return twice.map(|(_, host)| format!("host {host} is served there already"));
    }
    let both_http =
        first.server.protocol == ServerProtocol::Http && server.protocol == ServerProtocol::Http;
    (!both_http).then(|| format!("{by} has the port for another protocol"))
}

/// Whether connections are told apart by server name.
pub(super) fn speaks_tls(server: &Server) -> bool {
    match server.protocol {
        ServerProtocol::Https | ServerProtocol::Passthrough | ServerProtocol::TlsTerminated => true,
        ServerProtocol::Http | ServerProtocol::Tcp => false,
    }
}
