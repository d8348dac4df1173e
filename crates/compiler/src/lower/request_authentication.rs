//! RequestAuthentications: where tokens stand in requests. They cannot be checked yet, so that a
//! request with one is refused.

use std::sync::Arc;

use lateen_api::security::{JwtRule, RequestAuthentication};
use lateen_mesh::v1::{
    self, Attribute, ValueMatch, authorization_policy::Action, value_match::Kind,
};

use super::{Fact, Lowering};
use crate::node::{Authorization, Labels, Policy};

/// Tells the policy's name from that of an AuthorizationPolicy, which cannot have a `~`.
const SUFFIX: &str = "~tokens";

impl Lowering<'_> {
    /// What is attached to objects by reference applies to nobody here, as with AuthorizationPolicies.
    pub(super) fn request_authentication(&mut self, spec: &RequestAuthentication) -> Vec<Fact> {
        let attached = spec.target_ref.is_some() || !spec.target_refs.is_empty();
        if attached || spec.jwt_rules.is_empty() {
            return Vec::new();
        }
        let rules = spec.jwt_rules.iter().enumerate();
        let meta = &self.object.meta;
        let name = format!("{}{SUFFIX}", meta.name);
        let policy = v1::AuthorizationPolicy {
            namespace: meta.namespace.clone(),
            name: name.clone(),
            action: Action::Authenticate.into(),
            dry_run: false,
            rules: rules.flat_map(|(at, rule)| places(at, rule)).collect(),
            origin: Some(v1::Origin { object: 1, field: "spec".to_owned() }),
        };
        let selector = spec.selector.as_ref().map(|selector| Labels::new(&selector.match_labels));
        let (source, namespace, name) = (self.source(), self.namespace(), Arc::from(name));
        vec![
            Fact::Authorization(Arc::new(Authorization {
                source: source.clone(),
                namespace: namespace.clone(),
                name: Arc::clone(&name),
                selector: selector.filter(|labels| !labels.is_empty()),
            })),
            Fact::Policy(Arc::new(Policy { source, namespace, name, policy })),
        ]
    }
}

/// The places of an issuer's tokens, a rule each: those written, else Envoy's own.
fn places(at: usize, rule: &JwtRule) -> Vec<v1::AuthorizationRule> {
    let mut clauses = Vec::new();
    for (index, header) in rule.from_headers.iter().enumerate() {
        let value = match header.prefix.as_str() {
            "" => Kind::Present(true),
            prefix => Kind::Prefix(prefix.to_owned()),
        };
        let name = header.name.to_lowercase();
        clauses.push(clause(Attribute::Header, &name, value, format!("fromHeaders[{index}]")));
    }
    for (index, name) in rule.from_params.iter().enumerate() {
        let field = format!("fromParams[{index}]");
        clauses.push(clause(Attribute::QueryParameter, name, Kind::Present(true), field));
    }
    for (index, name) in rule.from_cookies.iter().enumerate() {
        let field = format!("fromCookies[{index}]");
        clauses.push(clause(Attribute::Cookie, name, Kind::Present(true), field));
    }
    if clauses.is_empty() {
        let bearer = Kind::Prefix("Bearer ".to_owned());
        let parameter = Kind::Present(true);
        clauses.push(clause(Attribute::Header, "authorization", bearer, String::new()));
        clauses.push(clause(Attribute::QueryParameter, "access_token", parameter, String::new()));
    }
    let rule = |clause| v1::AuthorizationRule {
        origin: Some(v1::Origin { object: 1, field: format!("spec.jwtRules[{at}]") }),
        when: vec![clause],
        ..v1::AuthorizationRule::default()
    };
    clauses.into_iter().map(rule).collect()
}

fn clause(attribute: Attribute, key: &str, value: Kind, field: String) -> v1::Clause {
    v1::Clause {
        attribute: attribute.into(),
        key: key.to_owned(),
        values: vec![ValueMatch { kind: Some(value), ignore_case: false }],
        not_values: Vec::new(),
        field,
    }
}
