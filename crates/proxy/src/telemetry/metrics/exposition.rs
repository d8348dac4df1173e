//! Prometheus' text format.
//!
//! It is written in pieces: with many series the whole text is tens of megabytes (each HTTP series
//! has three histograms), which nobody needs at once.

use std::fmt::Write as _;
use std::sync::Arc;

use super::labels::{Decoded, NAMES};
use super::series::{BOUNDS, HistogramTotals, Http, HttpTotals, Kind, Tcp, TcpTotals};

/// A piece is handed out when it has grown to this size.
const PIECE: usize = 64 * 1024;

/// The value of every label of the remainder.
const REMAINDER: &str = "lateen_other";

/// A series and what it adds up to.
#[derive(Debug)]
pub(super) struct Line<C: Kind> {
    /// `None`: the remainder.
    pub(super) labels: Option<Arc<[u8]>>,
    pub(super) totals: C::Totals,
}

/// The metrics at one moment, piece by piece: an iterator over parts of the text.
#[derive(Debug)]
pub struct Exposition {
    http: Vec<Line<Http>>,
    tcp: Vec<Line<Tcp>>,
    budget: usize,
    family: usize,
    line: usize,
}

/// A metric: its name, help, and how it is written.
struct Family {
    name: &'static str,
    help: &'static str,
    value: Value,
}

enum Value {
    HttpCounter(fn(&HttpTotals) -> u64),
    /// Only for gRPC.
    Messages(fn(&HttpTotals) -> u64),
    Histogram(fn(&HttpTotals) -> &HistogramTotals),
    TcpCounter(fn(&TcpTotals) -> u64),
}

const FAMILIES: [Family; 10] = [
    Family {
        name: "istio_requests_total",
        help: "Requests, counted when they end.",
        value: Value::HttpCounter(|totals| totals.requests),
    },
    Family {
        name: "istio_request_duration_milliseconds",
        help: "Time from a request's headers to the last byte of its response.",
        value: Value::Histogram(|totals| &totals.duration),
    },
    Family {
        name: "istio_request_bytes",
        help: "Bytes of requests on the wire.",
        value: Value::Histogram(|totals| &totals.request_bytes),
    },
    Family {
        name: "istio_response_bytes",
        help: "Bytes of responses on the wire.",
        value: Value::Histogram(|totals| &totals.response_bytes),
    },
    Family {
        name: "istio_request_messages_total",
        help: "Messages of gRPC clients.",
        value: Value::Messages(|totals| totals.request_messages),
    },
    Family {
        name: "istio_response_messages_total",
        help: "Messages of gRPC servers.",
        value: Value::Messages(|totals| totals.response_messages),
    },
    Family {
        name: "istio_tcp_connections_opened_total",
        help: "TCP connections that were opened.",
        value: Value::TcpCounter(|totals| totals.opened),
    },
    Family {
        name: "istio_tcp_connections_closed_total",
        help: "TCP connections that were closed.",
        value: Value::TcpCounter(|totals| totals.closed),
    },
    Family {
        name: "istio_tcp_sent_bytes_total",
        help: "Bytes sent to the clients of TCP connections.",
        value: Value::TcpCounter(|totals| totals.sent),
    },
    Family {
        name: "istio_tcp_received_bytes_total",
        help: "Bytes received from the clients of TCP connections.",
        value: Value::TcpCounter(|totals| totals.received),
    },
];

impl Exposition {
    pub(super) fn new(http: Vec<Line<Http>>, tcp: Vec<Line<Tcp>>, budget: usize) -> Self {
        Self { http, tcp, budget, family: 0, line: 0 }
    }

    /// How much of the metrics there is, for [`Exposition`]'s own metrics.
    fn write_budget(&self, out: &mut String) {
        fn folded<C: Kind>(lines: &[Line<C>]) -> (usize, u64) {
            let named = lines.iter().filter(|line| line.labels.is_some()).count();
            let folded = lines.iter().filter(|line| line.labels.is_none());
            (named, folded.map(|line| C::total_count(&line.totals)).sum())
        }
        let kinds = [("http", folded(&self.http)), ("tcp", folded(&self.tcp))];
        out.push_str("# HELP lateen_telemetry_series Sets of labels that exist.\n");
        out.push_str("# TYPE lateen_telemetry_series gauge\n");
        for (kind, (series, _)) in kinds {
            let _ = writeln!(out, "lateen_telemetry_series{{kind=\"{kind}\"}} {series}");
        }
        out.push_str("# HELP lateen_telemetry_series_budget Sets of labels that may exist.\n");
        out.push_str("# TYPE lateen_telemetry_series_budget gauge\n");
        for (kind, _) in kinds {
            let budget = self.budget;
            let _ = writeln!(out, "lateen_telemetry_series_budget{{kind=\"{kind}\"}} {budget}");
        }
        out.push_str(
            "# HELP lateen_telemetry_folded_total Requests and connections that were counted under \
             the labels lateen_other, because there were too many sets of labels.\n",
        );
        out.push_str("# TYPE lateen_telemetry_folded_total counter\n");
        for (kind, (_, folded)) in kinds {
            let _ = writeln!(out, "lateen_telemetry_folded_total{{kind=\"{kind}\"}} {folded}");
        }
    }
}

