//! RequestAuthentications as Envoy's filter for JSON Web Tokens.
//!
//! The mesh cannot check tokens yet, so that no token is valid: the filter looks for them at the places
//! that policies name, and the only key that it has is one whose private half nobody has. What it
//! finds is answered with 401; a request without a token goes on.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::config::route::v3::{RouteMatch, route_match};
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3::{
    JwtAuthentication, JwtHeader, JwtProvider, JwtRequirement, JwtRequirementOrList,
    RequirementRule, jwt_provider, jwt_requirement, requirement_rule,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use lateen_mesh::v1::{self, Attribute, value_match::Kind};

use super::http_filter;
use crate::message::any;

const PROVIDER: &str = "tokens";

/// A point on P-256 that was made with its private key, and that key was never written down.
const NOBODYS_KEYS: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","x":"ex9lzCmX0BAi-LlUFApZZQ7mCp96_1pAZgd8TVO6eTw","y":"jkcZrCKRb_0lun7zHrI3y_gH6Wn04NP_13zu02OqOaQ"}]}"#;

/// The filter for these policies; nothing without any place where tokens could stand.
pub(super) fn filter<'a>(
    policies: impl Iterator<Item = &'a v1::AuthorizationPolicy>,
) -> Option<HttpFilter> {
    let mut provider = JwtProvider::default();
    let clauses = policies.flat_map(|policy| &policy.rules).flat_map(|rule| &rule.when);
    clauses.for_each(|clause| place(&mut provider, clause));
    let nowhere = provider.from_headers.is_empty()
        && provider.from_params.is_empty()
        && provider.from_cookies.is_empty();
    if nowhere {
        return None;
    }
    provider.jwks_source_specifier =
        Some(jwt_provider::JwksSourceSpecifier::LocalJwks(DataSource {
            specifier: Some(data_source::Specifier::InlineString(NOBODYS_KEYS.to_owned())),
            ..DataSource::default()
        }));
    let message = JwtAuthentication {
        // One provider for all: a map of several has no order.
        providers: [(PROVIDER.to_owned(), provider)].into(),
        rules: vec![everywhere()],
        ..JwtAuthentication::default()
    };
    Some(http_filter("envoy.filters.http.jwt_authn", any(&message)))
}

fn place(provider: &mut JwtProvider, clause: &v1::Clause) {
    let key = clause.key.clone();
    match Attribute::try_from(clause.attribute) {
        Ok(Attribute::Header) => {
            let prefix = clause.values.iter().find_map(|value| match &value.kind {
                Some(Kind::Prefix(prefix)) => Some(prefix.clone()),
                _ => None,
            });
            let header = JwtHeader { name: key, value_prefix: prefix.unwrap_or_default() };
            if !provider.from_headers.contains(&header) {
                provider.from_headers.push(header);
            }
        }
        Ok(Attribute::QueryParameter) if !provider.from_params.contains(&key) => {
            provider.from_params.push(key);
        }
        Ok(Attribute::Cookie) if !provider.from_cookies.contains(&key) => {
            provider.from_cookies.push(key);
        }
        _ => {}
    }
}

/// Every request has a valid token or none.
fn everywhere() -> RequirementRule {
    let requirement = |requires_type| JwtRequirement { requires_type: Some(requires_type) };
    let any = jwt_requirement::RequiresType::RequiresAny(JwtRequirementOrList {
        requirements: vec![
            requirement(jwt_requirement::RequiresType::ProviderName(PROVIDER.to_owned())),
            requirement(jwt_requirement::RequiresType::AllowMissing(Default::default())),
        ],
    });
    RequirementRule {
        r#match: Some(RouteMatch {
            path_specifier: Some(route_match::PathSpecifier::Prefix("/".to_owned())),
            ..RouteMatch::default()
        }),
        requirement_type: Some(requirement_rule::RequirementType::Requires(requirement(any))),
    }
}

#[cfg(test)]
mod tests {
    use lateen_mesh::v1::authorization_policy::Action;
    use prost::Message as _;

    use super::*;

    #[test]
    fn places_of_all_policies_are_one_providers() {
        let rule = |attribute: Attribute, key: &str, kind| v1::AuthorizationRule {
            when: vec![v1::Clause {
                attribute: attribute.into(),
                key: key.to_owned(),
                values: vec![v1::ValueMatch { kind: Some(kind), ignore_case: false }],
                ..v1::Clause::default()
            }],
            ..v1::AuthorizationRule::default()
        };
        let bearer = || Kind::Prefix("Bearer ".to_owned());
        let policy = |rules| v1::AuthorizationPolicy {
            action: Action::Authenticate.into(),
            rules,
            ..v1::AuthorizationPolicy::default()
        };
        let one = policy(vec![
            rule(Attribute::Header, "authorization", bearer()),
            rule(Attribute::QueryParameter, "access_token", Kind::Present(true)),
        ]);
        let other = policy(vec![
            rule(Attribute::Header, "authorization", bearer()),
            rule(Attribute::Cookie, "session", Kind::Present(true)),
        ]);
        let made = filter([&one, &other].into_iter()).expect("a filter");
        let Some(config) = made.config_type else { panic!("no configuration") };
        let envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType::TypedConfig(config) = config else {
            panic!("{config:?}")
        };
        let message = JwtAuthentication::decode(config.value.as_slice()).expect("its own message");
        let provider = &message.providers[PROVIDER];
        let header =
            JwtHeader { name: "authorization".to_owned(), value_prefix: "Bearer ".to_owned() };
        assert_eq!(provider.from_headers, [header]);
        assert_eq!(provider.from_params, ["access_token"]);
        assert_eq!(provider.from_cookies, ["session"]);
        assert_eq!(message.rules.len(), 1);
        assert!(filter([policy(Vec::new())].iter()).is_none());
    }
}
