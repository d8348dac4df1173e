//! Values of conditions as users write them.

use bytes::Bytes;
use lateen_mesh::address::encode_address;
use lateen_mesh::v1::{ValueMatch, value_match::Kind};

use crate::lower::block;

fn value(kind: Kind) -> Option<ValueMatch> {
    Some(ValueMatch { kind: Some(kind), ignore_case: false })
}

/// The value itself, whatever it contains.
pub(super) fn exact(text: &str) -> Option<ValueMatch> {
    value(Kind::Exact(text.to_owned()))
}

/// `*`, or text with `*` at one end.
pub(super) fn text(text: &str) -> Option<ValueMatch> {
    value(match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => Kind::Present(true),
        (Some(end), _) => Kind::Suffix(end.to_owned()),
        (None, Some(start)) => Kind::Prefix(start.to_owned()),
        (None, None) => Kind::Exact(text.to_owned()),
    })
}

/// Text with `*` anywhere.
pub(super) fn pattern(pattern: &str) -> Option<ValueMatch> {
    let inner = pattern.strip_prefix('*').unwrap_or(pattern);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    let both_ends = pattern.len() > 1 && pattern.starts_with('*') && pattern.ends_with('*');
    if !inner.contains('*') && !both_ends {
        return text(pattern);
    }
    let parts: Vec<String> = pattern.split('*').map(escape).collect();
    value(Kind::Regex(parts.join(".*")))
}

/// The text as a regular expression that matches nothing else.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// An authority: as text, in any case.
pub(super) fn host(host: &str) -> Option<ValueMatch> {
    Some(ValueMatch { ignore_case: true, ..text(host)? })
}

/// A path: a template where it has braces, else as text.
pub(super) fn path(path: &str) -> Option<ValueMatch> {
    if path.contains("{*}") || path.contains("{**}") {
        return value(Kind::PathTemplate(path.to_owned()));
    }
    text(path)
}

/// An address or a block, always with the length of its prefix.
pub(super) fn cidr(text: &str) -> Option<ValueMatch> {
    let block = block(text)?;
    let mut bytes = encode_address(block.address).to_vec();
    bytes.push(block.prefix);
    value(Kind::Cidr(Bytes::from(bytes)))
}

pub(super) fn port(text: &str) -> Option<ValueMatch> {
    let port: u16 = text.trim().parse().ok()?;
    value(Kind::Port(u32::from(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_read_where_they_may_stand() {
        for (written, expected) in [
            ("*", Kind::Present(true)),
            ("td/ns/*", Kind::Prefix("td/ns/".into())),
            ("*/sa/web", Kind::Suffix("/sa/web".into())),
            ("td/ns/a/sa/web", Kind::Exact("td/ns/a/sa/web".into())),
        ] {
            assert_eq!(text(written).unwrap().kind, Some(expected), "{written}");
        }
        for (written, expected) in [
            ("*", Kind::Present(true)),
            ("team-*", Kind::Prefix("team-".into())),
            ("a*z", Kind::Regex("a.*z".into())),
            ("*.b*", Kind::Regex(".*\\.b.*".into())),
        ] {
            assert_eq!(pattern(written).unwrap().kind, Some(expected), "{written}");
        }
        assert_eq!(
            path("/items/{*}/x").unwrap().kind,
            Some(Kind::PathTemplate("/items/{*}/x".into()))
        );
        assert_eq!(cidr("10.1.2.3").unwrap().kind, Some(Kind::Cidr(vec![10, 1, 2, 3, 32].into())));
        assert_eq!(cidr("10.1.2.3/99"), None);
        assert_eq!(port("http"), None);
    }
}
