//! Matching strings, paths, headers and query parameters.

use std::borrow::Cow;

use lateen_mesh::v1;
use regex::Regex;

use super::Request;

/// A compiled `StringMatch`.
#[derive(Debug)]
pub(crate) enum StringMatcher {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Regex(Regex),
    /// Any value.
    Present,
    /// As above, without regard to ASCII case.
    ExactIgnoreCase(Box<str>),
    PrefixIgnoreCase(Box<str>),
    SuffixIgnoreCase(Box<str>),
}

impl StringMatcher {
    pub(crate) fn compile(message: &v1::StringMatch) -> Result<Self, String> {
        use v1::string_match::Kind;
        let fold = message.ignore_case;
        Ok(match &message.kind {
            None | Some(Kind::Present(_)) => Self::Present,
            Some(Kind::Exact(text)) if fold => Self::ExactIgnoreCase(text.as_str().into()),
            Some(Kind::Exact(text)) => Self::Exact(text.as_str().into()),
            Some(Kind::Prefix(text)) if fold => Self::PrefixIgnoreCase(text.as_str().into()),
            Some(Kind::Prefix(text)) => Self::Prefix(text.as_str().into()),
            Some(Kind::Suffix(text)) if fold => Self::SuffixIgnoreCase(text.as_str().into()),
            Some(Kind::Suffix(text)) => Self::Suffix(text.as_str().into()),
            Some(Kind::Regex(text)) => Self::Regex(whole(text, fold)?),
        })
    }

    pub(crate) fn matches(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(&**text),
            Self::Suffix(text) => value.ends_with(&**text),
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
            Self::ExactIgnoreCase(text) => value.eq_ignore_ascii_case(text),
            Self::PrefixIgnoreCase(text) => starts_with_ignore_case(value, text),
            Self::SuffixIgnoreCase(text) => ends_with_ignore_case(value, text),
        }
    }

    /// In words, for explanations.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Exact(text) => format!("exactly {text:?}"),
            Self::Prefix(text) => format!("prefix {text:?}"),
            Self::Suffix(text) => format!("suffix {text:?}"),
            Self::Regex(regex) => format!("regex {:?}", regex.as_str()),
            Self::Present => "present".to_owned(),
            Self::ExactIgnoreCase(text) => format!("exactly {text:?} in any case"),
            Self::PrefixIgnoreCase(text) => format!("prefix {text:?} in any case"),
            Self::SuffixIgnoreCase(text) => format!("suffix {text:?} in any case"),
        }
    }
}

/// A regular expression that must match the whole value.
pub(crate) fn whole(text: &str, ignore_case: bool) -> Result<Regex, String> {
    let flags = if ignore_case { "is" } else { "s" };
    // RE2's `.` does not match a newline; no header or path contains one.
    Regex::new(&format!("(?{flags}:^(?:{text})$)")).map_err(|error| format!("regex: {error}"))
}

