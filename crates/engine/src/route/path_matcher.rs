//! Matching paths, and what of them a rewrite replaces.

use lateen_mesh::v1;
use regex::Regex;

use super::matcher::{starts_with_ignore_case, whole};

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
