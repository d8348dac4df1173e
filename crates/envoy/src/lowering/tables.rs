//! Tables of virtual hosts: in one piece while they are small, else each virtual host by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_mesh::name::Name;

use super::{Context, Lowering, Output, TableKey, Unit};
use crate::route::{self, Catch};
use crate::{Kind, Pool};

/// A table with more virtual hosts is split: an edit then costs one of them.
const SPLIT_ABOVE: usize = 8;

/// A split table with as few is put together again.
const JOIN_AT: usize = 4;

impl Lowering {
    /// Decides which of the touched tables are split, and adds to the units what follows from it.
    pub(super) fn settle_tables(&mut self, units: &mut BTreeSet<Unit>, pool: &mut Pool) {
        let touched: BTreeSet<TableKey> = units
            .iter()
            .filter_map(|unit| match unit {
                Unit::Table(key) | Unit::VirtualHost(key, _) => Some(key.clone()),
                _ => None,
            })
            .collect();
        for key in touched {
            let hosts = self.hosts(&key, pool);
            let was = self.split_tables.contains(&key);
            let is = hosts.len() > if was { JOIN_AT } else { SPLIT_ABOVE };
            if is {
                self.split_tables.insert(key.clone());
            } else {
                self.split_tables.remove(&key);
            }
            let any: Arc<str> = Arc::from("*");
            if !is || units.contains(&Unit::VirtualHost(key.clone(), any)) {
                units.insert(Unit::Table(key.clone()));
            }
            if is != was {
                units.insert(Unit::Table(key.clone()));
                units.extend(hosts.into_iter().map(|host| Unit::VirtualHost(key.clone(), host)));
            }
        }
    }

    /// The hosts of a table's virtual hosts, sorted.
    fn hosts(&self, key: &TableKey, pool: &mut Pool) -> Vec<Arc<str>> {
        match key {
            TableKey::Port(port) => {
                let on_port = self.model.directory.on_port(*port);
                on_port.into_iter().flat_map(|on_port| on_port.http.iter().cloned()).collect()
            }
            TableKey::GatewayHttp(_) | TableKey::GatewayServer(..) => {
                let mut hosts: Vec<_> = self
                    .gateway_tables(key)
                    .filter_map(|name| match Name::parse(name)? {
                        Name::GatewayRoutes { host, .. } => Some(pool.name(&host)),
                        _ => None,
                    })
                    .collect();
                hosts.sort();
                hosts.dedup();
                hosts
            }
        }
    }

    /// Names of the model's tables of a gateway's table.
    fn gateway_tables(&self, key: &TableKey) -> impl Iterator<Item = &String> {
        let (port, server) = match key {
            TableKey::Port(_) => (0, None),
            TableKey::GatewayHttp(port) => (*port, None),
            TableKey::GatewayServer(port, server) => (*port, Some(server)),
        };
        let listener = self.model.gateway(&Name::Gateway(port));
        let names = listener.map_or(&[][..], |listener| match server {
            None => &listener.http_routes,
            Some(server) => listener
                .servers
                .iter()
                .find(|it| it.name == **server)
                .map_or(&[][..], |server| &server.routes),
        });
        names.iter()
    }

    pub(super) fn lower_table(&self, context: &Context<'_>, key: &TableKey, out: &mut Output) {
        let Some((name, catch)) = self.frame(context, key) else { return };
        let hosts = self.hosts(key, &mut Pool::default());
        let split = self.split_tables.contains(key);
        let inline = hosts.iter().filter(|host| !split || &***host == "*");
        let virtual_hosts =
            inline.filter_map(|host| route::virtual_host(context, key, host, out)).collect();
        let catch = if hosts.iter().any(|host| &**host == "*") { None } else { Some(catch) };
        let table = route::configuration(context, &name, virtual_hosts, catch, split);
        out.put(Kind::Routes, name, &table);
    }

    pub(super) fn lower_virtual_host(
        &self,
        context: &Context<'_>,
        key: &TableKey,
        host: &str,
        out: &mut Output,
    ) {
        if !self.split_tables.contains(key) || host == "*" {
            return;
        }
        let Some((name, _)) = self.frame(context, key) else { return };
        let Some(mut virtual_host) = route::virtual_host(context, key, host, out) else { return };
        virtual_host.name = format!("{name}/{}", virtual_host.name);
        out.put(Kind::VirtualHost, virtual_host.name.clone(), &virtual_host);
    }

    /// Name of a route configuration, and what it does with hosts that it does not know; `None`:
    /// there is none.
    fn frame(&self, context: &Context<'_>, key: &TableKey) -> Option<(String, Catch)> {
        let listener = |port: u16| self.model.gateway(&Name::Gateway(port));
        match key {
            TableKey::Port(port) => {
                context.model.directory.is_http_port(*port).then(|| route::port_frame(*port))
            }
            TableKey::GatewayHttp(port) => {
                let listener = listener(*port)?;
                let has_http =
                    listener.servers.iter().any(|server| route::is_plain_http(server.protocol()));
                has_http.then(|| route::gateway_http_frame(*port))
            }
            TableKey::GatewayServer(port, name) => {
                let listener = listener(*port)?;
                let server = listener.servers.iter().find(|server| server.name == **name)?;
                route::gateway_server_frame(*port, server)
            }
        }
    }
}
