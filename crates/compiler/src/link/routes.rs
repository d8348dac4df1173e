//! `routes/<host>`: what is done with traffic to an entry of the directory.

use std::sync::Arc;

use lateen_api::diagnostic::Code;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, Protocol, http_rule::Action, resource::Body};

use super::Linker;
use super::directory::{Entry, may_be_http, may_be_tcp};
use super::http::Place;
use super::visible::Seen;
use crate::node::{Route, ServicePort, hosts_overlap, parent_wildcards};

/// Name of the rule that sends everything to the service itself.
const DEFAULT_RULE: &str = "default";

/// Opaque TLS is looked for on this port even where nothing is declared.
const TLS_PORT: u16 = 443;

impl<'a> Linker<'a> {
    pub(super) fn routes(&mut self, host: &str) -> Option<Body> {
        let host: Arc<str> = host.into();
        let mut routes = v1::Routes { host: host.to_string(), ..v1::Routes::default() };
        match self.entry(&host)? {
            Entry::VirtualHost(_, ports) => self.http_table(&mut routes, &host, &ports, None),
            Entry::Service(seen) => self.service_table(&mut routes, &host, &seen),
        }
        Some(Body::Routes(routes))
    }

    fn service_table(&mut self, routes: &mut v1::Routes, host: &Arc<str>, seen: &Seen<'a>) {
        let ports: Vec<&ServicePort> = seen.ports().into_iter().map(|(_, port)| port).collect();
        let numbers = |wanted: fn(Protocol) -> bool| -> Vec<u16> {
            ports.iter().filter(|port| wanted(port.protocol)).map(|port| port.number).collect()
        };
        let http = numbers(may_be_http);
        if !http.is_empty() {
            self.http_table(routes, host, &http, Some(seen));
        }
        let tcp = numbers(may_be_tcp);
        let tls: Vec<u16> = ports
            .iter()
            .filter(|port| {
                port.protocol == Protocol::Tls
                    || (port.number == TLS_PORT && may_be_tcp(port.protocol))
            })
            .map(|port| port.number)
            .collect();
        let declared_tls = numbers(|protocol| protocol == Protocol::Tls);
        let virtual_services =
            if tcp.is_empty() && tls.is_empty() { Vec::new() } else { self.l4_candidates(host) };
        if !tls.is_empty() {
            let place = Place::Mesh(&tls);
            for route in &virtual_services {
                routes.tls.extend(self.tls_rules(route, place));
            }
            self.default_tls(routes, host, seen, &declared_tls);
        }
        if !tcp.is_empty() {
            let place = Place::Mesh(&tcp);
            for route in &virtual_services {
                routes.tcp.extend(self.tcp_rules(route, place));
            }
            let origin = self.provenance.origin(&seen.primary().source, "spec");
            let backend = self.own_backend(host, &tcp, origin.clone());
            routes.tcp.push(v1::TcpRule { origin, matches: Vec::new(), backends: vec![backend] });
        }
    }

