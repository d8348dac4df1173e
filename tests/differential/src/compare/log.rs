//! The fields of the access log that are compared.

use std::collections::BTreeMap;

/// Fields that are compared. Left out of what is logged: `attempts`, which is compared at the
/// backends.
const COMPARED: &[&str] = &[
    "code",
    "flags",
    "details",
    "route",
    "cluster",
    "sni",
    "protocol",
    "method",
    "path",
    "authority",
    "received",
    "sent",
    "peer",
    "tls",
];

/// An entry of the log.
pub type Entry = BTreeMap<String, String>;

/// What is known of the exchange beside its entries.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// No backend saw anything, on either side.
    pub unseen: bool,
    /// The client speaks TLS.
    pub tls: bool,
    /// The client speaks HTTP/2.
    pub http2: bool,
}

/// Compares the entries of one request; what differs goes to `out` as field, left, right.
pub fn compare(
    circumstances: Circumstances,
    left: &[Entry],
    right: &[Entry],
    out: &mut Vec<(String, String, String)>,
) {
    let nothing_happened = |one: &[Entry], other: &[Entry]| {
        is_unread(one, other) || (circumstances.tls && is_handshake_alone(one, other))
    };
    if nothing_happened(left, right) || nothing_happened(right, left) {
        return;
    }
    if left.len() != right.len() {
        let count = |all: &[Entry]| format!("{} entries: {all:?}", all.len());
        out.push(("log".to_owned(), count(left), count(right)));
        return;
    }
    for (left, right) in left.iter().zip(right) {
        for field in COMPARED {
            if is_left_out(circumstances, field, left, right) {
                continue;
            }
            let (left, right) = (normal(field, left), normal(field, right));
            if left != right {
                out.push((format!("log {field}"), left, right));
            }
        }
    }
}

fn is(entry: &Entry, field: &str, value: &str) -> bool {
    entry.get(field).map(String::as_str).unwrap_or_default() == value
}

/// Whether one side logs what its codec refused, and the other has not come to have a request: whether
/// Envoy logs it depends on where in the head the error is.
fn is_unread(one: &[Entry], other: &[Entry]) -> bool {
    other.is_empty() && matches!(one, [entry] if is(entry, "details", "http1.codec_error"))
}

/// Whether one side logs a handshake that failed, and the other nothing, or a relay as if nothing had
/// happened: Envoy has no entry for a connection before its filters.
fn is_handshake_alone(one: &[Entry], other: &[Entry]) -> bool {
    let quiet = [("code", "0"), ("sent", "0"), ("flags", ""), ("details", "")];
    let reasons = ["downstream_tls_failed", "no_server_certificate"];
    matches!(one, [entry] if reasons.iter().any(|reason| is(entry, "reason", reason)))
        && other.len() <= 1
        && other.iter().all(|entry| quiet.iter().all(|(field, value)| is(entry, field, value)))
}

/// Fields that mean nothing in some entries.
fn is_left_out(circumstances: Circumstances, field: &str, left: &Entry, right: &Entry) -> bool {
    let both = |field: &str, value: &str| is(left, field, value) && is(right, field, value);
    // TLS of the client's own.
    let is_relayed = circumstances.tls && both("code", "0") && both("tls", "");
    match field {
        // What Envoy's codec refuses, it logs without having read it.
        "method" | "path" | "authority" => both("details", "http1.codec_error"),
        // How much was read of a client that nobody answered is a matter of chance.
        "received" if both("code", "0") && both("sent", "0") => true,
        // Envoy dials before it asks whether the connection may be.
        "cluster" if both("code", "0") && both("sent", "0") => {
            is(left, "reason", "authorization_denied") && is(left, field, "")
        }
        // How much of a body was read before an answer of the proxy's own: Envoy reads on while it
        // connects, Lateen reads for somebody who takes it.
        "received" if circumstances.unseen && !both("code", "0") => true,
        // The name in TLS that is relayed is logged by whoever had to look at the first bytes.
        "sni" if is_relayed => is(left, field, "") || is(right, field, ""),
        // Signatures differ in length, and so does what of the last alerts finds the other side open;
        // what was said within is compared at both ends.
        "received" | "sent" if is_relayed => is(left, field, "0") == is(right, field, "0"),
        // Whether a client of HTTP/2 still acknowledges the settings of an endpoint that closes is chance.
        "received" if circumstances.http2 && both("code", "0") => {
            is(left, field, "0") == is(right, field, "0")
        }
        _ => false,
    }
}

/// Whether a connection was relayed to no cluster at all.
fn is_nowhere(entry: &Entry) -> bool {
    let is = |field: &str, values: &[&str]| {
        values.contains(&entry.get(field).map(String::as_str).unwrap_or_default())
    };
    is("code", &["0"])
        && is("sent", &["0"])
        && (is("cluster", &["BlackHoleCluster"]) || is("flags", &["NC", "NR"]))
}

/// How the details begin of a request whose connection failed.
const CONNECTION_FAILURE: &str =
    "upstream_reset_before_response_started{remote_connection_failure|";

fn is_tls_failure(details: &str) -> bool {
    let why = details.strip_prefix(CONNECTION_FAILURE);
    why.is_some_and(|why| !why.starts_with("delayed_connect_error"))
}

fn normal(field: &str, entry: &Entry) -> String {
    let value = entry.get(field).map(String::as_str).unwrap_or_default();
    // A relay that leads nowhere has no cluster; stock Envoy has to be given one.
    let nowhere = entry.get("code").is_some_and(|code| code == "0")
        && entry.get("cluster").is_some_and(|cluster| cluster == "BlackHoleCluster");
    let value = match (field, value) {
        ("cluster", _) if nowhere => "",
        ("flags", "NC" | "NR" | "UH") if is_nowhere(entry) => "nowhere",
        ("details", _) if is_nowhere(entry) => "",
        // A fragment is no part of a target; Envoy takes it off only where it looks at the path.
        ("path", value) => value.split('#').next().unwrap_or_default(),
        // Why TLS failed is said in the words of the library.
        ("details", value) if is_tls_failure(value) => CONNECTION_FAILURE,
        (_, value) => value,
    };
    // Where stock Envoy needs two clusters for one destination, the second has a suffix.
    let value = match field {
        "cluster" => value.trim_end_matches(";http").trim_end_matches(";tcp"),
        _ => value,
    };
    // Flags are a set. Whether an endpoint's reset is seen as such or as its end is chance.
    match field {
        "flags" if entry.get("code").is_some_and(|code| code == "0") && value == "UR" => {
            String::new()
        }
        "flags" => sorted(value),
        _ => value.to_owned(),
    }
}

/// The set of flags, written in one way.
pub fn sorted(flags: &str) -> String {
    let mut flags: Vec<&str> = flags.split(',').collect();
    flags.sort_unstable();
    flags.join(",")
}
