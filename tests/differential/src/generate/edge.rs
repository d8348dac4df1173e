//! The edges of what is matched: values that are met, missed by one, absent, doubled, …

use super::random::Random;

/// How a value relates to one that is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// The value itself.
    Hit,
    /// Without its last byte.
    Shorter,
    /// With a byte more at its end.
    Longer,
    /// With a byte more at its beginning.
    Before,
    /// Without its first byte.
    Beheaded,
    /// With another last byte.
    Changed,
    /// With a letter in the other case.
    OtherCase,
    /// With a letter percent-encoded.
    Encoded,
    /// The empty value.
    Empty,
    /// No value.
    Absent,
    /// The value twice.
    Doubled,
    /// The value, and another one after it.
    Followed,
    /// The value, and another one before it.
    Preceded,
    /// Spaces around it.
    Spaced,
}

impl Edge {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Hit,
        Self::Shorter,
        Self::Longer,
        Self::Before,
        Self::Beheaded,
        Self::Changed,
        Self::OtherCase,
        Self::Encoded,
        Self::Empty,
        Self::Absent,
        Self::Doubled,
        Self::Followed,
        Self::Preceded,
        Self::Spaced,
    ];

    /// Those of a value that there is once in every request: of a path, a method, a server name.
    pub const SINGLE: [Self; 8] = [
        Self::Hit,
        Self::Shorter,
        Self::Longer,
        Self::Before,
        Self::Beheaded,
        Self::Changed,
        Self::OtherCase,
        Self::Encoded,
    ];

    /// The values at this edge of `value`, in order; none: absent.
    pub fn values(self, value: &str, random: &mut Random) -> Vec<String> {
        let own = value.to_owned();
        match self {
            Self::Absent => Vec::new(),
            Self::Empty => vec![String::new()],
            Self::Doubled => vec![own.clone(), own],
            Self::Followed => vec![own, "other".to_owned()],
            Self::Preceded => vec!["other".to_owned(), own],
            Self::Spaced => vec![format!(" {own}  ")],
            Self::Hit
            | Self::Shorter
            | Self::Longer
            | Self::Before
            | Self::Beheaded
            | Self::Changed
            | Self::OtherCase
            | Self::Encoded => vec![self.value(value, random)],
        }
    }

    /// The value at this edge of `value`, where there is one in any case.
    pub fn value(self, value: &str, random: &mut Random) -> String {
        let mut text = value.to_owned();
        match self {
            Self::Shorter => drop(text.pop()),
            Self::Longer => text.push(*random.pick(&['x', '/', '.', '1'])),
            Self::Before => text.insert(usize::from(text.starts_with('/')), 'x'),
            Self::Beheaded if !text.is_empty() => drop(text.remove(0)),
            Self::Changed => {
                let last = text.pop();
                text.push(if last == Some('z') { 'y' } else { 'z' });
            }
            Self::OtherCase => return other_case(value, random),
            Self::Encoded => return encoded(value, random),
            Self::Empty => text.clear(),
            Self::Hit
            | Self::Beheaded
            | Self::Absent
            | Self::Doubled
            | Self::Followed
            | Self::Preceded
            | Self::Spaced => {}
        }
        text
    }
}

/// One letter, or all of them, in the other case.
fn other_case(value: &str, random: &mut Random) -> String {
    let flip = |letter: char| {
        if letter.is_ascii_uppercase() {
            letter.to_ascii_lowercase()
        } else {
            letter.to_ascii_uppercase()
        }
    };
    match letter(value, random).filter(|_| random.percent(60)) {
        Some(at) => replace(value, at, &flip(char::from(value.as_bytes()[at])).to_string()),
        None => value.chars().map(flip).collect(),
    }
}

/// One letter as `%` and its number, in either case.
fn encoded(value: &str, random: &mut Random) -> String {
    let Some(at) = letter(value, random) else { return value.to_owned() };
    let number = value.as_bytes()[at];
    let code = if random.percent(50) { format!("%{number:02x}") } else { format!("%{number:02X}") };
    replace(value, at, &code)
}

/// Where some letter is.
fn letter(value: &str, random: &mut Random) -> Option<usize> {
    let letters: Vec<usize> = value
        .bytes()
        .enumerate()
        .filter(|(_, byte)| byte.is_ascii_alphabetic())
        .map(|(at, _)| at)
        .collect();
    (!letters.is_empty()).then(|| *random.pick(&letters))
}

fn replace(value: &str, at: usize, with: &str) -> String {
    format!("{}{with}{}", &value[..at], &value[at + 1..])
}

