//! Sending requests to backends.

use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier, HostRewriteSpecifier, MaxStreamDuration,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{ClusterWeight, cluster_weight};
use envoy_types::pb::envoy::config::route::v3::{RouteAction, WeightedCluster};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};
use envoy_types::pb::google::protobuf::Duration;
use lateen_mesh::v1::{self, Discovery, path_match};

use super::{At, headers, retry};
use crate::lowering::{Context, Output};
use crate::message::{millis, uint32};
use crate::names::Carried;

/// What becomes of a rule that forwards.
pub(super) enum Forwarding {
    /// It forwards; the headers are added on the rule's level.
    To(Box<RouteAction>, Vec<HeaderValueOption>),
    /// It is answered with this status.
    Respond(u32),
}

/// An action without limits of time, to one cluster.
pub(super) fn to_cluster(name: &str) -> RouteAction {
    RouteAction {
        timeout: Some(Duration::default()),
        cluster_specifier: Some(ClusterSpecifier::Cluster(name.to_owned())),
        ..RouteAction::default()
    }
}

/// The action of a rule with these backends.
pub(super) fn forward(
    context: &Context<'_>,
    at: At<'_>,
    rule: &v1::HttpRule,
    path: Option<&v1::PathMatch>,
    backends: &[v1::Backend],
    out: &mut Output,
) -> Forwarding {
    let drawn: Vec<&v1::Backend> = match backends {
        // A single backend takes everything, whatever its weight.
        [only] => vec![only],
        several => several.iter().filter(|backend| backend.weight > 0).collect(),
    };
    if drawn.is_empty() {
        return Forwarding::Respond(503);
    }
    let targets: Vec<Target> = drawn.iter().map(|it| Target::new(context, at, it)).collect();
    if let Some(status) = answer_of_all(&targets) {
        return Forwarding::Respond(status);
    }
    note_mixed(context, at, rule, &targets, out);
    let plain = drawn.len() == 1
        && !headers::changes_headers(drawn[0].request_headers.as_ref())
        && !headers::changes_headers(drawn[0].response_headers.as_ref());
    let in_mesh = context.placement.agent && targets.iter().all(|target| target.in_mesh);
    let metadata = if in_mesh { headers::peer_metadata() } else { Vec::new() };
    let specifier = if plain {
        ClusterSpecifier::Cluster(targets[0].cluster.clone())
    } else {
        let weights = drawn.iter().zip(&targets).map(|(backend, target)| {
            let metadata = context.placement.agent && target.in_mesh && !in_mesh;
            weighted(backend, target, drawn.len() == 1, authority(rule).is_none(), metadata)
        });
        ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: weights.collect(),
            ..WeightedCluster::default()
        })
    };
    let mut action = RouteAction {
        cluster_specifier: Some(specifier),
        cluster_not_found_response_code: not_found(drawn[0]).into(),
        timeout: Some(millis(rule.timeout_ms)),
        max_stream_duration: grpc_limit(rule.timeout_ms),
        retry_policy: rule.retries.as_ref().and_then(retry::policy),
        ..to_cluster("")
    };
    let own = || (drawn.len() == 1).then(|| headers::authority(drawn[0].request_headers.as_ref()));
    action.host_rewrite_specifier =
        authority(rule).or_else(|| own().flatten()).map(HostRewriteSpecifier::HostRewriteLiteral);
    rewrite(&mut action, rule.rewrite.as_ref(), path);
    Forwarding::To(Box::new(action), metadata)
}

/// Where a backend leads.
struct Target {
    cluster: String,
    in_mesh: bool,
    /// Nothing is sent there; the proxy answers with this status.
    answered: Option<u32>,
}

impl Target {
    fn new(context: &Context<'_>, at: At<'_>, backend: &v1::Backend) -> Self {
        let destination = context.destination(backend, at.port);
        let passthrough = destination.is_some_and(|it| it.discovery() == Discovery::Passthrough);
        Self {
            cluster: context.cluster(backend, at.port, Carried::Http),
            in_mesh: backend.invalid.is_empty() && destination.is_some_and(|it| !it.external),
            answered: (passthrough
                && context.passthrough_is_a_loop()
                && backend.invalid.is_empty())
            .then_some(502),
        }
    }
}

/// The status that every target is answered with.
fn answer_of_all(targets: &[Target]) -> Option<u32> {
    let first = targets.first()?.answered?;
    targets.iter().all(|target| target.answered == Some(first)).then_some(first)
}

