//! One field of a rule.

use envoy_types::pb::envoy::config::core::v3::CidrRange;
use envoy_types::pb::envoy::config::rbac::v3::{Permission, Principal, permission, principal};
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, header_matcher};
use envoy_types::pb::envoy::r#type::matcher::v3::{PathMatcher, path_matcher};
use lateen_mesh::address::Block;
use lateen_mesh::v1::{self, Attribute, ValueMatch, value_match::Kind};

use super::logic::Logic;
use super::text::{Matcher, matcher};
use super::{Destined, identity};
use crate::message::cidr;

/// Envoy has no words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsayable;

/// A condition on one side of a policy, made of one value of an attribute.
pub(super) trait Side: Logic {
    /// `None`: this side knows no such attribute, or not such values of it.
    fn value(
        attribute: Attribute,
        key: &str,
        value: &ValueMatch,
        destined: Destined,
    ) -> Option<Self>;
}

/// The field as a condition.
pub(super) fn lower<S: Side>(clause: &v1::Clause, destined: Destined) -> Result<S, Unsayable> {
    let attribute = attribute(clause);
    let all = |values: &[ValueMatch]| -> Result<Vec<S>, Unsayable> {
        let values = values.iter();
        values
            .map(|value| S::value(attribute, &clause.key, value, destined).ok_or(Unsayable))
            .collect()
    };
    let mut conditions = Vec::new();
    if !clause.values.is_empty() {
        conditions.push(S::any(all(&clause.values)?));
    }
    if !clause.not_values.is_empty() {
        conditions.push(S::any(all(&clause.not_values)?).not());
    }
    Ok(S::all(conditions))
}

/// What the field is about; what is not known is not supported.
pub(super) fn attribute(clause: &v1::Clause) -> Attribute {
    Attribute::try_from(clause.attribute).unwrap_or(Attribute::Unsupported)
}

/// Whether the field asks for something that opaque bytes do not have.
pub(super) fn is_http_only(clause: &v1::Clause) -> bool {
    attribute(clause).is_http_only()
}

/// Whether the field is about the caller, which only the principals of a policy can ask.
pub(super) fn is_about_source(clause: &v1::Clause) -> bool {
    matches!(
        attribute(clause),
        Attribute::Principal
            | Attribute::Namespace
            | Attribute::ServiceAccount
            | Attribute::TrustDomain
            | Attribute::SourceIp
            | Attribute::RemoteIp
    )
}

impl Side for Principal {
    fn value(
        attribute: Attribute,
        key: &str,
        value: &ValueMatch,
        _destined: Destined,
    ) -> Option<Self> {
        let by_address = |identifier: fn(CidrRange) -> principal::Identifier| {
            by_address(value, |range| Self { identifier: Some(identifier(range)) })
        };
        match attribute {
            Attribute::Principal
            | Attribute::Namespace
            | Attribute::ServiceAccount
            | Attribute::TrustDomain => identity::matches(attribute, value),
            Attribute::SourceIp => by_address(principal::Identifier::DirectRemoteIp),
            Attribute::RemoteIp => by_address(principal::Identifier::RemoteIp),
            _ => of_request(attribute, key, value),
        }
    }
}

impl Side for Permission {
    fn value(
        attribute: Attribute,
        key: &str,
        value: &ValueMatch,
        destined: Destined,
    ) -> Option<Self> {
        match attribute {
            Attribute::DestinationIp => by_address(value, |range| Self {
                rule: Some(permission::Rule::DestinationIp(range)),
            }),
            Attribute::DestinationPort => by_port(value, destined),
            Attribute::Sni => Some(match matcher(value)? {
                Matcher::Nothing => Self::never(),
                Matcher::Text(matcher) => {
                    Self { rule: Some(permission::Rule::RequestedServerName(matcher)) }
                }
            }),
            _ => of_request(attribute, key, value),
        }
    }
}

fn by_address<S: Side>(value: &ValueMatch, condition: impl Fn(CidrRange) -> S) -> Option<S> {
    Some(match value.kind.as_ref()? {
        Kind::Cidr(bytes) => condition(cidr(&Block::decode(bytes)?)),
        Kind::Exact(text) => match text.parse() {
            Ok(address) => condition(cidr(&Block::single(address))),
            Err(_) => S::never(),
        },
        Kind::Present(_) => S::always(),
        Kind::Port(_) => S::never(),
        Kind::Prefix(_) | Kind::Suffix(_) | Kind::Regex(_) | Kind::PathTemplate(_) => return None,
    })
}

fn by_port(value: &ValueMatch, destined: Destined) -> Option<Permission> {
    let wanted = match value.kind.as_ref()? {
        Kind::Port(port) => u16::try_from(*port).ok()?,
        Kind::Exact(text) => match text.parse() {
            Ok(port) => port,
            Err(_) => return Some(Permission::never()),
        },
        Kind::Present(_) => return Some(Permission::always()),
        _ => return None,
    };
    Some(match destined {
        Destined::Port(port) if port == wanted => Permission::always(),
        Destined::Port(_) => Permission::never(),
        Destined::Dialled => {
            Permission { rule: Some(permission::Rule::DestinationPort(wanted.into())) }
        }
    })
}

fn of_request<S: Side>(attribute: Attribute, key: &str, value: &ValueMatch) -> Option<S> {
    let header = match attribute {
        Attribute::Path => return by_path(value),
        Attribute::Host => ":authority",
        Attribute::Method => ":method",
        Attribute::Header if key == "host" => ":authority",
        Attribute::Header => key,
        _ => return None,
    };
    Some(match matcher(value)? {
        Matcher::Nothing => S::never(),
        Matcher::Text(matcher) => S::header(HeaderMatcher {
            name: header.to_owned(),
            header_match_specifier: Some(header_matcher::HeaderMatchSpecifier::StringMatch(
                matcher,
            )),
            ..HeaderMatcher::default()
        }),
    })
}

fn by_path<S: Side>(value: &ValueMatch) -> Option<S> {
    Some(match matcher(value)? {
        Matcher::Nothing => S::never(),
        Matcher::Text(matcher) => {
            S::path(PathMatcher { rule: Some(path_matcher::Rule::Path(matcher)) })
        }
    })
}
