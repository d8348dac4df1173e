//! Rules for HTTP.

use lateen_api::duration::Duration;
use lateen_api::networking::{
    self, HttpBodySpecifier, HttpDirectResponse, HttpRedirect, HttpRewrite, HttpRoute,
    RedirectPort, RedirectPortSelection,
};
use lateen_mesh::v1::{self, http_rule::Action, redirect::Port};

use super::{Lowering, own, retries, weigh};
use crate::lower::millis;
use crate::node::{HttpAction, HttpRule};

/// The names under which a header operation means the authority.
const AUTHORITY: [&str; 2] = ["host", ":authority"];

impl Lowering<'_> {
    /// None for a rule that only delegates, which is not honoured yet: requests that it would take find
    /// no route instead of a wrong one.
    pub(super) fn http_rule(&mut self, at: usize, rule: &HttpRoute) -> Option<HttpRule> {
        let field = format!("spec.http[{at}]");
        if rule.delegate.is_some() {
            return None;
        }
        let (answer, action) = match (&rule.redirect, &rule.direct_response) {
            (Some(redirect), _) => {
                (Some(Action::Redirect(to_redirect(redirect))), HttpAction::Answer)
            }
            (None, Some(response)) => {
                (Some(Action::DirectResponse(to_response(response))), HttpAction::Answer)
            }
            (None, None) => (None, HttpAction::Forward(self.backends(rule, &field))),
        };
        let (mut request_headers, response_headers) = operations(rule.headers.as_ref());
        let authority = request_headers.as_mut().and_then(take_authority);
        let matches = rule.r#match.iter().enumerate();
        let matches = matches.map(|(at, each)| self.http_match(&field, at, each)).collect();
        Some(HttpRule {
            rule: v1::HttpRule {
                name: rule.name.clone(),
                origin: Some(own(&field)),
                matches: Vec::new(),
                action: answer,
                rewrite: to_rewrite(rule.rewrite.as_ref(), authority),
                request_headers: request_headers.filter(is_some_operation),
                response_headers: response_headers.filter(is_some_operation),
                timeout_ms: millis(rule.timeout.filter(|timeout| *timeout > Duration::ZERO)),
                retries: None,
            },
            matches,
            action,
            retries: retries(rule.retries.as_ref(), Some(&own(&format!("{field}.retries")))),
        })
    }

    fn backends(&self, rule: &HttpRoute, field: &str) -> Vec<crate::node::Backend> {
        let backends = rule.route.iter().enumerate().map(|(at, route)| {
            let field = format!("{field}.route[{at}]");
            let mut backend = self.backend(route.destination.as_ref(), &field, route.weight);
            let (request, response) = operations(route.headers.as_ref());
            backend.backend.request_headers = request.filter(is_some_operation);
            backend.backend.response_headers = response.filter(is_some_operation);
            backend
        });
        weigh(backends.collect())
    }
}

fn operations(
    headers: Option<&networking::Headers>,
) -> (Option<v1::HeaderOperations>, Option<v1::HeaderOperations>) {
    let Some(headers) = headers else { return (None, None) };
    (headers.request.as_ref().map(to_operations), headers.response.as_ref().map(to_operations))
}

fn to_operations(operations: &networking::HeaderOperations) -> v1::HeaderOperations {
    let header = |(name, value): (&String, &String)| v1::Header {
        name: name.to_ascii_lowercase(),
        value: value.clone(),
    };
    v1::HeaderOperations {
        set: operations.set.iter().map(header).collect(),
        add: operations.add.iter().map(header).collect(),
        remove: operations.remove.iter().map(|name| name.to_ascii_lowercase()).collect(),
    }
}

fn is_some_operation(operations: &v1::HeaderOperations) -> bool {
    *operations != v1::HeaderOperations::default()
}

/// Setting `Host` is a rewrite of the authority and no matter of headers.
fn take_authority(operations: &mut v1::HeaderOperations) -> Option<String> {
    let at = operations.set.iter().position(|header| AUTHORITY.contains(&header.name.as_str()))?;
    Some(operations.set.remove(at).value)
}

/// `rewrite.authority` goes before what a header operation sets.
fn to_rewrite(rewrite: Option<&HttpRewrite>, authority: Option<String>) -> Option<v1::Rewrite> {
    let mut out = v1::Rewrite::default();
    if let Some(rewrite) = rewrite {
        out.path.clone_from(&rewrite.uri);
        out.authority.clone_from(&rewrite.authority);
        if let Some(regex) = &rewrite.uri_regex_rewrite {
            out.regex.clone_from(&regex.r#match);
            out.substitution.clone_from(&regex.rewrite);
        }
    }
    if out.authority.is_empty() {
        out.authority = authority.unwrap_or_default();
    }
    (out != v1::Rewrite::default()).then_some(out)
}

fn to_redirect(redirect: &HttpRedirect) -> v1::Redirect {
    let port = redirect.port_choice.as_ref().map(|choice| match choice {
        RedirectPort::Port(number) => Port::PortNumber(*number),
        RedirectPort::DerivePort(RedirectPortSelection::FromProtocolDefault) => {
            Port::PortFromScheme(true)
        }
        RedirectPort::DerivePort(RedirectPortSelection::FromRequestPort) => {
            Port::PortFromRequest(true)
        }
    });
    v1::Redirect {
        status: if redirect.redirect_code == 0 { 301 } else { redirect.redirect_code },
        scheme: redirect.scheme.clone(),
        authority: redirect.authority.clone(),
        path: redirect.uri.clone(),
        path_prefix: redirect.prefix_rewrite.clone(),
        port,
    }
}

fn to_response(response: &HttpDirectResponse) -> v1::DirectResponse {
    let body = response.body.as_ref().and_then(|body| body.specifier.as_ref());
    let body = match body {
        Some(HttpBodySpecifier::String(text)) => text.clone().into_bytes(),
        Some(HttpBodySpecifier::Bytes(bytes)) => bytes.0.clone(),
        None => Vec::new(),
    };
    v1::DirectResponse { status: response.status, body: body.into() }
}