/// How a path is written that may mean another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spelling {
    /// `/a//b`
    DoubledSlash,
    /// `/./a`
    Dot,
    /// `/x/../a`
    DotDot,
    /// `/a%2fb`
    EncodedSlash,
    /// `/%2e%2e/a`
    EncodedDots,
    /// `/a\b`
    Backslash,
    /// `/a/`
    SlashAtEnd,
    /// `/a#part`
    Fragment,
    /// `/a;x=1`
    Parameter,
    /// `/a?`
    EmptyQuery,
    /// `/a?x`
    BareQuery,
    /// `/a?q=1&q=2`
    DoubledQuery,
    /// `/a?b=/api`
    PathInQuery,
    /// `/a/..`
    Parent,
    /// `/../../a`
    AboveRoot,
}

impl Spelling {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::DoubledSlash,
        Self::Dot,
        Self::DotDot,
        Self::EncodedSlash,
        Self::EncodedDots,
        Self::Backslash,
        Self::SlashAtEnd,
        Self::Fragment,
        Self::Parameter,
        Self::EmptyQuery,
        Self::BareQuery,
        Self::DoubledQuery,
        Self::PathInQuery,
        Self::Parent,
        Self::AboveRoot,
    ];

    /// The path, written so. It keeps a query that it has.
    pub fn write(self, path_and_query: &str, random: &mut Random) -> String {
        let (path, query) = path_and_query
            .split_once('?')
            .map_or((path_and_query, None), |(path, query)| (path, Some(query)));
        let slashes: Vec<usize> = path.match_indices('/').map(|(at, _)| at).collect();
        let at = if slashes.is_empty() { 0 } else { *random.pick(&slashes) };
        let rest = path.get(at + 1..).unwrap_or("");
        let into = |middle: &str| format!("{}{middle}{rest}", &path[..at]);
        let path = match self {
            Self::DoubledSlash => into("//"),
            Self::Dot => into("/./"),
            Self::DotDot => into("/x/../"),
            Self::EncodedSlash => into(if random.percent(50) { "%2f" } else { "%2F" }),
            Self::EncodedDots => into("/x/%2e%2E/"),
            Self::Backslash => into("\\"),
            Self::SlashAtEnd => format!("{path}/"),
            Self::Fragment => format!("{path}#part"),
            Self::Parameter => format!("{path};x=1"),
            Self::Parent => format!("{path}/.."),
            Self::AboveRoot => format!("/../..{path}"),
            Self::EmptyQuery | Self::BareQuery | Self::DoubledQuery | Self::PathInQuery => {
                path.to_owned()
            }
        };
        let more = match self {
            Self::EmptyQuery => Some(""),
            Self::BareQuery => Some("version"),
            Self::DoubledQuery => Some("version=1&version=2"),
            Self::PathInQuery => Some("next=/api/../x"),
            _ => None,
        };
        match (query, more) {
            (None, None) => path,
            (Some(query), None) => format!("{path}?{query}"),
            (None, Some(more)) => format!("{path}?{more}"),
            (Some(query), Some(more)) => format!("{path}?{query}&{more}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_one_step_away() {
        let mut random = Random::new(1);
        for (edge, expected) in [
            (Edge::Hit, vec!["/api"]),
            (Edge::Shorter, vec!["/ap"]),
            (Edge::Before, vec!["/xapi"]),
            (Edge::Beheaded, vec!["api"]),
            (Edge::Changed, vec!["/apz"]),
            (Edge::Empty, vec![""]),
            (Edge::Absent, vec![]),
            (Edge::Doubled, vec!["/api", "/api"]),
            (Edge::Followed, vec!["/api", "other"]),
            (Edge::Preceded, vec!["other", "/api"]),
            (Edge::Spaced, vec![" /api  "]),
        ] {
            assert_eq!(edge.values("/api", &mut random), expected, "{edge:?}");
        }
        assert!(Edge::Encoded.value("ab", &mut random).contains('%'));
        assert_ne!(Edge::OtherCase.value("ab", &mut random), "ab");
    }

    #[test]
    fn spellings_keep_the_query() {
        let mut random = Random::new(2);
        for (spelling, expected) in [
            (Spelling::SlashAtEnd, "/a/?q=1"),
            (Spelling::EmptyQuery, "/a?q=1&"),
            (Spelling::Dot, "/./a?q=1"),
            (Spelling::AboveRoot, "/../../a?q=1"),
        ] {
            assert_eq!(spelling.write("/a?q=1", &mut random), expected, "{spelling:?}");
        }
    }
}
