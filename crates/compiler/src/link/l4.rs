//! Rules for TLS and TCP, as one scope sees them.

use lateen_mesh::v1;

use super::Linker;
use super::http::Place;
use crate::node::{L4Match, L4Rule, Route};

impl Linker<'_> {
    /// The TCP rules of a VirtualService that apply here.
    pub(super) fn tcp_rules(&mut self, route: &Route, place: Place<'_>) -> Vec<v1::TcpRule> {
        let mut rules = Vec::new();
        for rule in &route.tcp {
            if let Some((matches, backends)) = self.l4_rule(route, rule, place) {
                let origin = self.provenance.origin(&route.source, &rule.field);
                rules.push(v1::TcpRule { origin, matches, backends });
            }
        }
        rules
    }

    /// The TLS rules of a VirtualService that apply here.
    pub(super) fn tls_rules(&mut self, route: &Route, place: Place<'_>) -> Vec<v1::TlsRule> {
        let mut rules = Vec::new();
        for rule in &route.tls {
            if let Some((matches, backends)) = self.l4_rule(route, rule, place) {
                let origin = self.provenance.origin(&route.source, &rule.field);
                rules.push(v1::TlsRule { origin, matches, backends });
            }
        }
        rules
    }

    fn l4_rule(
        &mut self,
        route: &Route,
        rule: &L4Rule,
        place: Place<'_>,
    ) -> Option<(Vec<v1::L4Match>, Vec<v1::Backend>)> {
        let applies = |each: &&L4Match| {
            let port = u16::try_from(each.matching.port).unwrap_or_default();
            self.is_bound(route, &each.binding, place) && place.has_port(port)
        };
        let applying: Vec<&L4Match> = rule.matches.iter().filter(applies).collect();
        let unconditional = rule.matches.is_empty() && self.is_bound_without_match(route, place);
        if applying.is_empty() && !unconditional {
            return None;
        }
        let mut matches: Vec<v1::L4Match> =
            applying.iter().map(|each| each.matching.clone()).collect();
        for each in &mut matches {
            self.provenance.place(&mut each.origin, &route.source);
        }
        let backends = rule
            .backends
            .iter()
            .map(|backend| self.backend(&route.source, backend, place.listening()))
            .collect();
        Some((matches, backends))
    }
}