impl Iterator for Exposition {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.family > FAMILIES.len() {
            return None;
        }
        let mut out = String::with_capacity(PIECE + PIECE / 4);
        while out.len() < PIECE {
            let Some(family) = FAMILIES.get(self.family) else {
                self.write_budget(&mut out);
                self.family += 1;
                break;
            };
            let more = match &family.value {
                Value::TcpCounter(value) => {
                    let write = |out: &mut String, labels: &str, totals: &TcpTotals| {
                        let _ = writeln!(out, "{}{{{labels}}} {}", family.name, value(totals));
                    };
                    write_line(&mut out, family, &self.tcp, self.line, false, write)
                }
                value => {
                    let write = |out: &mut String, labels: &str, totals: &HttpTotals| {
                        write_http(out, family.name, value, labels, totals);
                    };
                    write_line(&mut out, family, &self.http, self.line, true, write)
                }
            };
            if more {
                self.line += 1;
            } else {
                self.family += 1;
                self.line = 0;
            }
        }
        Some(out)
    }
}

/// Writes the line at `index`, and before the first one what the metric is. Whether there was one.
fn write_line<C: Kind>(
    out: &mut String,
    family: &Family,
    lines: &[Line<C>],
    index: usize,
    http: bool,
    write: impl FnOnce(&mut String, &str, &C::Totals),
) -> bool {
    let Some(line) = lines.get(index) else { return false };
    if index == 0 {
        let kind =
            if matches!(family.value, Value::Histogram(_)) { "histogram" } else { "counter" };
        let Family { name, help, .. } = family;
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }
    let mut labels = String::with_capacity(1024);
    write_labels(&mut labels, line.labels.as_deref(), http);
    write(out, &labels, &line.totals);
    true
}

fn write_http(out: &mut String, name: &str, value: &Value, labels: &str, totals: &HttpTotals) {
    match value {
        Value::HttpCounter(value) => {
            let _ = writeln!(out, "{name}{{{labels}}} {}", value(totals));
        }
        // Without messages there is no series: most requests are no gRPC.
        Value::Messages(value) if value(totals) > 0 => {
            let _ = writeln!(out, "{name}{{{labels}}} {}", value(totals));
        }
        Value::Histogram(value) => write_histogram(out, name, labels, value(totals)),
        Value::Messages(_) | Value::TcpCounter(_) => {}
    }
}

fn write_histogram(out: &mut String, name: &str, labels: &str, totals: &HistogramTotals) {
    let mut count = 0;
    for (bound, bucket) in BOUNDS.iter().zip(&totals.buckets) {
        count += bucket;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    count += totals.buckets[BOUNDS.len()];
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
    let (whole, thousandths) = (totals.sum / 1000, totals.sum % 1000);
    let _ = match thousandths {
        0 => writeln!(out, "{name}_sum{{{labels}}} {whole}"),
        _ => writeln!(out, "{name}_sum{{{labels}}} {whole}.{thousandths:03}"),
    };
    let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
}

/// `name="value",…` without braces.
fn write_labels(out: &mut String, labels: Option<&[u8]>, http: bool) {
    let names = NAMES.iter().copied();
    let Some(decoded) = labels.and_then(Decoded::read) else {
        let tail: &[&str] = match http {
            true => &["request_protocol", "response_code", "grpc_response_status"],
            false => &["request_protocol"],
        };
        let tail = tail.iter().copied().chain(["response_flags", "connection_security_policy"]);
        for (index, name) in names.chain(tail).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{name}=\"{REMAINDER}\"");
        }
        return;
    };
    for (name, text) in names.zip(decoded.texts) {
        let _ = write!(out, "{name}=\"");
        write_escaped(out, text);
        out.push_str("\",");
    }
    let _ = write!(out, "request_protocol=\"{}\",", decoded.protocol);
    if http {
        let _ = write!(out, "response_code=\"{}\",grpc_response_status=\"", decoded.code);
        if let Some(status) = decoded.grpc_status {
            let _ = write!(out, "{status}");
        }
        out.push_str("\",");
    }
    let Decoded { flags, security, .. } = decoded;
    let _ = write!(out, "response_flags=\"{flags}\",connection_security_policy=\"{security}\"");
}

/// A label's value with `\`, `"` and line ends escaped.
fn write_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            character => out.push(character),
        }
    }
}
