//! Rules for HTTP, as one scope sees them.

use lateen_mesh::v1::{self, http_rule::Action};

use super::Linker;
use super::backend::Listening;
use crate::node::{Binding, HttpAction, HttpRule, Retries, Route};

/// Where rules are asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'p> {
    /// In the mesh, at an entry with these ports.
    Mesh(&'p [u16]),
    /// At a gateway (`namespace/name`), at a server with this port.
    Gateway(&'p str, u16),
}

impl<'p> Place<'p> {
    pub fn gateway(self) -> &'p str {
        match self {
            Self::Mesh(_) => crate::node::MESH_GATEWAY,
            Self::Gateway(name, _) => name,
        }
    }

    pub fn listening(self) -> Listening<'p> {
        match self {
            Self::Mesh(ports) => Listening::Entry(ports),
            Self::Gateway(_, port) => Listening::Server(port),
        }
    }

    /// Whether a match for this port can apply; 0 is any.
    pub fn has_port(self, port: u16) -> bool {
        port == 0
            || match self {
                Self::Mesh(ports) => ports.contains(&port),
                Self::Gateway(_, own) => port == own,
            }
    }
}

impl Linker<'_> {
    /// Whether a match counts for the scope's clients at this place.
    pub(super) fn is_bound(&self, route: &Route, binding: &Binding, place: Place<'_>) -> bool {
        if !self.is_bound_without_match(route, place) {
            return false;
        }
        if !binding.gateways.is_empty() {
            return binding.gateways.iter().any(|name| **name == *place.gateway());
        }
        self.scope.has_source_labels(&binding.source_labels)
            && binding.source_namespace.as_ref().is_none_or(|name| self.scope.is_in(name))
    }

    /// The same for a rule without matches.
    pub(super) fn is_bound_without_match(&self, route: &Route, place: Place<'_>) -> bool {
        route.is_at(place.gateway())
    }

    /// Whether any rule of a VirtualService applies at this place.
    pub(super) fn has_http(&self, route: &Route, place: Place<'_>) -> bool {
        route.http.iter().any(|rule| self.applying(route, rule, place).is_some())
    }

    /// The matches of a rule that count here; none if the rule does not apply.
    fn applying<'r>(
        &self,
        route: &Route,
        rule: &'r HttpRule,
        place: Place<'_>,
    ) -> Option<Vec<&'r crate::node::HttpMatch>> {
        if rule.matches.is_empty() {
            return self.is_bound_without_match(route, place).then(Vec::new);
        }
        let matches: Vec<_> = rule
            .matches
            .iter()
            .filter(|each| self.is_bound(route, &each.binding, place) && place.has_port(each.port))
            .collect();
        (!matches.is_empty()).then_some(matches)
    }

    /// The rules of a VirtualService at this place, and for each whether it takes everything.
    pub(super) fn http_rules(
        &mut self,
        route: &Route,
        place: Place<'_>,
    ) -> Vec<(v1::HttpRule, bool)> {
        let mut rules = Vec::new();
        for rule in &route.http {
            let Some(matches) = self.applying(route, rule, place) else { continue };
            let catch_all = matches.is_empty()
                || matches.iter().any(|each| each.catch_all && (each.port == 0 || !is_mesh(place)));
            let matches = matches.iter().map(|each| {
                let mut matching = each.matching.clone();
                if !is_mesh(place) {
                    matching.ports.clear();
                }
                matching
            });
            let matches = matches.collect();
            rules.push((self.http_rule(route, rule, matches, place), catch_all));
        }
        rules
    }

    fn http_rule(
        &mut self,
        route: &Route,
        rule: &HttpRule,
        matches: Vec<v1::HttpMatch>,
        place: Place<'_>,
    ) -> v1::HttpRule {
        let mut out = rule.rule.clone();
        out.matches = matches;
        self.provenance.place(&mut out.origin, &route.source);
        for each in &mut out.matches {
            self.provenance.place(&mut each.origin, &route.source);
        }
        if let HttpAction::Forward(backends) = &rule.action {
            let backends = backends
                .iter()
                .map(|backend| self.backend(&route.source, backend, place.listening()))
                .collect();
            out.action = Some(Action::Forward(v1::Forward { backends }));
            out.retries = match &rule.retries {
                Retries::Default => self.default_retries(),
                Retries::Off => None,
                Retries::Policy(policy) => {
                    let mut policy = policy.clone();
                    self.provenance.place(&mut policy.origin, &route.source);
                    Some(policy)
                }
            };
        }
        out
    }

    /// What is tried again where nothing is written for a rule.
    pub(super) fn default_retries(&mut self) -> Option<v1::RetryPolicy> {
        let traffic = self.query.traffic();
        let mut policy = traffic.retries.clone()?;
        if let Some(source) = &traffic.retries_source {
            self.provenance.place(&mut policy.origin, source);
        }
        Some(policy)
    }
}

fn is_mesh(place: Place<'_>) -> bool {
    matches!(place, Place::Mesh(_))
}
