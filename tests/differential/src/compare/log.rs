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
        "received" => both("code", "0") && both("sent", "0"),
        // TLS that passes through: a signature may be a byte longer.
        "sent" => both("code", "0") && !is(left, "sni", ""),
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

fn normal(field: &str, entry: &Entry) -> String {
    let value = entry.get(field).map(String::as_str).unwrap_or_default();
    // A relay that leads nowhere has no cluster; stock Envoy has to be given one.
    let nowhere = entry.get("code").is_some_and(|code| code == "0")
        && entry.get("cluster").is_some_and(|cluster| cluster == "BlackHoleCluster");
    let value = match (field, value) {
        ("cluster", _) if nowhere => "",
        ("flags", "NC" | "NR" | "UH") if is_nowhere(entry) => "nowhere",
        ("details", _) if is_nowhere(entry) => "",
        (_, value) => value,
    };
    // Where stock Envoy needs two clusters for one destination, the second has a suffix.
    let value = match field {
        "cluster" => value.trim_end_matches(";http").trim_end_matches(";tcp"),
        _ => value,
    };
    // Flags are a set.
    match field {
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
