//! Putting conditions together, on both sides of a policy.

use envoy_types::pb::envoy::config::rbac::v3::{Permission, Principal, permission, principal};
use envoy_types::pb::envoy::config::route::v3::HeaderMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::PathMatcher;

/// A condition of Envoy: on who calls ([`Principal`]) or on what is asked for ([`Permission`]).
pub(super) trait Logic: Sized {
    /// Always holds.
    fn always() -> Self;
    /// Holds if the other does not.
    fn not(self) -> Self;
    /// Holds if all do; `conditions` are at least two.
    fn and(conditions: Vec<Self>) -> Self;
    /// Holds if any does; `conditions` are at least two.
    fn or(conditions: Vec<Self>) -> Self;
    /// Holds if a header matches.
    fn header(matcher: HeaderMatcher) -> Self;
    /// Holds if the path without the query matches.
    fn path(matcher: PathMatcher) -> Self;

    /// Never holds.
    fn never() -> Self {
        Self::always().not()
    }

    /// Holds if all do, also if there are none.
    fn all(mut conditions: Vec<Self>) -> Self {
        match conditions.len() {
            0 => Self::always(),
            1 => conditions.remove(0),
            _ => Self::and(conditions),
        }
    }

    /// Holds if any does, so not if there are none.
    fn any(mut conditions: Vec<Self>) -> Self {
        match conditions.len() {
            0 => Self::never(),
            1 => conditions.remove(0),
            _ => Self::or(conditions),
        }
    }
}

fn permission(rule: permission::Rule) -> Permission {
    Permission { rule: Some(rule) }
}

fn principal(identifier: principal::Identifier) -> Principal {
    Principal { identifier: Some(identifier) }
}

impl Logic for Permission {
    fn always() -> Self {
        permission(permission::Rule::Any(true))
    }

    fn not(self) -> Self {
        permission(permission::Rule::NotRule(Box::new(self)))
    }

    fn and(rules: Vec<Self>) -> Self {
        permission(permission::Rule::AndRules(permission::Set { rules }))
    }

    fn or(rules: Vec<Self>) -> Self {
        permission(permission::Rule::OrRules(permission::Set { rules }))
    }

    fn header(matcher: HeaderMatcher) -> Self {
        permission(permission::Rule::Header(matcher))
    }

    fn path(matcher: PathMatcher) -> Self {
        permission(permission::Rule::UrlPath(matcher))
    }
}

impl Logic for Principal {
    fn always() -> Self {
        principal(principal::Identifier::Any(true))
    }

    fn not(self) -> Self {
        principal(principal::Identifier::NotId(Box::new(self)))
    }

    fn and(ids: Vec<Self>) -> Self {
        principal(principal::Identifier::AndIds(principal::Set { ids }))
    }

    fn or(ids: Vec<Self>) -> Self {
        principal(principal::Identifier::OrIds(principal::Set { ids }))
    }

    fn header(matcher: HeaderMatcher) -> Self {
        principal(principal::Identifier::Header(matcher))
    }

    fn path(matcher: PathMatcher) -> Self {
        principal(principal::Identifier::UrlPath(matcher))
    }
}
