//! Matching text.

use envoy_types::pb::envoy::r#type::matcher::v3::{
    RegexMatcher, StringMatcher, string_matcher::MatchPattern,
};
use lateen_mesh::v1::{ValueMatch, value_match::Kind};

/// What a value is, for an attribute that is text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Matcher {
    /// Text that matches.
    Text(StringMatcher),
    /// No text at all.
    Nothing,
}

/// The matcher of an attribute's text; `None`: Envoy cannot be told.
pub(super) fn matcher(value: &ValueMatch) -> Option<Matcher> {
    let fold = value.ignore_case;
    let pattern = match value.kind.as_ref()? {
        Kind::Exact(text) => MatchPattern::Exact(text.clone()),
        // Envoy takes no empty prefixes and suffixes: they match whatever is there.
        Kind::Prefix(text) | Kind::Suffix(text) if text.is_empty() => safe_regex(".*"),
        Kind::Prefix(text) => MatchPattern::Prefix(text.clone()),
        Kind::Suffix(text) => MatchPattern::Suffix(text.clone()),
        Kind::Present(_) => safe_regex(".+"),
        Kind::Regex(regex) if fold => safe_regex(&format!("(?i){regex}")),
        Kind::Regex(regex) => safe_regex(regex),
        Kind::PathTemplate(template) => safe_regex(&path_template(template)?),
        Kind::Port(_) => return Some(Matcher::Nothing),
        Kind::Cidr(_) => return None,
    };
    let ignore_case = fold && !matches!(pattern, MatchPattern::SafeRegex(_));
    Some(Matcher::Text(StringMatcher { ignore_case, match_pattern: Some(pattern) }))
}

/// A matcher by an expression over the whole text.
pub(super) fn regex(regex: &str) -> StringMatcher {
    StringMatcher { ignore_case: false, match_pattern: Some(safe_regex(regex)) }
}

fn safe_regex(regex: &str) -> MatchPattern {
    MatchPattern::SafeRegex(RegexMatcher { regex: regex.to_owned(), ..RegexMatcher::default() })
}

/// The text as an expression that matches nothing else.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// What may stand in a segment of a path, for Envoy's URI templates: the characters of RFC 3986's
/// `pchar`.
const SEGMENT: &str = "a-zA-Z0-9\\-._~%!$&'()*+,;:@=";

/// A URI template (`{*}` is one segment, `{**}` any rest) as the expression that Envoy's matcher of
/// templates makes of it; `None` for any other use of braces.
fn path_template(template: &str) -> Option<String> {
    let mut expression = String::new();
    let mut rest = template;
    while let Some((literal, operator)) = rest.split_once('{') {
        expression.push_str(&escape(literal));
        let (name, after) = operator.split_once('}')?;
        expression.push_str(&match name {
            "*" => format!("[{SEGMENT}]+"),
            "**" => format!("[{SEGMENT}/]*"),
            _ => return None,
        });
        rest = after;
    }
    expression.push_str(&escape(rest));
    Some(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(kind: Kind, ignore_case: bool) -> ValueMatch {
        ValueMatch { kind: Some(kind), ignore_case }
    }

    #[test]
    fn values_become_matchers_that_envoy_takes() {
        use MatchPattern::{Exact, Prefix, Suffix};
        let re = safe_regex;
        for (kind, fold, expected) in [
            (Kind::Exact("a".into()), true, (true, Exact("a".into()))),
            (Kind::Prefix("a".into()), false, (false, Prefix("a".into()))),
            (Kind::Prefix(String::new()), true, (false, re(".*"))),
            (Kind::Suffix("a".into()), true, (true, Suffix("a".into()))),
            (Kind::Present(true), true, (false, re(".+"))),
            (Kind::Regex("a.*".into()), true, (false, re("(?i)a.*"))),
        ] {
            let value = value(kind, fold);
            let (ignore_case, pattern) = expected;
            let expected = StringMatcher { ignore_case, match_pattern: Some(pattern) };
            assert_eq!(matcher(&value), Some(Matcher::Text(expected)), "{value:?}");
        }
        assert_eq!(matcher(&value(Kind::Port(1), false)), Some(Matcher::Nothing));
        assert_eq!(matcher(&value(Kind::Cidr(vec![1, 2, 3, 4, 32].into()), false)), None);
        assert_eq!(matcher(&ValueMatch::default()), None);
    }

    #[test]
    fn templates_are_expressions() {
        let segment = format!("[{SEGMENT}]+");
        assert_eq!(path_template("/a.b/{*}/c"), Some(format!("/a\\.b/{segment}/c")));
        assert_eq!(path_template("/a/{name}"), None);
        assert_eq!(path_template("/a/{*"), None);
    }
}