    /// Every VirtualService with a host in common, the oldest first: for TLS and TCP all of them count.
    fn l4_candidates(&self, host: &Arc<str>) -> Vec<&'a Arc<Route>> {
        let mut patterns: Vec<Arc<str>> = vec![Arc::clone(host)];
        patterns.extend(parent_wildcards(host).map(Arc::from));
        if host.starts_with('*') {
            patterns.extend(self.query.route_hosts_below(host).cloned());
        }
        let mut found: Vec<&Arc<Route>> = Vec::new();
        for pattern in &patterns {
            for route in self.query.routes(pattern) {
                let known = found.iter().any(|other| Arc::ptr_eq(other, route));
                debug_assert!(route.hosts.iter().any(|own| hosts_overlap(own, host)));
                if !known && self.sees_route(route) {
                    found.push(route);
                }
            }
        }
        found.sort_by(|a, b| a.source.cmp(&b.source));
        found
    }

    fn http_table(
        &mut self,
        routes: &mut v1::Routes,
        host: &Arc<str>,
        ports: &[u16],
        seen: Option<&Seen<'a>>,
    ) {
        let place = Place::Mesh(ports);
        let candidates = self.http_candidates(host);
        let chosen = candidates.iter().position(|route| self.has_http(route, place));
        let mut open = ports.to_vec();
        if let Some(at) = chosen {
            let route = candidates[at];
            let rules = self.http_rules(route, place);
            self.note_shadowed(route, &candidates[at + 1..], host);
            open.retain(|port| !rules.iter().any(|(rule, _)| is_for_port(rule, *port)));
            self.note_unreachable(route, &rules);
            routes.http = rules.into_iter().map(|(rule, _)| rule).collect();
            routes.origin = self.provenance.origin(&route.source, "spec");
        }
        let Some(seen) = seen else { return };
        if open.is_empty() {
            return;
        }
        // Where no rule is for a port, the service answers itself, as if there were no VirtualService.
        let origin = self.provenance.origin(&seen.primary().source, "spec");
        let matches = if open.len() == ports.len() {
            Vec::new()
        } else {
            let ports = open.iter().map(|port| u32::from(*port)).collect();
            vec![v1::HttpMatch { ports, ..v1::HttpMatch::default() }]
        };
        let backend = self.own_backend(host, &open, origin.clone());
        let retries = self.default_retries();
        routes.http.push(v1::HttpRule {
            name: DEFAULT_RULE.to_owned(),
            origin,
            matches,
            action: Some(Action::Forward(v1::Forward { backends: vec![backend] })),
            retries,
            ..v1::HttpRule::default()
        });
    }

    /// The service itself, at whatever port the traffic came in on.
    fn own_backend(
        &mut self,
        host: &str,
        ports: &[u16],
        origin: Option<v1::Origin>,
    ) -> v1::Backend {
        for port in ports {
            self.references.insert(Name::Destination {
                host: host.to_owned(),
                port: *port,
                subset: String::new(),
            });
        }
        v1::Backend { origin, host: host.to_owned(), weight: 1, ..v1::Backend::default() }
    }

    /// On each TLS port that no rule is for: to the service itself. Its own address says who is meant,
    /// else the server name has to.
    fn default_tls(
        &mut self,
        routes: &mut v1::Routes,
        host: &Arc<str>,
        seen: &Seen<'a>,
        ports: &[u16],
    ) {
        let for_port = |rule: &v1::TlsRule, port: u16| {
            rule.matches.is_empty()
                || rule.matches.iter().any(|each| each.port == 0 || each.port == u32::from(port))
        };
        let has_address = seen.addresses().iter().any(lateen_mesh::address::Block::is_single)
            || seen.primary().resolution == crate::node::Resolution::Headless
            || self.query.local_offset(host).is_some();
        let open: Vec<u16> = ports
            .iter()
            .copied()
            .filter(|port| !routes.tls.iter().any(|rule| for_port(rule, *port)))
            .collect();
        if open.is_empty() {
            return;
        }
        let origin = self.provenance.origin(&seen.primary().source, "spec");
        let matches = open.iter().map(|port| v1::L4Match {
            sni: if has_address { Vec::new() } else { vec![host.to_string()] },
            port: u32::from(*port),
            origin: origin.clone(),
            ..v1::L4Match::default()
        });
        let matches = matches.collect();
        let backend = self.own_backend(host, &open, origin.clone());
        routes.tls.push(v1::TlsRule { origin, matches, backends: vec![backend] });
    }

    fn note_shadowed(&mut self, chosen: &Route, later: &[&'a Arc<Route>], host: &str) {
        for route in later {
            let at = route.hosts.iter().position(|own| **own == *host).unwrap_or_default();
            let message = format!(
                "the rules for {host} are not used: {} has the same host and is older",
                chosen.source.object
            );
            self.warn(&route.source, Code::ConflictingHosts, &format!("spec.hosts[{at}]"), message);
        }
    }

    /// Says which rules come after one that takes everything.
    pub(super) fn note_unreachable(&mut self, route: &Route, rules: &[(v1::HttpRule, bool)]) {
        let Some(last) = rules.iter().position(|(_, catch_all)| *catch_all) else { return };
        let taker = field_of(&rules[last].0);
        for (rule, _) in &rules[last + 1..] {
            let message = format!("never reached: {taker} takes every request");
            self.warn(&route.source, Code::UnreachableRule, &field_of(rule), message);
        }
    }
}

fn field_of(rule: &v1::HttpRule) -> String {
    rule.origin.as_ref().map(|origin| origin.field.clone()).unwrap_or_default()
}

fn is_for_port(rule: &v1::HttpRule, port: u16) -> bool {
    rule.matches.is_empty()
        || rule
            .matches
            .iter()
            .any(|each| each.ports.is_empty() || each.ports.contains(&u32::from(port)))
}
