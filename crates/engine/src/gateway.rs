//! The servers of a gateway's port.

use std::net::SocketAddr;
use std::sync::Arc;

use lateen_mesh::v1::{self, GatewayProtocol};

use crate::authority;
use crate::connection::{Hosts, HttpScope, Inspect, OnSilence, Seen, TcpForward};
use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::{Objects, Origin};
use crate::plan::Plan;
use crate::reason::{Reason, Refusal};
use crate::route::Table;

mod server;
mod virtual_hosts;

pub use server::Server;
use virtual_hosts::{Fit, VirtualHosts};

/// The compiled message, before the tables that it names are joined to it.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) port: u16,
    servers: Vec<Arc<Server>>,
    http_routes: Vec<String>,
}

/// One port of a gateway with the tables of its virtual hosts.
#[derive(Debug)]
pub(crate) struct GatewayPort {
    spec: Arc<Spec>,
    http: VirtualHosts,
    /// By the server's position.
    servers: Vec<VirtualHosts>,
}

/// A connection to a gateway's port.
#[derive(Debug, Clone, Copy)]
pub struct Gateway<'p> {
    plan: &'p Plan,
    port: &'p GatewayPort,
}

/// What becomes of a connection to a gateway.
#[derive(Debug, Clone)]
pub enum GatewayConnection<'p> {
    /// Serve HTTP as it is.
    Http(HttpScope),
    /// Relay bytes, TLS or not, as they are.
    Tcp(TcpForward<'p>),
    /// Terminate TLS as this server says, then go on.
    Terminate(&'p Arc<Server>, Terminated<'p>),
    /// Close it.
    Refuse(Refusal<'p>),
}

/// What is inside of TLS that a gateway terminates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Terminated<'p> {
    /// HTTP.
    Http(HttpScope),
    /// Bytes to be relayed.
    Tcp(TcpForward<'p>),
}

impl PartialEq for GatewayConnection<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one == other,
            (Self::Tcp(one), Self::Tcp(other)) => one == other,
            (Self::Terminate(one, inside), Self::Terminate(other, other_inside)) => {
                Arc::ptr_eq(one, other) && inside == other_inside
            }
            (Self::Refuse(one), Self::Refuse(other)) => one == other,
            _ => false,
        }
    }
}

impl Plan {
    /// A port that the gateway opens; `None`: it opens no such port.
    #[must_use]
    pub fn gateway(&self, port: u16) -> Option<Gateway<'_>> {
        self.gateway.get(&port).map(|port| Gateway { plan: self, port })
    }

    /// The table of a gateway's virtual host, or the 404 that answers without one.
    pub(crate) fn gateway_table<'p, T: Trace>(
        &'p self,
        hosts: &Hosts,
        authority: &str,
        trace: &mut T,
    ) -> Result<&'p Table, Refusal<'p>> {
        let none = |origin| Refusal::new(Reason::NoRoute, origin);
        let found = match hosts {
            Hosts::GatewayHttp(port) => self.gateway.get(port).map(|port| {
                (&port.http, port.spec.plain_http().map_or(Origin::mesh_default(), |it| &it.origin))
            }),
            Hosts::GatewayServer(port, name) => self.gateway.get(port).and_then(|port| {
                let position = port.spec.servers.iter().position(|it| it.name == *name)?;
                Some((port.servers.get(position)?, &port.spec.servers.get(position)?.origin))
            }),
            Hosts::Port | Hosts::Entry(_) => None,
        };
        let Some((hosts, origin)) = found else { return Err(none(Origin::mesh_default())) };
        let host = authority::normalized_host(authority);
        let table = if T::RECORDS { hosts.find_in_order(&host, trace) } else { hosts.find(&host) };
        table.map(Arc::as_ref).ok_or_else(|| none(origin))
    }
}

impl<'p> Gateway<'p> {
    /// What must be looked at before [`Self::decide`].
    #[must_use]
    pub fn inspect(&self) -> Inspect {
        let tls = self.servers().any(|(server, _)| server.speaks_tls());
        Inspect { tls, http: false, on_silence: OnSilence::Wait }
    }

