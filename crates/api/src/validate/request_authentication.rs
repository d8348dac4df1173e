//! RequestAuthentication.

use serde_json::Value as Json;

use super::attachment::attachment;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::security::{JwtRule, RequestAuthentication};

/// Members of a JSON Web Key that belong to its owner alone (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 2] = ["d", "k"];

pub(super) fn request_authentication(v: &mut Validator, policy: &RequestAuthentication) {
    attachment(v, policy.selector.as_ref(), policy.target_ref.as_ref(), &policy.target_refs);
    v.each("jwtRules", &policy.jwt_rules, jwt_rule);
}

fn jwt_rule(v: &mut Validator, rule: &JwtRule) {
    if rule.issuer.is_empty() {
        v.missing("issuer", "the issuer is needed");
    }
    for (name, texts) in [
        ("audiences", &rule.audiences),
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ] {
        v.each(name, texts, |v, text| {
            if text.is_empty() {
                v.error(Code::BadValue, "the text is empty");
            }
        });
    }
    if !rule.jwks_uri.is_empty() {
        v.check_field("jwksUri", syntax::http_url(&rule.jwks_uri));
        if !rule.jwks.is_empty() {
            v.conflict("jwks", "`jwks` excludes `jwksUri`");
        }
    }
    if !rule.jwks.is_empty() {
        v.field("jwks", |v| key_set(v, &rule.jwks));
    }
    v.each("fromHeaders", &rule.from_headers, |v, header| {
        if header.name.is_empty() {
            v.missing("name", "the header's name is needed");
        }
    });
    v.each("outputClaimToHeaders", &rule.output_claim_to_headers, |v, output| {
        v.check_field("header", syntax::plain_header_name(&output.header));
        if output.claim.is_empty() {
            v.missing("claim", "the claim is needed");
        }
    });
    if let Some(timeout) = rule.timeout {
        v.check_field("timeout", syntax::duration(timeout));
    }
}

/// A JSON Web Key Set (RFC 7517, section 5).
fn key_set(v: &mut Validator, text: &str) {
    let parsed: Option<Json> = serde_json::from_str(text).ok();
    let keys = parsed.as_ref().and_then(|set| set["keys"].as_array());
    let typed = |key: &&Json| key["kty"].is_string();
    let Some(keys) = keys.filter(|keys| keys.iter().all(|key| typed(&key))) else {
        return v.error(Code::BadValue, "not a JSON Web Key Set: `{\"keys\": [{\"kty\": …}]}`");
    };
    let private = |key: &Json| PRIVATE_MEMBERS.iter().any(|member| !key[member].is_null());
    if keys.iter().any(private) {
        let message = "a private key: whoever may read this object can make tokens with it";
        v.warn(Code::Inconsistent, message);
    }
}
