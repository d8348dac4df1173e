//! Reading `host[:port]`.

use std::borrow::Cow;
use std::net::IpAddr;

/// The host of an authority, without port; brackets of an IPv6 literal are kept.
#[must_use]
pub fn host(authority: &str) -> &str {
    split(authority).0
}

/// Host and port of an authority. The port is what follows the last colon, whatever it is, as
/// Envoy takes it off (`ignore_port_in_host_matching`); colons in brackets belong to the host.
#[must_use]
pub fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// The host in the form that the directory knows it: lower case, without port and final dot.
/// Borrows when nothing has to change.
#[must_use]
pub fn normalized_host(authority: &str) -> Cow<'_, str> {
    let host = host(authority);
    let host = host.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(host);
    lower(host)
}

/// Lower case, borrowed where it is that already.
#[must_use]
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// The address that a host literally is.
#[must_use]
pub fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host).parse().ok()
}

/// Every parent wildcard's suffix of a host, longest first: for `a.b.c` `.b.c`, then `.c`.
pub(crate) fn parents(host: &str) -> impl Iterator<Item = &str> {
    host.bytes()
        .enumerate()
        .filter(|(index, byte)| *byte == b'.' && *index > 0)
        .map(move |(index, _)| &host[index..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_out_of_authorities() {
        for (authority, expected) in [
            ("reviews", "reviews"),
            ("Reviews.Shop:9080", "reviews.shop"),
            ("reviews.shop.", "reviews.shop"),
            ("reviews.shop.:80", "reviews.shop"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("host:http", "host"),
            ("host:", "host"),
            ("host:80:80", "host:80"),
            (".", "."),
            ("", ""),
        ] {
            assert_eq!(normalized_host(authority), expected, "{authority}");
        }
        assert_eq!(literal("[::1]"), "::1".parse().ok());
        assert_eq!(literal("reviews"), None);
    }

    #[test]
    fn parents_come_longest_first() {
        assert_eq!(parents("a.b.c").collect::<Vec<_>>(), [".b.c", ".c"]);
        assert_eq!(parents("a").count(), 0);
        assert_eq!(parents(".a").count(), 0);
    }
}
