//! Which units read what changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

use super::directory::EntryChange;
use super::entry::{Entry, is_http};
use super::model::Model;
use super::references::References;
use super::unit::{DestinationKey, TableKey, Unit};
use crate::{Capture, Part, Placement, Pool, Role};

/// The units to be lowered anew.
#[derive(Debug)]
pub(super) struct Dirty<'a> {
    placement: Placement,
    model: &'a Model,
    references: &'a References,
    pool: &'a mut Pool,
    units: BTreeSet<Unit>,
    /// Local mode: ports of which every listener is.
    local_ports: BTreeSet<u16>,
}

impl<'a> Dirty<'a> {
    pub(super) fn new(
        placement: Placement,
        model: &'a Model,
        references: &'a References,
        pool: &'a mut Pool,
    ) -> Self {
        Self {
            placement,
            model,
            references,
            pool,
            units: BTreeSet::new(),
            local_ports: BTreeSet::new(),
        }
    }

    /// The units, those excluded that are not of this placement.
    pub(super) fn into_units(mut self) -> BTreeSet<Unit> {
        for port in std::mem::take(&mut self.local_ports) {
            let Some(on_port) = self.model.directory.on_port(port) else { continue };
            for hosts in [&on_port.http, &on_port.other] {
                for entry in self.model.directory.all(Some(hosts)) {
                    if entry.local_offset > 0 {
                        self.units.insert(Unit::LocalListener(entry.local_offset, port));
                    }
                }
            }
        }
        let placement = self.placement;
        self.units.retain(|unit| is_made(placement, unit));
        self.units
    }

    /// Everything: the settings changed.
    pub(super) fn everything(&mut self) {
        self.units.extend([Unit::Fixed, Unit::VirtualOutbound]);
        let model = self.model;
        for name in model.names() {
            self.resource(name, None, model.get(name).map(Arc::as_ref));
        }
        for entry in model.directory.entries() {
            self.entry(entry);
        }
    }

