//! What a route asks of a request.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use envoy_types::pb::google::protobuf::BoolValue;
use lateen_mesh::v1::{self, path_match, string_match};

/// A match without its ports, which say on which ports it stands at all; `None` matches everything.
pub(super) fn route_match(matched: Option<&v1::HttpMatch>) -> RouteMatch {
    let any = v1::HttpMatch::default();
    let matched = matched.unwrap_or(&any);
    let mut made = path(matched.path.as_ref());
    let own = [
        (":method", &matched.method),
        (":authority", &matched.authority),
        (":scheme", &matched.scheme),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| value.as_ref().map(|value| header(name, Some(value), false)));
    made.headers = own
        .chain(
            matched
                .headers
                .iter()
                .map(|named| header(field(&named.name), named.value.as_ref(), named.invert)),
        )
        .collect();
    made.query_parameters = matched.query.iter().map(query).collect();
    made
}

fn path(message: Option<&v1::PathMatch>) -> RouteMatch {
    let fold = message.is_some_and(|message| message.ignore_case);
    let prefix = |text: &str| {
        PathSpecifier::Prefix(if text.is_empty() { "/".to_owned() } else { text.to_owned() })
    };
    let specifier = match message.and_then(|message| message.kind.as_ref()) {
        None => prefix(""),
        Some(path_match::Kind::Exact(text)) => PathSpecifier::Path(text.clone()),
        Some(path_match::Kind::Prefix(text)) => prefix(text),
        Some(path_match::Kind::SegmentPrefix(text)) => match text.trim_end_matches('/') {
            "" => prefix(""),
            text => PathSpecifier::PathSeparatedPrefix(text.to_owned()),
        },
        Some(path_match::Kind::Regex(text)) => PathSpecifier::SafeRegex(regex(text, false)),
    };
    // Istio's ignoreUriCase has no effect on a regex.
    let fold = fold && !matches!(specifier, PathSpecifier::SafeRegex(_));
    RouteMatch {
        path_specifier: Some(specifier),
        case_sensitive: fold.then_some(BoolValue { value: false }),
        ..RouteMatch::default()
    }
}

/// The engine's names of a request's own parts are Envoy's, but for the authority.
fn field(name: &str) -> &str {
    if name == "host" { ":authority" } else { name }
}

/// What is missing matches nothing, and so matches inverted.
fn header(name: &str, value: Option<&v1::StringMatch>, invert: bool) -> HeaderMatcher {
    let kind = value.and_then(|value| value.kind.as_ref());
    let always = match kind {
        None | Some(string_match::Kind::Present(_)) => true,
        Some(
            string_match::Kind::Exact(_)
            | string_match::Kind::Prefix(_)
            | string_match::Kind::Suffix(_)
            | string_match::Kind::Regex(_),
        ) => false,
    };
    let specifier = match value {
        Some(value) if !always => HeaderMatchSpecifier::StringMatch(string(value)),
        _ => HeaderMatchSpecifier::PresentMatch(true),
    };
    HeaderMatcher {
        name: name.to_owned(),
        invert_match: invert,
        treat_missing_header_as_empty: invert && !always,
        header_match_specifier: Some(specifier),
    }
}

fn query(named: &v1::NamedMatch) -> QueryParameterMatcher {
    let specifier = match &named.value {
        Some(value) if !matches!(value.kind, None | Some(string_match::Kind::Present(_))) => {
            QueryParameterMatchSpecifier::StringMatch(string(value))
        }
        _ => QueryParameterMatchSpecifier::PresentMatch(true),
    };
    QueryParameterMatcher {
        name: named.name.clone(),
        query_parameter_match_specifier: Some(specifier),
    }
}

fn string(message: &v1::StringMatch) -> StringMatcher {
    use string_matcher::MatchPattern;
    let fold = message.ignore_case;
    let pattern = match &message.kind {
        Some(string_match::Kind::Exact(text)) => MatchPattern::Exact(text.clone()),
        // Envoy refuses an empty prefix or suffix; every value has them.
        Some(string_match::Kind::Prefix(text)) if !text.is_empty() => {
            MatchPattern::Prefix(text.clone())
        }
        Some(string_match::Kind::Suffix(text)) if !text.is_empty() => {
            MatchPattern::Suffix(text.clone())
        }
        Some(string_match::Kind::Regex(text)) => MatchPattern::SafeRegex(regex(text, fold)),
        _ => MatchPattern::SafeRegex(regex(".*", false)),
    };
    let fold = fold && !matches!(pattern, MatchPattern::SafeRegex(_));
    StringMatcher { match_pattern: Some(pattern), ignore_case: fold }
}

/// RE2, over the whole value.
fn regex(text: &str, fold: bool) -> RegexMatcher {
    let regex = if fold { format!("(?i:{text})") } else { text.to_owned() };
    RegexMatcher { regex, ..RegexMatcher::default() }
}
