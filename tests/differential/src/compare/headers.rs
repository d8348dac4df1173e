//! Headers that may differ between the sides. One table: every line with its reason.

use std::collections::BTreeMap;

use crate::observe::Headers;

/// Which way a header travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the backend.
    Request,
    /// To the client.
    Response,
}

/// What of a header is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// Nothing.
    Nothing,
    /// That it is there, and how often.
    Presence,
    /// The value without its `Hash=…` elements.
    WithoutHash,
    /// A number of milliseconds, within [`TOLERANCE`].
    Milliseconds,
}

/// How far measured times may be apart: several pauses between attempts (each at random up to 250 ms)
/// on a busy machine.
const TOLERANCE: u64 = 1000;

use Compared::{Milliseconds, Nothing, Presence, WithoutHash};
use Direction::{Request, Response};

/// Name, direction, what is compared, and why not all of it.
const TABLE: &[(&str, Direction, Compared, &str)] = &[
    ("date", Response, Nothing, "a clock's"),
    ("x-envoy-upstream-service-time", Response, Presence, "a measured time"),
    (
        "x-envoy-expected-rq-timeout-ms",
        Request,
        Milliseconds,
        "what is left of the request's time after earlier attempts and their random pauses",
    ),
    ("x-request-id", Request, Presence, "random"),
    ("x-request-id", Response, Presence, "random"),
    ("traceparent", Request, Presence, "random"),
    ("x-b3-traceid", Request, Presence, "random"),
    ("x-b3-spanid", Request, Presence, "random"),
    ("x-b3-parentspanid", Request, Presence, "random"),
    ("x-forwarded-client-cert", Request, WithoutHash, "each side has keys of its own"),
    ("x-envoy-peer-metadata", Request, Presence, "names the program that runs"),
    ("x-envoy-peer-metadata", Response, Presence, "names the program that runs"),
    (
        "x-envoy-peer-metadata-id",
        Request,
        Presence,
        "names the address with which the program was started; a native proxy learns its own later",
    ),
    ("x-lateen-reason", Response, Nothing, "stock Envoy has no reason codes"),
    (
        "transfer-encoding",
        Request,
        Nothing,
        "framing of one connection: what arrives is compared, and over HTTP/2 there is none",
    ),
    ("transfer-encoding", Response, Nothing, "framing of one connection"),
    ("connection", Request, Nothing, "of one connection: whether it is kept is no one's business"),
    ("trailer", Request, Nothing, "HTTP/1 announces trailers; they are compared themselves"),
    ("trailer", Response, Nothing, "HTTP/1 announces trailers; they are compared themselves"),
];

/// Headers as they are compared: by name, the values of a name joined, which means the same
/// (RFC 9110, section 5.3); the order of different names means nothing.
#[must_use]
pub fn normal(direction: Direction, headers: &Headers) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let line = TABLE.iter().find(|line| line.0 == name && line.1 == direction);
        let value = match line.map(|line| line.2) {
            Some(Nothing) => continue,
            Some(Presence) => "…".to_owned(),
            Some(WithoutHash) => without_hash(value),
            Some(Milliseconds) | None => value.clone(),
        };
        joined.entry(name.clone()).or_default().push(value);
    }
    joined.into_iter().map(|(name, values)| (name, values.join(","))).collect()
}

/// Whether two values of a header, as [`normal`] gives them, are the same.
#[must_use]
pub fn same(
    direction: Direction,
    name: &str,
    left: Option<&String>,
    right: Option<&String>,
) -> bool {
    let measured =
        TABLE.iter().any(|line| line.0 == name && line.1 == direction && line.2 == Milliseconds);
    let number = |value: Option<&String>| value.and_then(|value| value.parse::<u64>().ok());
    match (number(left), number(right)) {
        (Some(left), Some(right)) if measured => left.abs_diff(right) <= TOLERANCE,
        _ => left == right,
    }
}

fn without_hash(value: &str) -> String {
    let elements = value.split(',').map(|element| {
        let pairs = element.split(';').filter(|pair| !pair.starts_with("Hash="));
        pairs.collect::<Vec<_>>().join(";")
    });
    elements.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_table_says_may_differ() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let one = vec![
            header("date", "today"),
            header("x-request-id", "1"),
            header("x-forwarded-client-cert", "By=a;Hash=1;URI=b,Hash=2;URI=c"),
            header("via", "a"),
            header("via", "b"),
        ];
        let normal = normal(Request, &one);
        let line = |name: &str| normal.get(name).map(String::as_str);
        assert_eq!(line("date"), Some("today"), "it is a response's");
        assert_eq!(line("x-request-id"), Some("…"));
        assert_eq!(line("x-forwarded-client-cert"), Some("By=a;URI=b,URI=c"));
        assert_eq!(line("via"), Some("a,b"));
    }

    #[test]
    fn measured_times_are_compared_with_a_tolerance() {
        let same = |name: &str, left: &str, right: &str| {
            let value = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            super::same(Request, name, value(left).as_ref(), value(right).as_ref())
        };
        let timeout = "x-envoy-expected-rq-timeout-ms";
        assert!(same(timeout, "2999", "2525"));
        assert!(!same(timeout, "15000", "2525"));
        assert!(!same(timeout, "2999", ""));
        assert!(!same("x-other", "2999", "2998"));
    }

    #[test]
    fn every_line_stands_once_and_says_why() {
        for (index, line) in TABLE.iter().enumerate() {
            assert!(!line.3.is_empty(), "{}", line.0);
            let again =
                TABLE[index + 1..].iter().any(|other| (other.0, other.1) == (line.0, line.1));
            assert!(!again, "{} stands twice", line.0);
        }
    }
}
