//! One HTTP rule: its matches and what it does.

use bytes::Bytes;
use lateen_mesh::v1;

use super::backend::{BackendRefs, Backends};
use super::matcher::{HeaderMatcher, QueryMatcher, StringMatcher};
use super::path_matcher::PathMatcher;
use super::redirect::Redirect;
use super::rewrite::PathRewrite;
use super::{HeaderOperations, Request};
use crate::joined;
use crate::origin::{Objects, Origin};
use crate::retry::RetryPolicy;

/// A compiled `HttpRule`.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    pub(crate) origin: Origin,
    pub(crate) matches: Vec<Match>,
    pub(crate) action: Action,
    pub(crate) rewrite: Option<PathRewrite>,
    /// The rewrite's authority.
    pub(crate) rewrite_authority: Option<Box<str>>,
    /// The authority that the rule's header operations set.
    pub(crate) header_authority: Option<Box<str>>,
    pub(crate) request_headers: HeaderOperations,
    pub(crate) response_headers: HeaderOperations,
    /// Milliseconds; 0: none.
    pub(crate) timeout_ms: u64,
    pub(crate) retries: Option<RetryPolicy>,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum Action {
    Forward(Box<Backends>),
    Redirect(Redirect),
    Respond { status: u16, body: Bytes },
}

/// A compiled `HttpMatch`.
#[derive(Debug, Default)]
pub(crate) struct Match {
    /// The route's name in logs: `<rule>.<match>`, or that of the rule.
    pub(crate) route_name: Box<str>,
    pub(crate) origin: Origin,
    pub(crate) path: Option<PathMatcher>,
    method: Option<StringMatcher>,
    authority: Option<StringMatcher>,
    scheme: Option<StringMatcher>,
    headers: Vec<HeaderMatcher>,
    query: Vec<QueryMatcher>,
    ports: Vec<u16>,
}

impl Rule {
    pub(crate) fn compile(message: &v1::HttpRule, objects: &Objects) -> Result<Self, String> {
        use v1::http_rule::Action as Message;
        let action = match &message.action {
            None => return Err(format!("rule {:?} does nothing", message.name)),
            Some(Message::Forward(forward)) => {
                Action::Forward(Box::new(Backends::compile(&forward.backends, objects)?))
            }
            Some(Message::Redirect(redirect)) => Action::Redirect(Redirect::compile(redirect)?),
            Some(Message::DirectResponse(response)) => Action::Respond {
                status: u16::try_from(response.status)
                    .ok()
                    .filter(|status| (200..600).contains(status))
                    .ok_or_else(|| format!("status {} of a response", response.status))?,
                body: Bytes::copy_from_slice(&response.body),
            },
        };
        let (request_headers, header_authority) =
            HeaderOperations::compile(message.request_headers.as_ref(), &joined::REQUEST)?;
        let (response_headers, _) =
            HeaderOperations::compile(message.response_headers.as_ref(), &joined::RESPONSE)?;
        let rewrite_authority = message.rewrite.as_ref().map(|rewrite| rewrite.authority.as_str());
        let matches = message
            .matches
            .iter()
            .map(|matched| Match::compile(matched, &message.name, objects))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: message.name.as_str().into(),
            origin: objects.resolve(message.origin.as_ref())?,
            matches,
            action,
            rewrite: PathRewrite::compile(message.rewrite.as_ref())?,
            rewrite_authority: rewrite_authority.filter(|it| !it.is_empty()).map(Box::from),
            header_authority,
            request_headers,
            response_headers,
            timeout_ms: message.timeout_ms,
            retries: message
                .retries
                .as_ref()
                .map(|retries| RetryPolicy::compile(retries, objects))
                .transpose()?,
        })
    }

    pub(crate) fn references(&self, refs: &mut BackendRefs) {
        if let Action::Forward(backends) = &self.action {
            backends.references(refs);
        }
    }
}

impl Match {
    fn compile(message: &v1::HttpMatch, rule: &str, objects: &Objects) -> Result<Self, String> {
        let string = |message: &Option<v1::StringMatch>| {
            message.as_ref().map(StringMatcher::compile).transpose()
        };
        let ports = message
            .ports
            .iter()
            .map(|port| u16::try_from(*port).map_err(|_| format!("port {port} of a match")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            route_name: match message.name.as_str() {
                "" => rule.into(),
                name => format!("{rule}.{name}").into(),
            },
            origin: objects.resolve(message.origin.as_ref())?,
            path: message.path.as_ref().map_or(Ok(None), PathMatcher::compile)?,
            method: string(&message.method)?,
            authority: string(&message.authority)?,
            scheme: string(&message.scheme)?,
            headers: message
                .headers
                .iter()
                .map(HeaderMatcher::compile)
                .collect::<Result<_, _>>()?,
            query: message.query.iter().map(QueryMatcher::compile).collect::<Result<_, _>>()?,
            ports,
        })
    }

    /// Whether all of it matches a request that came in on this port.
    pub(crate) fn matches(&self, request: &Request<'_>, path: &str, port: u16) -> bool {
        let fits = |matcher: &Option<StringMatcher>, value| {
            matcher.as_ref().is_none_or(|matcher| matcher.matches(value))
        };
        self.path.as_ref().is_none_or(|matcher| matcher.matches(path))
            && (self.ports.is_empty() || self.ports.contains(&port))
            && fits(&self.method, request.method)
            && fits(&self.scheme, request.scheme)
            && fits(&self.authority, request.authority)
            && self.headers.iter().all(|header| header.matches(request))
            && self.query.iter().all(|query| query.matches(request))
    }

    /// The first part that does not match, in words; `None`: all of it matches.
    pub(crate) fn mismatch(&self, request: &Request<'_>, path: &str, port: u16) -> Option<String> {
        if let Some(matcher) = self.path.as_ref().filter(|matcher| !matcher.matches(path)) {
            return Some(format!("path {path:?} is not {}", matcher.describe()));
        }
        if !self.ports.is_empty() && !self.ports.contains(&port) {
            return Some(format!("port {port} is not among {:?}", self.ports));
        }
        for (name, matcher, value) in [
            ("method", &self.method, request.method),
            ("scheme", &self.scheme, request.scheme),
            ("authority", &self.authority, request.authority),
        ] {
            if let Some(matcher) = matcher.as_ref().filter(|matcher| !matcher.matches(value)) {
                return Some(format!("{name} {value:?} is not {}", matcher.describe()));
            }
        }
        let header = self.headers.iter().find(|header| !header.matches(request));
        let query = self.query.iter().find(|query| !query.matches(request));
        header.map(HeaderMatcher::describe).or_else(|| query.map(QueryMatcher::describe))
    }
}

/// Reads a `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn grpc_timeout(value: &str) -> Option<std::time::Duration> {
    use std::time::Duration;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}
