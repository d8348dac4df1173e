//! HTTP routes of a VirtualService.

use std::collections::BTreeMap;

use super::http_actions::{
    cors_policy, direct_response, fault, mirrors, redirect, retries, rewrite,
};
use super::shared::{destination, labels, string_match};
use super::virtual_service::{gateway_names, match_port, total_weight, weight};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::networking::{
    HeaderOperations, Headers, HttpMatchRequest, HttpRoute, StringMatch, StringMatchType,
};

/// One rule. A rule in a delegate may not delegate again.
pub(super) fn http_route(v: &mut Validator, route: &HttpRoute, in_delegate: bool) {
    check_action(v, route, in_delegate);
    v.each("match", &route.r#match, http_match);
    if let Some(it) = &route.redirect {
        v.field("redirect", |v| redirect(v, it, &route.r#match));
    }
    if let Some(it) = &route.direct_response {
        v.field("directResponse", |v| direct_response(v, it));
    }
    if let Some(it) = &route.rewrite {
        v.field("rewrite", |v| rewrite(v, it));
    }
    if let Some(it) = &route.retries {
        v.field("retries", |v| retries(v, it));
    }
    if let Some(it) = &route.fault {
        v.field("fault", |v| fault(v, it));
    }
    if let Some(it) = &route.cors_policy {
        v.field("corsPolicy", |v| cors_policy(v, it));
    }
    if let Some(timeout) = route.timeout {
        v.check_field("timeout", syntax::timeout(timeout));
    }
    mirrors(v, route);
    headers(v, route.headers.as_ref());
    v.each("route", &route.route, |v, it| {
        destination(v, "destination", it.destination.as_ref());
        weight(v, it.weight);
        headers(v, it.headers.as_ref());
    });
    total_weight(v, route.route.iter().map(|it| it.weight));
}

/// A rule does one thing: route, redirect, answer or delegate.
fn check_action(v: &mut Validator, route: &HttpRoute, in_delegate: bool) {
    let actions = [
        ("route", !route.route.is_empty()),
        ("redirect", route.redirect.is_some()),
        ("directResponse", route.direct_response.is_some()),
        ("delegate", route.delegate.is_some()),
    ];
    let set: Vec<&str> = actions.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    match set.as_slice() {
        [] => {
            let message = "one of `route`, `redirect`, `directResponse` and `delegate` is needed";
            v.error(Code::MissingField, message);
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                v.conflict(other, format!("`{other}` excludes `{first}`"));
            }
        }
    }
    if in_delegate && route.delegate.is_some() {
        v.conflict("delegate", "a delegate cannot delegate again");
    }
    let answers = route.redirect.is_some() || route.direct_response.is_some();
    if answers && route.rewrite.is_some() {
        v.conflict("rewrite", "nothing is forwarded, so nothing can be rewritten");
    }
    if route.redirect.is_some() && route.fault.is_some() {
        v.conflict("fault", "`fault` excludes `redirect`");
    }
    if let Some(delegate) = &route.delegate
        && delegate.name.is_empty()
    {
        v.field("delegate", |v| v.missing("name", "the delegate needs a name"));
    }
}

fn http_match(v: &mut Validator, request: &HttpMatchRequest) {
    for (name, matcher) in [
        ("uri", &request.uri),
        ("scheme", &request.scheme),
        ("method", &request.method),
        ("authority", &request.authority),
    ] {
        if let Some(matcher) = matcher {
            v.field(name, |v| string_match(v, matcher));
        }
    }
    header_matches(v, "headers", &request.headers);
    header_matches(v, "withoutHeaders", &request.without_headers);
    v.each_key("queryParams", &request.query_params, |v, _, matcher| string_match(v, matcher));
    match_port(v, request.port);
    labels(v, "sourceLabels", &request.source_labels);
    gateway_names(v, &request.gateways);
    check_no_effect(v, request);
}

/// Says what Istio silently does not look at.
fn check_no_effect(v: &mut Validator, request: &HttpMatchRequest) {
    if !request.gateways.is_empty() {
        let message = "not looked at, because this condition names `gateways`";
        if !request.source_labels.is_empty() {
            v.field("sourceLabels", |v| v.warn(Code::NoEffect, message));
        }
        if !request.source_namespace.is_empty() {
            v.field("sourceNamespace", |v| v.warn(Code::NoEffect, message));
        }
    }
    let uri = request.uri.as_ref().and_then(|uri| uri.match_type.as_ref());
    if request.ignore_uri_case && matches!(uri, Some(StringMatchType::Regex(_))) {
        v.field("ignoreUriCase", |v| {
            v.warn(Code::NoEffect, "has no effect on a regular expression; write `(?i)` in it");
        });
    }
}

fn header_matches(v: &mut Validator, name: &str, headers: &BTreeMap<String, StringMatch>) {
    v.each_key(name, headers, |v, key, matcher| {
        let bare = key.strip_prefix(':').unwrap_or(key);
        if !key.starts_with("@request.auth.claims") {
            v.check(syntax::header_name(bare));
        }
        string_match(v, matcher);
    });
}

/// Changes of headers.
fn headers(v: &mut Validator, headers: Option<&Headers>) {
    let Some(headers) = headers else { return };
    v.field("headers", |v| {
        for (name, operations) in [("request", &headers.request), ("response", &headers.response)] {
            if let Some(operations) = operations {
                v.field(name, |v| header_operations(v, operations));
            }
        }
    });
}

fn header_operations(v: &mut Validator, operations: &HeaderOperations) {
    v.each_key("set", &operations.set, |v, name, value| {
        if !name.eq_ignore_ascii_case(":authority") {
            changeable_header(v, name);
        }
        v.check(syntax::header_value(value));
    });
    v.each_key("add", &operations.add, |v, name, value| {
        changeable_header(v, name);
        v.check(syntax::header_value(value));
    });
    v.each("remove", &operations.remove, |v, name| changeable_header(v, name));
}

/// Pseudo headers cannot be changed; the authority only by `set` or `rewrite`.
fn changeable_header(v: &mut Validator, name: &str) {
    if name.starts_with(':') {
        v.error(Code::BadValue, format!("the pseudo header `{name}` cannot be changed here"));
    } else {
        v.check(syntax::header_name(name));
    }
}
