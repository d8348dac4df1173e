//! The virtual hosts of a gateway's servers.
//!
//! A server's host and a VirtualService's host meet in the narrower of the two. So a virtual host takes its
//! rules from the VirtualServices that name exactly it and, where it is a host of the server itself, from those that
//! name a wildcard above it: two kinds of look-up, whatever else is bound to the gateway.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_mesh::v1;

use super::super::Linker;
use super::super::http::Place;
use super::super::visible::covers;
use super::listen::Listening;
use crate::node::{NamespacePattern, Route, ServerProtocol, parent_wildcards};

impl<'a> Linker<'a> {
    /// The hosts of a server that something is done for, sorted.
    pub(super) fn virtual_hosts(&self, listening: &Listening<'a>) -> BTreeSet<Arc<str>> {
        let mut hosts = BTreeSet::new();
        let gateway = &listening.gateway.name;
        for named in self.query.gateway_hosts(gateway) {
            for route in self.query.gateway_routes(gateway, named) {
                if self.is_exported_to_gateway(route) && self.has_rules(listening, route) {
                    for (namespace, own) in &listening.server.hosts {
                        if namespace.matches(&route.namespace) {
                            hosts.extend(narrower(own, named).cloned());
                        }
                    }
                }
            }
        }
        if listening.server.https_redirect {
            hosts.extend(listening.server.hosts.iter().map(|(_, host)| host.clone()));
        }
        hosts
    }

    /// One virtual host of servers that share a table; none if there is nothing to do for it.
    pub(super) fn virtual_host(
        &mut self,
        listening: &[Listening<'a>],
        host: &str,
    ) -> Option<v1::Routes> {
        let host: Arc<str> = host.into();
        let mut table = v1::Routes { host: host.to_string(), ..v1::Routes::default() };
        let mut catch_all = Vec::new();
        let mut done: Vec<&Arc<Route>> = Vec::new();
        let mut served = false;
        for each in listening {
            let hosts = each.server.hosts.iter().map(|(_, own)| own);
            if each.server.https_redirect && hosts.clone().any(|own| covers(own, &host)) {
                // A server that redirects does so for its hosts, whoever else serves them.
                let own = hosts.clone().any(|own| *own == host);
                let routed = self.contributors(each, &host).next().is_some();
                if own || routed {
                    table.https_redirect = true;
                    served = true;
                }
            }
            let contributors: Vec<_> = self.contributors(each, &host).collect();
            for route in contributors {
                served = true;
                if done.iter().any(|other| Arc::ptr_eq(other, route)) {
                    continue;
                }
                done.push(route);
                self.contribute(&mut table, &mut catch_all, each, route);
            }
        }
        // What takes everything comes after all that others have to say.
        table.http.append(&mut catch_all);
        if table.origin.is_none()
            && let Some(first) = listening.first()
        {
            table.origin = self.provenance.origin(&first.gateway.source, &first.server.field);
        }
        served.then_some(table)
    }

    fn contribute(
        &mut self,
        table: &mut v1::Routes,
        catch_all: &mut Vec<v1::HttpRule>,
        listening: &Listening<'a>,
        route: &'a Arc<Route>,
    ) {
        let place = Place::Gateway(&listening.gateway.name, listening.server.number);
        if table.origin.is_none() {
            table.origin = self.provenance.origin(&route.source, "spec");
        }
        match listening.server.protocol {
            ServerProtocol::Http | ServerProtocol::Https => {
                let rules = self.http_rules(route, place);
                self.note_unreachable(route, &rules);
                // Rules of one VirtualService after one that takes everything are never reached.
                for (rule, takes_all) in rules {
                    if takes_all {
                        catch_all.push(rule);
                        break;
                    }
                    table.http.push(rule);
                }
            }
            ServerProtocol::Passthrough => table.tls.extend(self.tls_rules(route, place)),
            ServerProtocol::Tcp => table.tcp.extend(self.tcp_rules(route, place)),
            ServerProtocol::TlsTerminated => {
                table.tcp.extend(self.tcp_rules(route, place));
                // The server name chose the server; what it says inside is the same.
                let tls = self.tls_rules(route, place);
                table.tcp.extend(tls.into_iter().map(|rule| {
                    v1::TcpRule {
                        origin: rule.origin,
                        matches: rule
                            .matches
                            .into_iter()
                            .map(|each| v1::L4Match { sni: Vec::new(), ..each })
                            .collect(),
                        backends: rule.backends,
                    }
                }));
            }
        }
    }

    /// The VirtualServices that have rules for a virtual host of a server, the oldest first.
    fn contributors(
        &self,
        listening: &Listening<'a>,
        host: &Arc<str>,
    ) -> impl Iterator<Item = &'a Arc<Route>> + use<'a> {
        let gateway = &listening.gateway.name;
        let servers = &listening.server.hosts;
        let namespaces = |at: &dyn Fn(&str) -> bool| -> Vec<&NamespacePattern> {
            let hosts = servers.iter().filter(|(_, own)| at(own));
            hosts.map(|(namespace, _)| namespace).collect()
        };
        let mut found: Vec<&'a Arc<Route>> = Vec::new();
        let mut take = |named: &Arc<str>, allowed: &[&NamespacePattern]| {
            for route in self.query.gateway_routes(gateway, named) {
                let may_attach =
                    allowed.iter().any(|namespace| namespace.matches(&route.namespace));
                let known = found.iter().any(|other| Arc::ptr_eq(other, route));
                if may_attach
                    && !known
                    && self.is_exported_to_gateway(route)
                    && self.has_rules(listening, route)
                {
                    found.push(route);
                }
            }
        };
        take(host, &namespaces(&|own| covers(own, host)));
        let own = namespaces(&|own| *own == **host);
        if !own.is_empty() {
            for parent in parent_wildcards(host) {
                take(&parent.into(), &own);
            }
        }
        found.sort_by(|a, b| a.source.cmp(&b.source));
        found.into_iter()
    }

    fn is_exported_to_gateway(&self, route: &Route) -> bool {
        let exports = self.query.exports();
        let own = &route.namespace;
        self.scope.sees(&route.export_to, own, &exports.routes)
    }

    /// Whether a VirtualService has rules of the kind that the server asks for.
    fn has_rules(&self, listening: &Listening<'_>, route: &Route) -> bool {
        let place = Place::Gateway(&listening.gateway.name, listening.server.number);
        match listening.server.protocol {
            ServerProtocol::Http | ServerProtocol::Https => self.has_http(route, place),
            ServerProtocol::Passthrough => !route.tls.is_empty(),
            ServerProtocol::Tcp => !route.tcp.is_empty(),
            ServerProtocol::TlsTerminated => !route.tcp.is_empty() || !route.tls.is_empty(),
        }
    }
}

/// The narrower of two patterns with a host in common.
fn narrower<'h>(a: &'h Arc<str>, b: &'h Arc<str>) -> Option<&'h Arc<str>> {
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}
