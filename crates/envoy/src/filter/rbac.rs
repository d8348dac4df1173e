//! Authorization policies as RBAC filters.
//!
//! Envoy must decide what `engine::authorize` decides: CUSTOM (which denies, as nobody can be
//! asked), AUDIT, DENY, then ALLOW; one filter for each action that occurs. AUTHENTICATE, which comes
//! behind CUSTOM, is another filter's (`tokens`). On opaque bytes, fields
//! that only HTTP has take no part in DENY and take their rule out of ALLOW, so that a policy fails
//! closed. What cannot be said in Envoy's language never matches in ALLOW and always in DENY and
//! CUSTOM, and is reported.

mod clause;
mod identity;
mod logic;
mod message;
mod rule;
mod text;

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::rbac::v3::{Policy, rbac};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, authorization_policy::Action};

use self::logic::Logic;
use self::message::Rules;
use super::{http_filter, network_filter, tokens};
use crate::lowering::{Context, Output};

/// What a rule is matched against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// A connection of opaque bytes.
    Connection,
    /// A request.
    Request,
}

/// Which port connections of a filter chain were sent to, as policies mean it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destined {
    /// As the connection's local address says.
    Dialled,
    /// This one, whatever the socket's port is: local mode moves low ports.
    Port(u16),
}

/// The policies of a workload.
#[derive(Debug, Default)]
pub(crate) struct Authorization<'a> {
    policies: Vec<&'a v1::AuthorizationPolicy>,
    /// Names of policies that are not there: nothing is allowed before they are.
    missing: Vec<Name>,
}

/// A rule, and under which name Envoy reports it.
type Named = (String, Policy);

impl<'a> Authorization<'a> {
    /// Finds the policies that an `Inbound` names.
    pub(crate) fn new(context: &Context<'a>, names: &[String], out: &mut Output) -> Self {
        let mut found = Self::default();
        for name in names.iter().filter_map(|name| Name::parse(name)) {
            match context.model.policy(&name) {
                Some(policy) => found.policies.push(policy),
                None => {
                    let why = format!("{name} is not there: everything is denied until it is");
                    out.problem(&[], None, why);
                    found.missing.push(name);
                }
            }
        }
        for policy in &found.policies {
            let name =
                Name::Policy { namespace: policy.namespace.clone(), name: policy.name.clone() };
            rule::report(policy, context.model.objects(&name), out);
        }
        found
    }

    /// The filters of an HTTP connection manager.
    pub(crate) fn http(&self, destined: Destined) -> Vec<HttpFilter> {
        let mut filters = Vec::new();
        let mut tokens = tokens::filter(self.of(Action::Authenticate));
        for filter in self.filters(Layer::Request, destined) {
            // Only CUSTOM comes before them.
            if filter.action != Action::Custom {
                filters.extend(tokens.take());
            }
            filters.push(http_filter("envoy.filters.http.rbac", filter.http()));
        }
        filters.extend(tokens);
        filters
    }

    /// The network filters before opaque bytes are relayed.
    pub(crate) fn network(&self, destined: Destined) -> Vec<Filter> {
        self.filters(Layer::Connection, destined)
            .map(|filter| network_filter("envoy.filters.network.rbac", filter.network()))
            .collect()
    }

    fn filters(
        &self,
        layer: Layer,
        destined: Destined,
    ) -> impl Iterator<Item = message::Rbac> + use<'_, 'a> {
        let order = [Action::Custom, Action::Audit, Action::Deny, Action::Allow];
        order.into_iter().filter_map(move |action| {
            let scene = rule::Scene { action, layer, destined };
            let mut enforced = self.rules(&scene, false);
            if action == Action::Deny {
                enforced.extend(self.missing.iter().map(denied));
            }
            let shadow = self.rules(&scene, true);
            let some_allow =
                action == Action::Allow && self.of(action).any(|policy| !policy.dry_run);
            let rules = (some_allow || !enforced.is_empty())
                .then(|| Rules { action: rbac_action(action).into(), policies: enforced });
            // There is nothing to report of what AUDIT would report.
            let shadow = (!shadow.is_empty() && action != Action::Audit)
                .then(|| Rules { action: rbac_action(action).into(), policies: shadow });
            (rules.is_some() || shadow.is_some()).then_some(message::Rbac { action, rules, shadow })
        })
    }

    fn of(
        &self,
        action: Action,
    ) -> impl Iterator<Item = &'a v1::AuthorizationPolicy> + use<'_, 'a> {
        self.policies.iter().copied().filter(move |policy| action_of(policy) == action)
    }

    fn rules(&self, scene: &rule::Scene, dry_run: bool) -> BTreeMap<String, Policy> {
        let policies = self.of(scene.action).filter(|policy| policy.dry_run == dry_run);
        policies.flat_map(|policy| rule::policies(policy, scene)).collect()
    }
}

/// An action that is not known denies.
fn action_of(policy: &v1::AuthorizationPolicy) -> Action {
    Action::try_from(policy.action).unwrap_or(Action::Deny)
}

const fn rbac_action(action: Action) -> rbac::Action {
    match action {
        Action::Allow => rbac::Action::Allow,
        Action::Deny | Action::Custom | Action::Authenticate => rbac::Action::Deny,
        Action::Audit => rbac::Action::Log,
    }
}

fn denied(name: &Name) -> Named {
    (name.to_string(), everything())
}

/// Matches whatever comes.
fn everything() -> Policy {
    Policy {
        permissions: vec![Logic::always()],
        principals: vec![Logic::always()],
        ..Policy::default()
    }
}
