//! Changing the path that is sent on.

use lateen_mesh::v1;
use regex::Regex;

use super::path_matcher::PathMatcher;

/// A compiled path rewrite.
#[derive(Debug)]
pub(crate) enum PathRewrite {
    /// What matched is replaced.
    Matched(Box<str>),
    /// Every match of the expression is replaced.
    Regex(Regex, Vec<Piece>),
}

/// A piece of a substitution.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// `\0` is the whole match.
    Group(usize),
}

impl PathRewrite {
    pub(crate) fn compile(message: Option<&v1::Rewrite>) -> Result<Option<Self>, String> {
        let Some(message) = message else { return Ok(None) };
        if !message.regex.is_empty() {
            let regex = Regex::new(&message.regex).map_err(|error| format!("rewrite: {error}"))?;
            let pieces = substitution(&message.substitution, regex.captures_len())?;
            return Ok(Some(Self::Regex(regex, pieces)));
        }
        let path = message.path.as_str();
        // A target begins with a slash (RFC 9112, section 3.2.1).
        let rooted = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
        Ok((!path.is_empty()).then_some(Self::Matched(rooted)))
    }

    /// The new path and query.
    pub(crate) fn apply(&self, path_and_query: &str, matcher: Option<&PathMatcher>) -> String {
        let path = crate::path::without_query(path_and_query);
        let query = &path_and_query[path.len()..];
        match self {
            Self::Matched(replacement) => replace_matched(path, query, matcher, replacement),
            Self::Regex(regex, pieces) => {
                let mut out = String::with_capacity(path_and_query.len());
                let mut end = 0;
                for captures in regex.captures_iter(path) {
                    let Some(all) = captures.get(0) else { continue };
                    out.push_str(&path[end..all.start()]);
                    end = all.end();
                    for piece in pieces {
                        match piece {
                            Piece::Text(text) => out.push_str(text),
                            Piece::Group(group) => {
                                out.push_str(captures.get(*group).map_or("", |m| m.as_str()));
                            }
                        }
                    }
                }
                out.push_str(&path[end..]);
                out.push_str(query);
                out
            }
        }
    }
}

/// Replaces the part of the path that matched and keeps the query. Without a path match the
/// prefix `/` matched. Matches of whole segments keep the path whole: no slash is doubled or lost.
pub(crate) fn replace_matched(
    path: &str,
    query: &str,
    matcher: Option<&PathMatcher>,
    replacement: &str,
) -> String {
    let matched = matcher.map_or(1, |matcher| matcher.matched_len(path));
    let rest = path.get(matched..).unwrap_or("");
    let by_segment =
        matches!(matcher, Some(PathMatcher::Segments(_) | PathMatcher::SegmentsIgnoreCase(_)));
    let start = if by_segment && !rest.is_empty() {
        replacement.trim_end_matches('/')
    } else {
        replacement
    };
    let mut out = String::with_capacity(start.len() + rest.len() + query.len() + 1);
    out.push_str(start);
    out.push_str(rest);
    if out.is_empty() {
        out.push('/');
    }
    out.push_str(query);
    out
}

/// Reads RE2's `\1`; `\\` is a backslash.
fn substitution(text: &str, groups: usize) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        if next != '\\' {
            literal.push(next);
            continue;
        }
        match rest.next() {
            Some('\\') => literal.push('\\'),
            Some(digit) if digit.is_ascii_digit() => {
                let group = digit.to_digit(10).map_or(0, |digit| digit as usize);
                if group >= groups {
                    return Err(format!("rewrite: \\{group} in {text:?} names no group"));
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Group(group));
            }
            _ => return Err(format!("rewrite: stray backslash in {text:?}")),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}
