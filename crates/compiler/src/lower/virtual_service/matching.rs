//! Conditions on HTTP requests.

use lateen_api::networking::{HttpMatchRequest, StringMatch, StringMatchType};
use lateen_mesh::v1::{self, path_match, string_match};

use super::{Lowering, own};
use crate::lower::port_number;
use crate::node::HttpMatch;

impl Lowering<'_> {
    pub(super) fn http_match(&self, rule: &str, at: usize, each: &HttpMatchRequest) -> HttpMatch {
        let port = port_number(each.port).unwrap_or_default();
        let mut headers: Vec<v1::NamedMatch> = Vec::new();
        for (map, invert) in [(&each.headers, false), (&each.without_headers, true)] {
            headers.extend(map.iter().map(|(name, value)| v1::NamedMatch {
                name: name.to_ascii_lowercase(),
                value: Some(to_match(value)),
                invert,
            }));
        }
        let query = each.query_params.iter().map(|(name, value)| v1::NamedMatch {
            name: name.clone(),
            value: Some(to_match(value)),
            invert: false,
        });
        let matching = v1::HttpMatch {
            name: each.name.clone(),
            origin: Some(own(&format!("{rule}.match[{at}]"))),
            path: each.uri.as_ref().and_then(|uri| to_path(uri, each.ignore_uri_case)),
            method: each.method.as_ref().map(to_match),
            authority: each.authority.as_ref().map(to_match),
            scheme: each.scheme.as_ref().map(to_match),
            headers,
            query: query.collect(),
            ports: (port != 0).then_some(u32::from(port)).into_iter().collect(),
        };
        HttpMatch {
            binding: self.binding(&each.gateways, &each.source_labels, &each.source_namespace),
            port,
            catch_all: is_catch_all(&matching),
            matching,
        }
    }
}

/// Whether every request on the port matches, as Istio sees it.
fn is_catch_all(matching: &v1::HttpMatch) -> bool {
    let any_path = match matching.path.as_ref().and_then(|path| path.kind.as_ref()) {
        None => true,
        Some(path_match::Kind::Prefix(prefix)) => prefix == "/",
        Some(path_match::Kind::Regex(regex)) => regex == ".*",
        Some(_) => false,
    };
    any_path
        && matching.method.is_none()
        && matching.authority.is_none()
        && matching.scheme.is_none()
        && matching.headers.is_empty()
        && matching.query.is_empty()
}

fn to_match(value: &StringMatch) -> v1::StringMatch {
    let kind = match &value.match_type {
        _ if value.is_presence() => string_match::Kind::Present(true),
        Some(StringMatchType::Exact(text)) => string_match::Kind::Exact(text.clone()),
        Some(StringMatchType::Prefix(text)) => string_match::Kind::Prefix(text.clone()),
        Some(StringMatchType::Regex(text)) => string_match::Kind::Regex(text.clone()),
        None => string_match::Kind::Present(true),
    };
    v1::StringMatch { kind: Some(kind), ignore_case: false }
}

/// None where any path will do. Case counts in regular expressions, whatever `ignoreUriCase` says.
fn to_path(uri: &StringMatch, ignore_case: bool) -> Option<v1::PathMatch> {
    let (kind, ignore_case) = match &uri.match_type {
        _ if uri.is_presence() => return None,
        None => return None,
        Some(StringMatchType::Exact(text)) => (path_match::Kind::Exact(text.clone()), ignore_case),
        Some(StringMatchType::Prefix(text)) => {
            (path_match::Kind::Prefix(text.clone()), ignore_case)
        }
        Some(StringMatchType::Regex(text)) => (path_match::Kind::Regex(text.clone()), false),
    };
    Some(v1::PathMatch { kind: Some(kind), ignore_case })
}
