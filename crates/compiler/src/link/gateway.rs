//! `gateway/<port>` and the tables of its virtual hosts.

mod listen;
mod virtual_hosts;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, GatewayProtocol, resource::Body};

use self::listen::Listening;
use super::Linker;
use crate::node::{Server, ServerProtocol};

/// Stands for the table that all plain HTTP servers of a port share.
const SHARED: &str = "http";

impl Linker<'_> {
    pub(super) fn gateway_listener(&mut self, port: u16) -> Option<Body> {
        let listening = self.listening(port);
        if listening.is_empty() {
            return None;
        }
        let mut listener = v1::GatewayListener { port: u32::from(port), ..Default::default() };
        let mut shared: Vec<Name> = Vec::new();
        for server in &listening {
            let hosts = self.virtual_hosts(server);
            let is_shared = server.server.protocol == ServerProtocol::Http;
            let table = if is_shared { SHARED } else { &server.server.name };
            let routes: Vec<Name> = hosts
                .into_iter()
                .map(|host| Name::GatewayRoutes {
                    port,
                    server: table.to_owned(),
                    host: host.to_string(),
                })
                .collect();
            let mut made = self.gateway_server(server);
            if is_shared {
                shared.extend(routes);
            } else {
                made.routes = routes.iter().map(ToString::to_string).collect();
                self.references.extend(routes);
            }
            listener.servers.push(made);
        }
        shared.sort();
        shared.dedup();
        listener.http_routes = shared.iter().map(ToString::to_string).collect();
        self.references.extend(shared);
        Some(Body::Gateway(listener))
    }

    fn gateway_server(&mut self, listening: &Listening<'_>) -> v1::GatewayServer {
        let server = listening.server;
        let protocol = match server.protocol {
            ServerProtocol::Http => GatewayProtocol::Http,
            ServerProtocol::Https => GatewayProtocol::Https,
            ServerProtocol::Passthrough => GatewayProtocol::TlsPassthrough,
            ServerProtocol::Tcp => GatewayProtocol::Tcp,
            ServerProtocol::TlsTerminated => GatewayProtocol::TlsTerminated,
        };
        v1::GatewayServer {
            origin: self.provenance.origin(&listening.gateway.source, &server.field),
            name: server.name.to_string(),
            number: u32::from(server.number),
            protocol: protocol.into(),
            hosts: server.hosts.iter().map(|(_, host)| host.to_string()).collect(),
            tls: self.server_tls(server),
            routes: Vec::new(),
        }
    }

    /// Secrets are looked for in the gateway workload's own namespace, wherever the Gateway is.
    fn server_tls(&mut self, server: &Server) -> Option<v1::ServerTls> {
        let own = server.tls.as_ref()?;
        let mut tls = own.tls.clone();
        if let Some(credential) = &own.credential {
            let namespace = self.scope.namespace().to_string();
            let secret =
                Name::Secret { namespace: namespace.clone(), name: credential.to_string() };
            tls.secret = secret.to_string();
            self.references.insert(secret);
            let authority = format!("{credential}-cacert");
            if tls.mode == i32::from(v1::server_tls::Mode::Mutual)
                && self.query.secret(&namespace, &authority).is_some()
            {
                let secret = Name::Secret { namespace, name: authority };
                tls.ca_secret = secret.to_string();
                self.references.insert(secret);
            }
        }
        Some(tls)
    }

    pub(super) fn gateway_routes(&mut self, port: u16, table: &str, host: &str) -> Option<Body> {
        let listening: Vec<Listening<'_>> = self
            .listening(port)
            .into_iter()
            .filter(|each| {
                if table == SHARED {
                    each.server.protocol == ServerProtocol::Http
                } else {
                    *each.server.name == *table && each.server.protocol != ServerProtocol::Http
                }
            })
            .collect();
        self.virtual_host(&listening, host).map(Body::Routes)
    }
}
