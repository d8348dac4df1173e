//! One rule, as one route for each of its matches.

use envoy_types::pb::envoy::config::core::v3::{DataSource, data_source};
use envoy_types::pb::envoy::config::route::v3::{DirectResponseAction, Route, route};
use lateen_mesh::v1::{self, http_rule::Action};

use super::action::{self, Forwarding};
use super::{At, headers, matching, metadata, redirect, respond};
use crate::lowering::{Context, Output, object_of};

/// The routes of a rule on this port, in the order of its matches: the first that matches decides.
pub(super) fn lower(
    context: &Context<'_>,
    at: At<'_>,
    rule: &v1::HttpRule,
    routes: &mut Vec<Route>,
    out: &mut Output,
) {
    let objects = context.model.objects(at.name);
    note_commands(objects, rule, out);
    if rule.matches.is_empty() {
        routes.push(route(context, at, rule, None, out));
        return;
    }
    for matched in &rule.matches {
        if !matched.ports.is_empty() && !matched.ports.contains(&at.port.into()) {
            continue;
        }
        if let Some(parameter) = matched.query.iter().find(|parameter| parameter.invert) {
            let why = format!(
                "Envoy cannot ask for query parameter {} not to be as written: the match is left out",
                parameter.name
            );
            out.problem(objects, matched.origin.as_ref(), why);
            continue;
        }
        routes.push(route(context, at, rule, Some(matched), out));
    }
}

/// As in the native proxy, values of headers are what is written.
fn note_commands(objects: &[v1::ObjectRef], rule: &v1::HttpRule, out: &mut Output) {
    let backends = match &rule.action {
        Some(Action::Forward(forward)) => forward.backends.as_slice(),
        Some(Action::Redirect(_) | Action::DirectResponse(_)) | None => &[],
    };
    let of_backends = backends.iter().flat_map(|it| [&it.request_headers, &it.response_headers]);
    for operations in [&rule.request_headers, &rule.response_headers].into_iter().chain(of_backends)
    {
        for header in headers::with_commands(operations.as_ref()) {
            let why = format!("commands are not carried out: {header} is sent as it is written");
            out.problem(objects, rule.origin.as_ref(), why);
        }
    }
}

fn route(
    context: &Context<'_>,
    at: At<'_>,
    rule: &v1::HttpRule,
    matched: Option<&v1::HttpMatch>,
    out: &mut Output,
) -> Route {
    let objects = context.model.objects(at.name);
    let path = matched.and_then(|matched| matched.path.as_ref());
    let mut made = Route {
        name: name(rule, matched),
        r#match: Some(matching::route_match(matched)),
        metadata: metadata(rule.origin.as_ref().and_then(|origin| object_of(objects, origin))),
        ..Route::default()
    };
    made.action = Some(match &rule.action {
        None => respond(503),
        Some(Action::Redirect(message)) => {
            route::Action::Redirect(redirect::redirect(message, path, at.port, at.scheme()))
        }
        Some(Action::DirectResponse(response)) => {
            route::Action::DirectResponse(DirectResponseAction {
                status: response.status,
                body: (!response.body.is_empty()).then(|| DataSource {
                    specifier: Some(data_source::Specifier::InlineBytes(response.body.to_vec())),
                    ..DataSource::default()
                }),
                ..DirectResponseAction::default()
            })
        }
        Some(Action::Forward(forward)) => {
            match action::forward(context, at, rule, path, &forward.backends, out) {
                Forwarding::To(action, metadata_headers) => {
                    headers::for_request(&mut made, rule.request_headers.as_ref());
                    made.request_headers_to_add.extend(metadata_headers);
                    route::Action::Route(*action)
                }
                Forwarding::Respond(status) => respond(status),
            }
        }
    });
    headers::for_response(&mut made, rule.response_headers.as_ref());
    made
}

/// `<rule>.<match>`.
fn name(rule: &v1::HttpRule, matched: Option<&v1::HttpMatch>) -> String {
    match matched.map(|matched| matched.name.as_str()) {
        None | Some("") => rule.name.clone(),
        Some(matched) => format!("{}.{matched}", rule.name),
    }
}
