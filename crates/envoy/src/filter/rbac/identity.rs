//! What an identity says: the parts of `spiffe://<trust domain>/ns/<namespace>/sa/<account>`.
//!
//! Envoy knows the identity as a whole, so each part is asked for by an expression over it, as
//! `engine::authorize` reads it.

use envoy_types::pb::envoy::config::rbac::v3::{Principal, principal};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use lateen_mesh::v1::{Attribute, ValueMatch, value_match::Kind};

use super::logic::Logic;
use super::text::{escape, regex};

const SCHEME: &str = "spiffe://";

/// Whether the caller has proved an identity that matches; `None`: Envoy cannot be told.
pub(super) fn matches(attribute: Attribute, value: &ValueMatch) -> Option<Principal> {
    if matches!(value.kind, Some(Kind::Port(_))) {
        return Some(Logic::never());
    }
    let name = match attribute {
        Attribute::Principal => whole(value)?,
        Attribute::TrustDomain => {
            regex(&cased(value, &format!("{SCHEME}{}(?:/.*)?", part(value)?)))
        }
        Attribute::Namespace => {
            regex(&cased(value, &format!("{SCHEME}[^/]*/ns/{}/.*", part(value)?)))
        }
        Attribute::ServiceAccount => {
            let (namespace, account) = account(value)?;
            let expression = format!("{SCHEME}[^/]*/ns/{namespace}/(?:.+/)?sa/{account}(?:/.*)?");
            regex(&cased(value, &expression))
        }
        _ => return None,
    };
    Some(Principal {
        identifier: Some(principal::Identifier::Authenticated(principal::Authenticated {
            principal_name: Some(name),
        })),
    })
}

/// The identity as a whole. Only names of the scheme count, whatever else a certificate says.
fn whole(value: &ValueMatch) -> Option<StringMatcher> {
    let text =
        |pattern| StringMatcher { ignore_case: value.ignore_case, match_pattern: Some(pattern) };
    Some(match value.kind.as_ref()? {
        Kind::Exact(name) => text(MatchPattern::Exact(format!("{SCHEME}{name}"))),
        Kind::Prefix(name) => text(MatchPattern::Prefix(format!("{SCHEME}{name}"))),
        Kind::Suffix(name) => regex(&cased(value, &format!("{SCHEME}.*{}", escape(name)))),
        Kind::Present(_) => regex(&format!("{SCHEME}.+")),
        Kind::Regex(inner) => regex(&cased(value, &format!("{SCHEME}(?:{inner})"))),
        Kind::Cidr(_) | Kind::PathTemplate(_) | Kind::Port(_) => return None,
    })
}

/// One segment of the identity.
fn part(value: &ValueMatch) -> Option<String> {
    Some(match value.kind.as_ref()? {
        Kind::Exact(text) => escape(text),
        Kind::Prefix(text) => format!("{}[^/]*", escape(text)),
        Kind::Suffix(text) => format!("[^/]*{}", escape(text)),
        Kind::Present(_) => "[^/]+".to_owned(),
        Kind::Regex(inner) => within_segment(inner)?,
        Kind::Cidr(_) | Kind::PathTemplate(_) | Kind::Port(_) => return None,
    })
}

/// The expressions for `<namespace>/<account>`.
fn account(value: &ValueMatch) -> Option<(String, String)> {
    match value.kind.as_ref()? {
        Kind::Exact(text) => {
            let (namespace, account) = text.split_once('/')?;
            Some((escape(namespace), escape(account)))
        }
        Kind::Present(_) => Some(("[^/]+".to_owned(), "[^/]*".to_owned())),
        _ => None,
    }
}

/// An expression of literals and `.*`, kept within one segment; `None` for any other, which could
/// mean more than a segment.
fn within_segment(expression: &str) -> Option<String> {
    let mut out = String::with_capacity(expression.len());
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend([character, characters.next()?]),
            '.' if characters.next() == Some('*') => out.push_str("[^/]*"),
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                return None;
            }
            other => out.push(other),
        }
    }
    Some(out)
}

/// The expression, in any case if the value is.
fn cased(value: &ValueMatch, expression: &str) -> String {
    if value.ignore_case { format!("(?i){expression}") } else { expression.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_segment() {
        assert_eq!(within_segment(r"a\..*z").as_deref(), Some(r"a\.[^/]*z"));
        for other in ["a.z", "(a|b)", "a+", "\\"] {
            assert_eq!(within_segment(other), None, "{other}");
        }
    }

    #[test]
    fn parts_of_identities_are_asked_for_by_expressions() {
        for (attribute, kind, expected) in [
            (Attribute::TrustDomain, Kind::Exact("td.x".into()), r"spiffe://td\.x(?:/.*)?"),
            (Attribute::Namespace, Kind::Exact("shop".into()), "spiffe://[^/]*/ns/shop/.*"),
            (Attribute::Namespace, Kind::Prefix("s-".into()), "spiffe://[^/]*/ns/s-[^/]*/.*"),
            (
                Attribute::ServiceAccount,
                Kind::Exact("shop/web".into()),
                "spiffe://[^/]*/ns/shop/(?:.+/)?sa/web(?:/.*)?",
            ),
            (Attribute::Principal, Kind::Suffix("/sa/web".into()), "spiffe://.*/sa/web"),
            (Attribute::Principal, Kind::Present(true), "spiffe://.+"),
        ] {
            let value = ValueMatch { kind: Some(kind), ignore_case: false };
            let expected = Principal {
                identifier: Some(principal::Identifier::Authenticated(principal::Authenticated {
                    principal_name: Some(regex(expected)),
                })),
            };
            assert_eq!(matches(attribute, &value), Some(expected), "{attribute:?} {value:?}");
        }
        let value =
            ValueMatch { kind: Some(Kind::PathTemplate("/{*}".into())), ignore_case: false };
        assert_eq!(matches(Attribute::Namespace, &value), None);
    }
}
