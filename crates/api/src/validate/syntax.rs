//! The form of names, addresses, durations and patterns. Each check says what is wrong in words
//! that follow the field's path.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::Regex;

use crate::duration::Duration;

/// What is wrong, in words.
pub(super) type Check = Result<(), String>;

/// The longest regular expression that Envoy's limits let through for certain.
const MAX_REGEX_LEN: usize = 1024;

/// A DNS label (RFC 1123), in either case.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A name of an object or namespace: a DNS label in lower case.
pub(super) fn is_namespace(text: &str) -> bool {
    is_label(text) && !text.bytes().any(|byte| byte.is_ascii_uppercase())
}

/// A full host name without wildcards; a dot at the end is fine.
pub(super) fn fqdn(text: &str) -> Check {
    check_length(text)?;
    let labels: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    check_labels(text, &labels)
}

/// A host name whose first label may be a wildcard: `*`, `*.example.com`, `*-a.example.com`.
pub(super) fn wildcard_domain(text: &str) -> Check {
    check_length(text)?;
    let Some(rest) = text.strip_prefix('*') else {
        return fqdn(text);
    };
    if rest.is_empty() {
        return Ok(());
    }
    let (first, others) = rest.split_once('.').unwrap_or((rest, ""));
    let first = first.strip_prefix('-').unwrap_or(first);
    if !first.is_empty() && !is_label(first) {
        return Err(format!("`{text}` is not a valid host: `*{first}` is no wildcard label"));
    }
    if others.is_empty() {
        return Ok(());
    }
    let labels: Vec<&str> = others.strip_suffix('.').unwrap_or(others).split('.').collect();
    check_labels(text, &labels)
}

/// A server name as [`wildcard_domain`], or one that encodes port and subset,
/// `outbound_.80_.v1_.host`.
pub(super) fn sni_domain(text: &str) -> Check {
    let Some(encoded) = text.strip_prefix("outbound_.") else {
        return wildcard_domain(text);
    };
    let mut parts = encoded.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(port), Some(subset), Some(host)) if port.ends_with('_') && subset.ends_with('_') => {
            fqdn(host)
        }
        _ => Err(format!("`{text}` is not of the form `outbound_.PORT_.SUBSET_.HOST`")),
    }
}

fn check_length(text: &str) -> Check {
    match text.len() {
        0 => Err("the host is empty".to_owned()),
        1..=255 => Ok(()),
        _ => Err("the host is too long, more than 255 characters".to_owned()),
    }
}

fn check_labels(text: &str, labels: &[&str]) -> Check {
    if let Some(bad) = labels.iter().find(|label| !is_label(label)) {
        let shown = if bad.is_empty() { "an empty label" } else { bad };
        return Err(format!("`{text}` is not a valid host: {shown} is no DNS label"));
    }
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric {
        return Err(format!("`{text}` is not a valid host: its last label is a number"));
    }
    Ok(())
}

/// A port from 1 to 65535.
pub(super) fn port(number: u32) -> Check {
    match number {
        1..=65535 => Ok(()),
        _ => Err(format!("port {number} is not between 1 and 65535")),
    }
}

/// The name of a port.
pub(super) fn port_name(name: &str) -> Check {
    if is_label(name) {
        return Ok(());
    }
    Err(format!("`{name}` is not a valid name of a port: letters, digits and `-`, at most 63"))
}

/// An IP address.
pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// An IP address, or a block of them in CIDR notation.
pub(super) fn ip_or_cidr(text: &str) -> Check {
    if is_ip(text) || text.parse::<IpNet>().is_ok() {
        return Ok(());
    }
    Err(format!("`{text}` is neither an IP address nor a CIDR block"))
}

/// A duration that Envoy can be given: positive, in whole milliseconds.
pub(super) fn duration(duration: Duration) -> Check {
    if duration < Duration::from_millis(1) {
        return Err(format!("{duration} is too short, the least is 1ms"));
    }
    whole_millis(duration)
}

/// As [`duration`], or 0, which switches a timeout off.
pub(super) fn timeout(timeout: Duration) -> Check {
    if timeout.is_zero() { Ok(()) } else { duration(timeout) }
}

fn whole_millis(duration: Duration) -> Check {
    if duration.is_whole_millis() {
        return Ok(());
    }
    Err(format!("{duration} is finer than milliseconds"))
}

/// A share from 0 to 100.
pub(super) fn percent(value: f64) -> Check {
    if (0.0..=100.0).contains(&value) {
        return Ok(());
    }
    Err(format!("{value} is not between 0 and 100"))
}

