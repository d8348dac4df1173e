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

/// Compares the entries of one request; what differs goes to `out` as field, left, right.
pub fn compare(left: &[Entry], right: &[Entry], out: &mut Vec<(String, String, String)>) {
    if is_unread(left, right) || is_unread(right, left) {
        return;
    }
    if left.len() != right.len() {
        let count = |all: &[Entry]| format!("{} entries: {all:?}", all.len());
        out.push(("log".to_owned(), count(left), count(right)));
        return;
    }
    for (left, right) in left.iter().zip(right) {
        for field in COMPARED {
            if is_left_out(field, left, right) {
                continue;
            }
            let (left, right) = (normal(field, left), normal(field, right));
            if left != right {
                out.push((format!("log {field}"), left, right));
            }
        }
    }
}

/// Whether one side logs what its codec refused, and the other has not come to have a request: whether
/// Envoy logs it depends on where in the head the error is.
fn is_unread(one: &[Entry], other: &[Entry]) -> bool {
    let refused = |entry: &Entry| entry.get("details").is_some_and(|it| it == "http1.codec_error");
    other.is_empty() && matches!(one, [entry] if refused(entry))
}

/// How much longer a handshake may be than another: signatures differ in a few bytes.
const SIGNATURES: u64 = 16;

/// Whether bytes were relayed that are TLS of the client's own: its handshake is counted.
fn is_opaque(entry: &Entry) -> bool {
    let is = |field: &str, value: &str| {
        entry.get(field).map(String::as_str).unwrap_or_default() == value
    };
    is("code", "0") && is("tls", "")
}

fn is_near(field: &str, left: &Entry, right: &Entry) -> bool {
    let number = |entry: &Entry| entry.get(field).and_then(|value| value.parse::<u64>().ok());
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left > 200 && left.abs_diff(right) <= SIGNATURES,
        _ => false,
    }
}

/// Fields that mean nothing in some entries.
fn is_left_out(field: &str, left: &Entry, right: &Entry) -> bool {
    let is = |entry: &Entry, field: &str, value: &str| {
        entry.get(field).map(String::as_str).unwrap_or_default() == value
    };
    let both = |field: &str, value: &str| is(left, field, value) && is(right, field, value);
    match field {
        // What Envoy's codec refuses, it logs without having read it.
        "method" | "path" | "authority" => both("details", "http1.codec_error"),
        // How much was read of a client that nobody answered is a matter of chance.
        "received" if both("code", "0") && both("sent", "0") => true,
        // Envoy dials before it asks whether the connection may be.
        "cluster" if both("code", "0") && both("sent", "0") => {
            is(left, "reason", "authorization_denied") && is(left, field, "")
        }
        // How much of a body was read before an answer that nobody waited for.
        "received" if both("attempts", "0") && !both("code", "0") => true,
        // The name in TLS that is relayed is logged by whoever had to look at the first bytes.
        "sni" if is_opaque(left) && is_opaque(right) => is(left, field, "") || is(right, field, ""),
        "received" | "sent" if is_opaque(left) && is_opaque(right) => is_near(field, left, right),
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