    /// The servers of the port.
    pub fn all_servers(&self) -> impl Iterator<Item = &'p Arc<Server>> {
        self.servers().map(|(server, _)| server)
    }

    /// What becomes of a connection to this address. `random` draws among the backends of a TCP
    /// rule.
    #[must_use]
    pub fn decide(
        &self,
        destination: SocketAddr,
        seen: Seen<'_>,
        random: u64,
    ) -> GatewayConnection<'p> {
        self.decide_traced(destination, seen, random, &mut Untraced)
    }

    /// [`Self::decide`], explained.
    #[must_use]
    pub fn explain(
        &self,
        destination: SocketAddr,
        seen: Seen<'_>,
        random: u64,
    ) -> Explained<GatewayConnection<'p>> {
        explain(|trace| self.decide_traced(destination, seen, random, trace))
    }

    fn servers(&self) -> impl Iterator<Item = (&'p Arc<Server>, &'p VirtualHosts)> {
        self.port.spec.servers.iter().zip(&self.port.servers)
    }

    fn decide_traced<T: Trace>(
        &self,
        destination: SocketAddr,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> GatewayConnection<'p> {
        if let (Seen::Tls { sni, .. }, true) = (seen, self.inspect().tls) {
            return self.by_server_name(destination, sni, random, trace);
        }
        self.plain(destination, seen, random, trace)
    }

    fn plain<T: Trace>(
        &self,
        destination: SocketAddr,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> GatewayConnection<'p> {
        if let Some(server) = self.port.spec.plain_http() {
            let refused = matches!(seen, Seen::Tls { .. });
            trace.step(What::Server, &server.origin, !refused, || {
                format!("{}: plain HTTP", server.name)
            });
            if refused {
                return refuse(Reason::ProtocolMismatch, &server.origin);
            }
            return GatewayConnection::Http(HttpScope {
                port: server.number,
                destination,
                hosts: Hosts::GatewayHttp(self.port.spec.port),
            });
        }
        for (server, hosts) in self.servers() {
            if server.protocol == GatewayProtocol::Tcp {
                return match self.relay(server, hosts, destination, None, random, trace) {
                    Ok(forward) => GatewayConnection::Tcp(forward),
                    Err(refusal) => GatewayConnection::Refuse(refusal),
                };
            }
        }
        let first = self.all_servers().next();
        let origin = first.map_or(Origin::mesh_default(), |server| &server.origin);
        trace.step(What::Server, origin, false, || {
            format!("every server of port {} wants TLS", self.port.spec.port)
        });
        refuse(Reason::TlsRequired, origin)
    }

    /// The server whose hosts fit the name best; where bytes are passed through, the rule whose
    /// names fit best.
    fn by_server_name<T: Trace>(
        &self,
        destination: SocketAddr,
        sni: Option<&str>,
        random: u64,
        trace: &mut T,
    ) -> GatewayConnection<'p> {
        let name = sni.map(authority::lower);
        let name = name.as_deref();
        let mut best: Option<(Fit, &'p Arc<Server>, &'p VirtualHosts)> = None;
        for (server, hosts) in self.servers().filter(|(server, _)| server.speaks_tls()) {
            let fit = server.fit(hosts, destination, name);
            trace.step(What::Server, &server.origin, fit.is_some(), || {
                let verb = if fit.is_some() { "takes" } else { "does not take" };
                format!("{} {verb} {}", server.name, name.unwrap_or("TLS without a name"))
            });
            if let Some(fit) = fit
                && best.is_none_or(|(before, ..)| fit > before)
            {
                best = Some((fit, server, hosts));
            }
        }
        let Some((_, server, hosts)) = best else {
            let first = self.all_servers().next();
            let origin = first.map_or(Origin::mesh_default(), |server| &server.origin);
            return refuse(Reason::NoServer, origin);
        };
        if server.protocol == GatewayProtocol::Https {
            let scope = HttpScope {
                port: server.number,
                destination,
                hosts: Hosts::GatewayServer(self.port.spec.port, Arc::clone(&server.name)),
            };
            return GatewayConnection::Terminate(server, Terminated::Http(scope));
        }
        match self.relay(server, hosts, destination, name, random, trace) {
            Err(refusal) => GatewayConnection::Refuse(refusal),
            Ok(forward) if server.protocol == GatewayProtocol::TlsPassthrough => {
                GatewayConnection::Tcp(forward)
            }
            Ok(forward) => GatewayConnection::Terminate(server, Terminated::Tcp(forward)),
        }
    }

    fn relay<T: Trace>(
        &self,
        server: &'p Arc<Server>,
        hosts: &'p VirtualHosts,
        destination: SocketAddr,
        name: Option<&str>,
        random: u64,
        trace: &mut T,
    ) -> Result<TcpForward<'p>, Refusal<'p>> {
        let Some((_, rule)) = server.rule(hosts, destination, name) else {
            trace.step(What::Route, &server.origin, false, || {
                format!("{}: no rule matches", server.name)
            });
            return Err(Refusal::new(Reason::NoRoute, &server.origin));
        };
        trace.step(What::Route, &rule.origin, true, || format!("of server {}", server.name));
        let (backend, destination) = rule.backends.choose(
            self.plan,
            server.number,
            destination,
            random,
            &rule.origin,
            trace,
        )?;
        Ok(TcpForward { destination, rule: &rule.origin, backend: &backend.origin })
    }
}

fn refuse(reason: Reason, origin: &Origin) -> GatewayConnection<'_> {
    GatewayConnection::Refuse(Refusal::new(reason, origin))
}

impl Spec {
    pub(crate) fn compile(message: v1::GatewayListener, objects: &Objects) -> Result<Self, String> {
        let port = u16::try_from(message.port).map_err(|_| format!("port {}", message.port))?;
        let servers = message
            .servers
            .into_iter()
            .map(|server| Server::compile(server, objects).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { port, servers, http_routes: message.http_routes })
    }

    /// Names of every Routes resource that must be there.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        let own = self.servers.iter().flat_map(|server| &server.routes);
        self.http_routes.iter().chain(own).map(String::as_str)
    }

    /// Names of the secrets that the servers use.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        let tls = self.servers.iter().filter_map(|server| server.tls.as_ref());
        tls.flat_map(|tls| [tls.secret.as_str(), tls.ca_secret.as_str()])
            .filter(|name| !name.is_empty())
    }

    fn plain_http(&self) -> Option<&Arc<Server>> {
        self.servers.iter().find(|server| server.protocol == GatewayProtocol::Http)
    }
}

impl GatewayPort {
    /// Whether any server takes a connection: Istio listens on no other port.
    pub(crate) fn is_open(&self) -> bool {
        let mut servers = self.spec.servers.iter().zip(&self.servers);
        servers.any(|(server, hosts)| server.takes_any(hosts))
    }

    /// Joins the tables; those that are not there are left out (and were refused before).
    pub(crate) fn join<'t>(
        spec: Arc<Spec>,
        table: impl Fn(&str) -> Option<&'t Arc<Table>>,
    ) -> Self {
        let hosts = |names: &[String]| {
            VirtualHosts::new(names.iter().filter_map(|name| table(name)).cloned())
        };
        let http = hosts(&spec.http_routes);
        let servers = spec.servers.iter().map(|server| hosts(&server.routes)).collect();
        Self { spec, http, servers }
    }
}