/// A status that an HTTP response may have.
pub(super) fn http_status(status: i64) -> Check {
    if (200..=600).contains(&status) {
        return Ok(());
    }
    Err(format!("{status} is not a status between 200 and 600"))
}

/// A regular expression in RE2's syntax.
pub(super) fn regex(text: &str) -> Check {
    if text.is_empty() {
        return Err("the regular expression is empty".to_owned());
    }
    if text.len() > MAX_REGEX_LEN {
        return Err(format!("the regular expression is longer than {MAX_REGEX_LEN} bytes"));
    }
    Regex::new(text).map(drop).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim().to_owned();
        let reason = reason.strip_prefix("error: ").map(str::to_owned).unwrap_or(reason);
        format!("`{text}` is not a regular expression: {reason}")
    })
}

/// The name of a header.
pub(super) fn header_name(name: &str) -> Check {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(token) {
        return Ok(());
    }
    Err(format!("`{name}` is not a valid name of a header"))
}

/// The name of a header where only letters, digits, `-` and `_` are taken.
pub(super) fn plain_header_name(name: &str) -> Check {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(plain) {
        return Ok(());
    }
    Err(format!("`{name}` is not a name of letters, digits, `-` and `_`"))
}

/// `http://` or `https://`, a host and perhaps a port and a path.
pub(super) fn http_url(url: &str) -> Check {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(format!("`{url}` begins neither with `http://` nor with `https://`"));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_fits = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '\\');
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host_fits && port_fits { Ok(()) } else { Err(format!("`{url}` is not a URL")) }
}

/// `HOST:PORT`, where the host is a name or an address, in brackets if of IPv6.
pub(super) fn host_port(text: &str) -> Check {
    let Some((host, number)) = text.rsplit_once(':') else {
        return Err(format!("`{text}` is not of the form `HOST:PORT`"));
    };
    match number.parse::<u32>() {
        Ok(number) => port(number)?,
        Err(_) => return Err(format!("`{number}` in `{text}` is not a port")),
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if is_ip(bare) { Ok(()) } else { fqdn(host) }
}

/// The value of a header in Envoy's format: `%` begins a command, `%REQ(name)%`, and is doubled to
/// stand for itself.
pub(super) fn header_value(value: &str) -> Check {
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        rest = match rest.strip_prefix('%') {
            Some(after) => after,
            None => after_command(rest).ok_or_else(|| {
                format!("`{value}` has a `%` that begins no command; double it to mean itself")
            })?,
        };
    }
    Ok(())
}

/// What follows a command such as `REQ(name):10%`.
fn after_command(text: &str) -> Option<&str> {
    let name = text.bytes().take_while(|b| b.is_ascii_uppercase() || *b == b'_').count();
    let mut rest = &text[name..];
    if name == 0 {
        return None;
    }
    if let Some(arguments) = rest.strip_prefix('(') {
        rest = &arguments[arguments.find(')')? + 1..];
    }
    if let Some(length) = rest.strip_prefix(':') {
        rest = length.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    rest.strip_prefix('%')
}

/// A key of a label, with or without a prefix: `app`, `topology.kubernetes.io/zone`.
pub(super) fn label_key(key: &str) -> Check {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    let prefix_fits = prefix.is_none_or(|prefix| fqdn(prefix).is_ok());
    if prefix_fits && !name.is_empty() && is_label_value(name) {
        return Ok(());
    }
    Err(format!("`{key}` is not a valid name of a label"))
}

/// A value of a label; may be empty.
pub(super) fn label_value(value: &str) -> Check {
    if is_label_value(value) {
        return Ok(());
    }
    Err(format!("`{value}` is not a valid value of a label"))
}

fn is_label_value(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    text.len() <= 63 && text.bytes().all(inner) && edge(bytes.first()) && edge(bytes.last())
}

/// The path of a Unix socket, after `unix://`.
pub(super) fn unix_path(path: &str) -> Check {
    let valid = path.starts_with(['/', '@']) && path.len() > 1 && !path.ends_with('/');
    if valid {
        return Ok(());
    }
    Err(format!("`{path}` is not the absolute path of a Unix socket"))
}

/// The protocols that ports of Istio's own objects may declare.
pub(super) fn protocol(name: &str) -> Check {
    let known = crate::protocol::Protocol::parse(name);
    if known.is_sniffed() || known == crate::protocol::Protocol::HttpProxy {
        return Err(format!(
            "`{name}` is not a protocol; there are HTTP, HTTPS, HTTP2, GRPC, GRPC-WEB, TCP, TLS, MONGO"
        ));
    }
    Ok(())
}
