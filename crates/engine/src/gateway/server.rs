//! One server of a gateway.

use std::net::SocketAddr;
use std::sync::Arc;

use lateen_mesh::v1::{self, GatewayProtocol};

use super::virtual_hosts::{Fit, VirtualHosts, fit_of};
use crate::origin::{Objects, Origin};
use crate::route::L4Rule;

/// A server of a gateway.
#[derive(Debug)]
pub struct Server {
    pub(super) origin: Origin,
    pub(super) name: Arc<str>,
    pub(super) number: u16,
    pub(super) protocol: GatewayProtocol,
    hosts: Box<[Box<str>]>,
    pub(super) tls: Option<v1::ServerTls>,
    pub(super) routes: Vec<String>,
}

impl Server {
    /// The Gateway's server.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// `<namespace>.<gateway>.<server or port name>`.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How to terminate TLS; absent where none is terminated.
    #[must_use]
    pub fn tls(&self) -> Option<&v1::ServerTls> {
        self.tls.as_ref()
    }

    /// Whether requests are served inside, in HTTP/2 or HTTP/1.1.
    #[must_use]
    pub fn is_http(&self) -> bool {
        matches!(self.protocol, GatewayProtocol::Http | GatewayProtocol::Https)
    }
}

impl Server {
    pub(super) fn compile(message: v1::GatewayServer, objects: &Objects) -> Result<Self, String> {
        let name = message.name;
        let protocol = GatewayProtocol::try_from(message.protocol)
            .map_err(|_| format!("{name}: protocol {} is not known", message.protocol))?;
        let terminates =
            matches!(protocol, GatewayProtocol::Https | GatewayProtocol::TlsTerminated);
        if terminates && message.tls.is_none() {
            return Err(format!("{name}: no certificate to terminate TLS with"));
        }
        Ok(Self {
            origin: objects.resolve(message.origin.as_ref())?,
            number: u16::try_from(message.number)
                .map_err(|_| format!("{name}: port {}", message.number))?,
            name: name.into(),
            protocol,
            hosts: message.hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect(),
            tls: message.tls.filter(|_| terminates),
            routes: message.routes,
        })
    }

    /// Whether its clients speak TLS, to it or through it.
    pub(super) fn speaks_tls(&self) -> bool {
        match self.protocol {
            GatewayProtocol::Https
            | GatewayProtocol::TlsPassthrough
            | GatewayProtocol::TlsTerminated => true,
            GatewayProtocol::Http | GatewayProtocol::Tcp => false,
        }
    }

    /// How well the server fits a TLS client's name; `None`: not at all.
    pub(super) fn fit(
        &self,
        hosts: &VirtualHosts,
        destination: SocketAddr,
        name: Option<&str>,
    ) -> Option<Fit> {
        let own = self.hosts.iter().filter_map(|host| fit_of(host, name)).max()?;
        if self.protocol == GatewayProtocol::TlsPassthrough {
            return self.rule(hosts, destination, name).map(|(fit, _)| fit);
        }
        Some(own)
    }

    /// Whether it takes any connection; TLS that is passed through has no answer of its own.
    pub(super) fn takes_any(&self, hosts: &VirtualHosts) -> bool {
        self.protocol != GatewayProtocol::TlsPassthrough
            || hosts.in_order.iter().flat_map(|it| &it.tls).any(|rule| rule.is_for(self.number))
    }

    /// The first rule, or for bytes that are passed through the best fitting one.
    pub(super) fn rule<'p>(
        &self,
        hosts: &'p VirtualHosts,
        destination: SocketAddr,
        name: Option<&str>,
    ) -> Option<(Fit, &'p L4Rule)> {
        let tables = hosts.in_order.iter();
        if self.protocol != GatewayProtocol::TlsPassthrough {
            let mut rules = tables.flat_map(|table| &table.tcp);
            let rule = rules.find(|rule| rule.matches(destination, self.number, None))?;
            return Some(((false, 0), rule));
        }
        let mut best: Option<(Fit, &'p L4Rule)> = None;
        for rule in tables.flat_map(|table| &table.tls) {
            let Some(pattern) = rule.sni_pattern(destination, self.number, name) else { continue };
            let fit = (!pattern.is_empty() && !pattern.starts_with('*'), pattern.len());
            if best.is_none_or(|(before, _)| fit > before) {
                best = Some((fit, rule));
            }
        }
        best
    }
}