pub(crate) fn starts_with_ignore_case(value: &str, prefix: &str) -> bool {
    value
        .as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

pub(crate) fn ends_with_ignore_case(value: &str, suffix: &str) -> bool {
    value
        .len()
        .checked_sub(suffix.len())
        .and_then(|start| value.as_bytes().get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
}

/// A compiled `PathMatch`.
#[derive(Debug)]
pub(crate) enum PathMatcher {
    Exact(Box<str>),
    Prefix(Box<str>),
    /// Without its trailing slash.
    Segments(Box<str>),
    Regex(Regex),
    ExactIgnoreCase(Box<str>),
    PrefixIgnoreCase(Box<str>),
    SegmentsIgnoreCase(Box<str>),
}

impl PathMatcher {
    /// `None`: every path matches.
    pub(crate) fn compile(message: &v1::PathMatch) -> Result<Option<Self>, String> {
        use v1::path_match::Kind;
        let fold = message.ignore_case;
        Ok(Some(match &message.kind {
            None => return Ok(None),
            Some(Kind::Exact(text)) if fold => Self::ExactIgnoreCase(text.as_str().into()),
            Some(Kind::Exact(text)) => Self::Exact(text.as_str().into()),
            Some(Kind::Prefix(text)) if fold => Self::PrefixIgnoreCase(text.as_str().into()),
            Some(Kind::Prefix(text)) => Self::Prefix(text.as_str().into()),
            Some(Kind::SegmentPrefix(text)) if fold => {
                Self::SegmentsIgnoreCase(text.trim_end_matches('/').into())
            }
            Some(Kind::SegmentPrefix(text)) => Self::Segments(text.trim_end_matches('/').into()),
            // Istio's ignoreUriCase has no effect on a regex.
            Some(Kind::Regex(text)) => Self::Regex(whole(text, false)?),
        }))
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == &**text,
            Self::Prefix(text) => path.starts_with(&**text),
            Self::Segments(text) => path.strip_prefix(&**text).is_some_and(at_segment),
            Self::Regex(regex) => regex.is_match(path),
            Self::ExactIgnoreCase(text) => path.eq_ignore_ascii_case(text),
            Self::PrefixIgnoreCase(text) => starts_with_ignore_case(path, text),
            Self::SegmentsIgnoreCase(text) => {
                starts_with_ignore_case(path, text)
                    && path.get(text.len()..).is_some_and(at_segment)
            }
        }
    }

    /// Length of the part of a matching path that a rewrite replaces.
    pub(crate) fn matched_len(&self, path: &str) -> usize {
        match self {
            Self::Prefix(text)
            | Self::Segments(text)
            | Self::PrefixIgnoreCase(text)
            | Self::SegmentsIgnoreCase(text) => text.len(),
            Self::Exact(_) | Self::ExactIgnoreCase(_) | Self::Regex(_) => path.len(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Exact(text) => format!("exactly {text:?}"),
            Self::Prefix(text) => format!("prefix {text:?}"),
            Self::Segments(text) => format!("segments {text:?}"),
            Self::Regex(regex) => format!("regex {:?}", regex.as_str()),
            Self::ExactIgnoreCase(text) => format!("exactly {text:?} in any case"),
            Self::PrefixIgnoreCase(text) => format!("prefix {text:?} in any case"),
            Self::SegmentsIgnoreCase(text) => format!("segments {text:?} in any case"),
        }
    }
}

fn at_segment(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

/// A compiled `NamedMatch`.
#[derive(Debug)]
pub(crate) struct NamedMatcher {
    name: Box<str>,
    value: StringMatcher,
    invert: bool,
}

impl NamedMatcher {
    pub(crate) fn compile(message: &v1::NamedMatch) -> Result<Self, String> {
        let absent = v1::StringMatch::default();
        Ok(Self {
            name: message.name.as_str().into(),
            value: StringMatcher::compile(message.value.as_ref().unwrap_or(&absent))?,
            invert: message.invert,
        })
    }

    pub(crate) fn matches_header(&self, request: &Request<'_>) -> bool {
        self.judge(header(request, &self.name).as_deref())
    }

    pub(crate) fn matches_query(&self, request: &Request<'_>) -> bool {
        self.judge(query(request.path_and_query, &self.name))
    }

    /// What is missing matches nothing, and so matches inverted.
    fn judge(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| self.value.matches(value)) != self.invert
    }

    pub(crate) fn describe(&self, kind: &str) -> String {
        let not = if self.invert { "not " } else { "" };
        format!("{kind} {} {not}{}", self.name, self.value.describe())
    }
}

/// The value of a header, several joined by commas. Names of pseudo-headers and `host` read the
/// request's own parts.
pub(crate) fn header<'a>(request: &Request<'a>, name: &str) -> Option<Cow<'a, str>> {
    match name {
        ":authority" | "host" => return Some(request.authority.into()),
        ":method" => return Some(request.method.into()),
        ":path" => return Some(request.path_and_query.into()),
        ":scheme" => return Some(request.scheme.into()),
        _ => {}
    }
    let mut values = request.headers.get_all(name).iter();
    let first = String::from_utf8_lossy(values.next()?.as_bytes());
    let Some(second) = values.next() else { return Some(first) };
    let mut joined = first.into_owned();
    for value in std::iter::once(second).chain(values) {
        joined.push(',');
        joined.push_str(&String::from_utf8_lossy(value.as_bytes()));
    }
    Some(Cow::Owned(joined))
}

/// The first value of a query parameter, as written.
pub(crate) fn query<'a>(path_and_query: &'a str, name: &str) -> Option<&'a str> {
    let query = path_and_query.split('#').next()?.split_once('?')?.1;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
