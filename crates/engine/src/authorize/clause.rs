//! One field of a rule.

use std::borrow::Cow;
use std::net::IpAddr;

use lateen_mesh::v1::{self, Attribute};

use super::value::ValueMatcher;
use super::{Action, Peer};
use crate::route::{HeaderField, Request};

/// What a rule is matched against; no request on a connection of opaque bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) peer: &'a Peer<'a>,
    pub(super) request: Option<&'a Request<'a>>,
}

/// A compiled `Clause`.
#[derive(Debug)]
pub(super) struct Clause {
    attribute: Attribute,
    key: Box<str>,
    header: Option<HeaderField>,
    values: Vec<ValueMatcher>,
    not_values: Vec<ValueMatcher>,
    field: Box<str>,
}

/// What an attribute is for one request.
#[derive(Debug)]
enum Value<'a> {
    /// There is none: nothing matches it.
    Absent,
    Text(Cow<'a, str>),
    Address(IpAddr),
    Port(u16),
}

impl Clause {
    pub(super) fn compile(message: &v1::Clause) -> Result<Self, String> {
        let values = |messages: &[v1::ValueMatch]| {
            messages.iter().map(ValueMatcher::compile).collect::<Result<Option<Vec<_>>, _>>()
        };
        let attribute = Attribute::try_from(message.attribute).unwrap_or(Attribute::Unsupported);
        let (attribute, values, not_values) =
            match (values(&message.values)?, values(&message.not_values)?) {
                (Some(values), Some(not_values)) => (attribute, values, not_values),
                _ => (Attribute::Unsupported, Vec::new(), Vec::new()),
            };
        let header = (attribute == Attribute::Header)
            .then(|| HeaderField::compile(&message.key))
            .transpose()?;
        Ok(Self {
            attribute,
            header,
            key: message.key.as_str().into(),
            values,
            not_values,
            field: message.field.as_str().into(),
        })
    }

    pub(super) fn matches(&self, action: Action, facts: &Facts<'_>) -> bool {
        if self.attribute == Attribute::Unsupported {
            return action.doubts_match();
        }
        if facts.request.is_none() && self.is_http_only() {
            return action != Action::Allow;
        }
        if let (Some(header), Some(request)) = (&self.header, facts.request) {
            let any = |matchers: &[ValueMatcher]| {
                let wanted = |value: &str| matchers.iter().any(|it| it.matches_text(value));
                header.any(request, wanted).unwrap_or(false)
            };
            return (self.values.is_empty() || any(&self.values)) && !any(&self.not_values);
        }
        let value = self.value(facts);
        let any = |matchers: &[ValueMatcher]| matchers.iter().any(|it| value.matches(it));
        (self.values.is_empty() || any(&self.values)) && !any(&self.not_values)
    }

    /// Whether it asks for something that opaque bytes do not have.
    pub(super) fn is_http_only(&self) -> bool {
        self.attribute.is_http_only()
    }

    /// The field as the user knows it.
    pub(super) fn describe(&self) -> String {
        match (&*self.field, &*self.key) {
            ("", "") => format!("{:?}", self.attribute),
            ("", key) => key.to_owned(),
            (field, _) => field.to_owned(),
        }
    }

    fn value<'a>(&self, facts: &Facts<'a>) -> Value<'a> {
        let Facts { peer, request } = *facts;
        let identity = peer.identity.map(|id| id.strip_prefix("spiffe://").unwrap_or(id));
        let text = |text: Option<&'a str>| text.map_or(Value::Absent, |it| Value::Text(it.into()));
        match self.attribute {
            // Headers have several values and are asked one by one.
            Attribute::Unsupported | Attribute::Header => Value::Absent,
            Attribute::Principal => text(identity),
            Attribute::Namespace => text(identity.and_then(namespace)),
            Attribute::ServiceAccount => identity
                .and_then(service_account)
                .map_or(Value::Absent, |it| Value::Text(Cow::Owned(it))),
            Attribute::TrustDomain => text(identity.and_then(|it| it.split('/').next())),
            Attribute::SourceIp => Value::Address(peer.source),
            Attribute::RemoteIp => Value::Address(peer.remote),
            Attribute::DestinationIp => Value::Address(peer.destination.ip()),
            Attribute::DestinationPort => Value::Port(peer.destination.port()),
            Attribute::Sni => text(peer.sni),
            Attribute::Host => text(request.map(|request| request.authority)),
            Attribute::Method => text(request.map(|request| request.method)),
            Attribute::Path => text(request.map(Request::path)),
            Attribute::QueryParameter => {
                text(request.and_then(|request| query_parameter(request, &self.key)))
            }
            Attribute::Cookie => text(request.and_then(|request| cookie(request, &self.key))),
        }
    }
}

impl Value<'_> {
    fn matches(&self, matcher: &ValueMatcher) -> bool {
        match self {
            Self::Absent => false,
            Self::Text(text) => matcher.matches_text(text),
            Self::Address(address) => matcher.matches_address(*address),
            Self::Port(port) => matcher.matches_port(*port),
        }
    }
}

/// The first value of a parameter of the query, as it was sent.
fn query_parameter<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let (_, query) = request.path_and_query.split_once('?')?;
    let query = query.split('#').next().unwrap_or_default();
    query.split('&').find_map(|parameter| {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (key == name).then_some(value)
    })
}

/// The first value of a cookie that is not empty.
fn cookie<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    let lines = request.headers.get_all(http::header::COOKIE).iter();
    let cookies = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    cookies
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(key, value)| (key == name && !value.is_empty()).then_some(value))
}

/// The namespace in `<trust domain>/ns/<namespace>/sa/<account>`.
fn namespace(identity: &str) -> Option<&str> {
    let (_, rest) = identity.split_once("/ns/")?;
    rest.split_once('/').map(|(namespace, _)| namespace)
}

/// `<namespace>/<account>`. Segments around `sa/<account>` are tolerated, as Istio's are.
fn service_account(identity: &str) -> Option<String> {
    let (_, rest) = identity.split_once("/ns/")?;
    let (namespace, rest) = rest.split_once('/')?;
    let mut segments = rest.split('/').skip_while(|segment| *segment != "sa");
    let account = segments.nth(1)?;
    Some(format!("{namespace}/{account}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_stand_behind_the_namespace() {
        for (identity, expected) in [
            ("td/ns/shop/sa/web", Some("shop/web")),
            ("td/ns/sa/sa/web", Some("sa/web")),
            ("td/ns/shop/x/sa/web/y", Some("shop/web")),
            ("td/ns/shop", None),
            ("td/ns/shop/sa", None),
            ("web", None),
        ] {
            assert_eq!(service_account(identity).as_deref(), expected, "{identity}");
        }
    }
}