/// Envoy can answer for all backends of a rule, or for none.
fn note_mixed(
    context: &Context<'_>,
    at: At<'_>,
    rule: &v1::HttpRule,
    targets: &[Target],
    out: &mut Output,
) {
    if targets.iter().any(|target| target.answered.is_some()) {
        let why = "one of the backends leads back to the proxy itself: Envoy sends its share there";
        out.problem(context.model.objects(at.name), rule.origin.as_ref(), why);
    }
}

fn weighted(
    backend: &v1::Backend,
    target: &Target,
    only: bool,
    own_authority: bool,
    peer_metadata: bool,
) -> ClusterWeight {
    let mut cluster = ClusterWeight {
        name: target.cluster.clone(),
        weight: Some(uint32(if only { 1 } else { backend.weight })),
        ..ClusterWeight::default()
    };
    headers::for_backend(&mut cluster, backend);
    if peer_metadata {
        cluster.request_headers_to_add.extend(headers::peer_metadata());
    }
    if own_authority && !only {
        cluster.host_rewrite_specifier = headers::authority(backend.request_headers.as_ref())
            .map(cluster_weight::HostRewriteSpecifier::HostRewriteLiteral);
    }
    cluster
}

/// A backend that cannot be reached names a cluster that is not there.
fn not_found(backend: &v1::Backend) -> ClusterNotFoundResponseCode {
    match (backend.invalid.is_empty(), backend.invalid_status) {
        (false, 500) => ClusterNotFoundResponseCode::InternalServerError,
        (false, 404) => ClusterNotFoundResponseCode::NotFound,
        _ => ClusterNotFoundResponseCode::ServiceUnavailable,
    }
}

/// The authority of a rule's rewrite, or that its header operations set.
fn authority(rule: &v1::HttpRule) -> Option<String> {
    let rewrite = rule.rewrite.as_ref().map(|rewrite| &rewrite.authority);
    let rewrite = rewrite.filter(|authority| !authority.is_empty()).cloned();
    rewrite.or_else(|| headers::authority(rule.request_headers.as_ref()))
}

/// Without a timeout of the rule, a caller's `grpc-timeout` counts. With one Envoy can have the one or
/// the other: as soon as a route has a `max_stream_duration` its `timeout` is not looked at any more
/// (and `max_grpc_timeout`, which would have both, is deprecated).
fn grpc_limit(timeout_ms: u64) -> Option<MaxStreamDuration> {
    (timeout_ms == 0).then(|| MaxStreamDuration {
        grpc_timeout_header_max: Some(millis(0)),
        ..MaxStreamDuration::default()
    })
}

fn rewrite(action: &mut RouteAction, rewrite: Option<&v1::Rewrite>, path: Option<&v1::PathMatch>) {
    let Some(rewrite) = rewrite else { return };
    if !rewrite.regex.is_empty() {
        action.regex_rewrite = Some(substitute(&rewrite.regex, &rewrite.substitution));
        return;
    }
    let segments = match path.and_then(|path| path.kind.as_ref()) {
        Some(path_match::Kind::SegmentPrefix(text)) => Some(text.trim_end_matches('/')),
        _ => None,
    };
    if rewrite.path.is_empty() {
        return;
    }
    // A target begins with a slash (RFC 9112, section 3.2.1).
    let slash = if rewrite.path.starts_with('/') { "" } else { "/" };
    let path_to_send = format!("{slash}{}", rewrite.path);
    match (segments, path_to_send.trim_end_matches('/')) {
        // No slash may be doubled or lost.
        (Some(prefix), "") if !prefix.is_empty() => {
            let fold = if path.is_some_and(|path| path.ignore_case) { "(?i)" } else { "" };
            let pattern = format!("{fold}^{}(/?)(.*)", quote(prefix));
            action.regex_rewrite = Some(substitute(&pattern, r"/\2"));
        }
        (Some(prefix), trimmed) if !prefix.is_empty() => action.prefix_rewrite = trimmed.to_owned(),
        _ => action.prefix_rewrite = path_to_send,
    }
}

fn substitute(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(RegexMatcher { regex: pattern.to_owned(), ..RegexMatcher::default() }),
        substitution: substitution.to_owned(),
    }
}

/// A text as the regular expression that matches just it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii() && !letter.is_ascii_alphanumeric() && letter != '_' && letter != '/' {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}