    /// Entries of the directory changed.
    pub(super) fn entries(&mut self, changes: &[EntryChange], settings: &v1::Settings) {
        for entry in changes.iter().flat_map(|(before, after)| [before, after]).flatten() {
            self.entry(entry);
            for (_, domain) in entry.domains(settings) {
                for (_, rival) in self.model.directory.rivals(&domain, settings) {
                    if rival.host == entry.host {
                        continue;
                    }
                    for (port, _) in entry.ports.iter().filter(|(port, _)| rival.is_http(*port)) {
                        self.virtual_host(TableKey::Port(*port), &rival.host);
                    }
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry) {
        for (port, _) in &entry.ports {
            if entry.is_http(*port) {
                self.units.insert(Unit::Table(TableKey::Port(*port)));
            }
            if entry.local_offset > 0 {
                self.units.insert(Unit::LocalListener(entry.local_offset, *port));
            }
            self.local_ports.insert(*port);
            self.units.insert(Unit::PortListener(*port));
        }
        self.table_of(entry);
    }

    /// What is made from the table of an entry.
    fn table_of(&mut self, entry: &Entry) {
        for (port, protocol) in &entry.ports {
            if entry.is_http(*port) {
                self.virtual_host(TableKey::Port(*port), &entry.host);
            }
            if entry.is_detected(*port) {
                self.units.insert(Unit::Detected(Arc::clone(&entry.host), *port));
            }
            if is_http(*protocol) {
                continue;
            }
            self.units.insert(Unit::PortListener(*port));
            self.local_ports.insert(*port);
            let addresses = entry.addresses();
            self.units.extend(addresses.map(|address| Unit::AddressListener(address, *port)));
        }
    }

    fn virtual_host(&mut self, table: TableKey, host: &Arc<str>) {
        self.units.insert(Unit::VirtualHost(table, Arc::clone(host)));
    }

    /// A model resource changed.
    pub(super) fn resource(
        &mut self,
        name: &Name,
        before: Option<&v1::Resource>,
        after: Option<&v1::Resource>,
    ) {
        match name {
            Name::Routes(_) | Name::GatewayRoutes { .. } => self.routes(name),
            Name::Destination { host, port, subset } => {
                let key = DestinationKey {
                    host: self.pool.name(host),
                    port: *port,
                    subset: self.pool.name(subset),
                };
                if facts_for_routes(before) != facts_for_routes(after) {
                    self.routes(&Name::Routes(host.clone()));
                    let references = self.references;
                    references.tables(host).for_each(|table| self.routes(table));
                }
                self.units.extend([Unit::Cluster(key.clone()), Unit::Endpoints(key)]);
            }
            Name::Endpoints { host, port, .. } => {
                // Endpoints of ServiceEntries have their namespace behind the host.
                let host = host.split_once('~').map_or(host.as_str(), |(host, _)| host);
                let model = self.model;
                for name in model.destinations(host, Some(*port)) {
                    let key = key_of(name, self.pool);
                    self.units.extend(key.map(Unit::Endpoints));
                }
            }
            Name::Inbound { .. } | Name::Policy { .. } => {
                self.units.insert(Unit::Inbound);
                let gateways = self.model.gateways();
                self.units.extend(gateways.map(|(port, _)| Unit::GatewayListener(port)));
                self.local_ports.extend(self.model.directory.ports());
            }
            Name::Gateway(port) => {
                self.units.insert(Unit::GatewayListener(*port));
                self.units.insert(Unit::Table(TableKey::GatewayHttp(*port)));
                for server in [before, after].into_iter().flat_map(servers) {
                    let server = self.pool.name(&server.name);
                    self.units.insert(Unit::Table(TableKey::GatewayServer(*port, server)));
                }
            }
            Name::Secret { namespace, name } => {
                // Roots of their own stand in for those beside the certificate.
                let certificate = crate::secret::certificate_of(name);
                for name in [Some(name.as_str()), certificate].into_iter().flatten() {
                    let secret = Unit::Secret(self.pool.name(namespace), self.pool.name(name));
                    self.units.insert(secret);
                }
            }
            Name::Settings | Name::Directory { .. } | Name::Cut | Name::Host(_) => {}
        }
    }

    /// What is made from a table of routes.
    fn routes(&mut self, name: &Name) {
        match name {
            Name::Routes(host) => {
                let model = self.model;
                if let Some(entry) = model.directory.entry(host) {
                    self.table_of(entry);
                }
            }
            Name::GatewayRoutes { port, server, host } => {
                let table = match server.as_str() {
                    "http" => TableKey::GatewayHttp(*port),
                    server => TableKey::GatewayServer(*port, self.pool.name(server)),
                };
                let host = self.pool.name(host);
                self.virtual_host(table, &host);
                self.units.insert(Unit::GatewayListener(*port));
            }
            _ => {}
        }
    }
}

/// What routes say differently for another destination.
fn facts_for_routes(resource: Option<&v1::Resource>) -> Option<(i32, i32, bool)> {
    match resource?.body.as_ref()? {
        Body::Destination(it) => Some((it.protocol, it.discovery, it.external)),
        _ => None,
    }
}

fn servers(resource: Option<&v1::Resource>) -> &[v1::GatewayServer] {
    match resource.and_then(|resource| resource.body.as_ref()) {
        Some(Body::Gateway(listener)) => &listener.servers,
        _ => &[],
    }
}

pub(super) fn key_of(name: &Name, pool: &mut Pool) -> Option<DestinationKey> {
    let Name::Destination { host, port, subset } = name else { return None };
    Some(DestinationKey { host: pool.name(host), port: *port, subset: pool.name(subset) })
}

/// Whether a placement has such units at all.
fn is_made(placement: Placement, unit: &Unit) -> bool {
    let Placement { role, part, capture, .. } = placement;
    let scope = part == Part::Scope;
    let sidecar = role == Role::Sidecar;
    match unit {
        Unit::Fixed | Unit::Cluster(_) | Unit::Endpoints(_) => scope,
        Unit::VirtualOutbound | Unit::PortListener(_) | Unit::AddressListener(..) => {
            scope && sidecar && capture == Capture::Redirect
        }
        Unit::LocalListener(..) => !scope && sidecar && capture == Capture::Local,
        Unit::Inbound => !scope && sidecar,
        Unit::GatewayListener(_) => !scope && !sidecar,
        Unit::Table(TableKey::Port(_))
        | Unit::VirtualHost(TableKey::Port(_), _)
        | Unit::Detected(..) => scope && sidecar,
        Unit::Table(_) | Unit::VirtualHost(..) | Unit::Secret(..) => scope && !sidecar,
    }
}
