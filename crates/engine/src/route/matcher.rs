//! Matching strings, paths, headers and query parameters.
//!
//! Regular expressions are RE2's as far as both engines agree, over the whole value.

use http::HeaderName;
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
    let flags = if ignore_case { "i" } else { "" };
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

/// A compiled `NamedMatch` of a query parameter.
#[derive(Debug)]
pub(crate) struct QueryMatcher {
    name: Box<str>,
    expected: Expected,
}

/// A compiled `NamedMatch` of a header.
#[derive(Debug)]
pub(crate) struct HeaderMatcher {
    name: HeaderField,
    expected: Expected,
}

/// What a named value must be.
#[derive(Debug)]
struct Expected {
    value: StringMatcher,
    invert: bool,
}

impl Expected {
    fn compile(message: &v1::NamedMatch) -> Result<Self, String> {
        let absent = v1::StringMatch::default();
        let value = StringMatcher::compile(message.value.as_ref().unwrap_or(&absent))?;
        Ok(Self { value, invert: message.invert })
    }

    /// What is missing matches nothing. Inverted it counts as empty, as Istio tells Envoy
    /// (`treat_missing_header_as_empty`), unless only presence is asked for.
    fn matches_missing(&self) -> bool {
        let as_empty =
            self.invert && !matches!(self.value, StringMatcher::Present) && self.value.matches("");
        as_empty != self.invert
    }

    fn matches(&self, value: Option<&str>) -> bool {
        match value {
            Some(value) => self.value.matches(value) != self.invert,
            None => self.matches_missing(),
        }
    }

    fn describe(&self) -> String {
        format!("{}{}", if self.invert { "not " } else { "" }, self.value.describe())
    }
}

impl QueryMatcher {
    pub(crate) fn compile(message: &v1::NamedMatch) -> Result<Self, String> {
        Ok(Self { name: message.name.as_str().into(), expected: Expected::compile(message)? })
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        self.expected.matches(query(request.path_and_query, &self.name))
    }

    pub(crate) fn describe(&self) -> String {
        format!("query parameter {} is not as asked: {}", self.name, self.expected.describe())
    }
}

impl HeaderMatcher {
    pub(crate) fn compile(message: &v1::NamedMatch) -> Result<Self, String> {
        Ok(Self {
            name: HeaderField::compile(&message.name)?,
            expected: Expected::compile(message)?,
        })
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        // One value that is as asked is enough; inverted, none may be.
        match self.name.any(request, |value| self.expected.value.matches(value)) {
            Some(any) => any != self.expected.invert,
            None => self.expected.matches_missing(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!("header {} is not as asked: {}", self.name.name(), self.expected.describe())
    }
}

/// A header, or what of the request's own parts goes by a header's name.
#[derive(Debug)]
pub(crate) enum HeaderField {
    Authority,
    Method,
    Path,
    Scheme,
    Header(HeaderName),
}

impl HeaderField {
    /// # Errors
    /// When no header can have the name.
    pub(crate) fn compile(name: &str) -> Result<Self, String> {
        Ok(match name {
            ":authority" | "host" => Self::Authority,
            ":method" => Self::Method,
            ":path" => Self::Path,
            ":scheme" => Self::Scheme,
            name => Self::Header(
                HeaderName::try_from(name).map_err(|_| format!("header name {name:?}"))?,
            ),
        })
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
            Self::Header(name) => name.as_str(),
        }
    }

    /// Whether one of its values is as `wanted`, each by itself as Envoy looks at them; `None`: the
    /// request has none.
    pub(crate) fn any(
        &self,
        request: &Request<'_>,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Option<bool> {
        let name = match self {
            Self::Authority => return Some(wanted(request.authority)),
            Self::Method => return Some(wanted(request.method)),
            Self::Path => return Some(wanted(request.path_and_query)),
            Self::Scheme => return Some(wanted(request.scheme)),
            Self::Header(name) => name,
        };
        let mut values = request.headers.get_all(name).iter().peekable();
        values.peek()?;
        Some(values.any(|value| wanted(&String::from_utf8_lossy(value.as_bytes()))))
    }
}

/// The first value of a query parameter, as written.
pub(crate) fn query<'a>(path_and_query: &'a str, name: &str) -> Option<&'a str> {
    let query = path_and_query.split('#').next()?.split_once('?')?.1;
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}
