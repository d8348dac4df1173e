//! What both sides saw, compared.
//!
//! - [`headers`]: headers that may differ, each with its reason.
//! - [`log`]: fields of the access log that are compared.
//! - [`statistics`]: when distributions differ.

pub mod headers;
pub mod log;
pub mod statistics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::observe::{Observed, SeenRequest, UNSENT};
use crate::scenario::{End, Exchange, HttpVersion, Scenario};
use crate::side::protocol::{Engine, Ran};
use headers::Direction;

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The exchange; empty where the side failed altogether.
    pub exchange: String,
    /// Which of its requests, from 0, and which time.
    pub request: (usize, usize),
    /// What it is about: `status`, `header server`, `log flags`, …
    pub about: String,
    /// Whom it is about.
    pub between: Between,
    /// What was seen (on the first side), or expected.
    pub left: String,
    /// What was seen (on the second side).
    pub right: String,
}

/// Between what something does not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Between {
    /// The scenario's expectation and a side.
    Expectation(Engine),
    /// The sides.
    Sides,
    /// A side could not run it.
    Failure(Engine),
    /// Something was refused or warned about.
    Complaint,
}

impl Finding {
    /// A side could not run the scenario.
    #[must_use]
    pub fn of_side(engine: Engine, error: &anyhow::Error) -> Self {
        Self {
            exchange: String::new(),
            request: (0, 0),
            about: "side".to_owned(),
            between: Between::Failure(engine),
            left: String::new(),
            right: format!("{error:#}"),
        }
    }
}

impl Finding {
    /// What it is about and between whom, for a summary.
    #[must_use]
    pub fn class(&self) -> String {
        match self.between {
            Between::Sides => format!("the sides differ: {}", self.about),
            Between::Expectation(engine) => {
                format!("not as expected on {}: {}", engine.name(), self.about)
            }
            Between::Failure(engine) => format!("{} failed", engine.name()),
            Between::Complaint => "complaints".to_owned(),
        }
    }

    /// Whether it is about a line of the access log.
    #[must_use]
    pub fn is_about_the_log(&self) -> bool {
        self.about == "flags" || self.about.starts_with("log")
    }

    /// The control plane counted a refusal, or a proxy warned about something.
    #[must_use]
    pub fn complaint(line: String) -> Self {
        Self {
            exchange: String::new(),
            request: (0, 0),
            about: "complaint".to_owned(),
            between: Between::Complaint,
            left: String::new(),
            right: line,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, request: (request, time), about, left, right, .. } = self;
        match self.between {
            Between::Complaint => write!(f, "complaint: {right}"),
            Between::Failure(engine) => write!(f, "{} failed: {right}", engine.name()),
            Between::Expectation(engine) => write!(
                f,
                "`{exchange}` [{request}.{time}] {about}: expected {left}, {} has {right}",
                engine.name()
            ),
            Between::Sides => write!(
                f,
                "`{exchange}` [{request}.{time}] {about}:\n      first  {left}\n      second {right}"
            ),
        }
    }
}

/// What differs between two sides.
#[must_use]
pub fn sides(scenario: &Scenario, left: &Ran, right: &Ran) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, exchange) in scenario.exchanges.iter().enumerate() {
        let (Some(left), Some(right)) = (left.exchanges.get(number), right.exchanges.get(number))
        else {
            continue;
        };
        for (request, (left, right)) in left.0.iter().zip(&right.0).enumerate() {
            let chance = is_chance(exchange, request);
            let mut compare =
                Compare { exchange, at: (request, 0), chance, findings: &mut findings };
            if chance {
                compare.distributions(left, right);
            } else {
                for (time, (left, right)) in left.iter().zip(right).enumerate() {
                    compare.at.1 = time;
                    compare.observed(left, right);
                }
            }
        }
    }
    findings
}

/// The cluster that was chosen: of several that lead to one destination, chance may pick either.
fn cluster(observed: &Observed) -> Option<&String> {
    observed.log.last().and_then(|entry| entry.get("cluster"))
}

/// Whether the request went to a destination that does not exist: which of several cannot be told then, since
/// none has a cluster, and what each does to requests differs.
fn is_nobody(observed: &Observed) -> bool {
    let flags = observed.log.last().and_then(|entry| entry.get("flags"));
    let is_missing = flags.is_some_and(|flags| flags.split(',').any(|flag| flag == "NC"));
    is_missing && observed.last().is_none() && cluster(observed).is_none_or(String::is_empty)
}

/// Whether the destination of a request is left to chance.
#[must_use]
pub fn is_chance(exchange: &Exchange, request: usize) -> bool {
    match &exchange.bytes {
        Some(bytes) => bytes.chance,
        None => exchange.requests.get(request).is_some_and(|request| request.chance),
    }
}

struct Compare<'a> {
    exchange: &'a Exchange,
    at: (usize, usize),
    /// The destination is left to chance.
    chance: bool,
    findings: &'a mut Vec<Finding>,
}

impl Compare<'_> {
    fn differ(&mut self, about: &str, left: impl fmt::Debug, right: impl fmt::Debug) {
        let request = self.exchange.requests.get(self.at.0);
        if request.is_some_and(|request| request.varies.contains_key(about)) {
            return;
        }
        self.findings.push(Finding {
            exchange: self.exchange.name.clone(),
            request: self.at,
            about: about.to_owned(),
            between: Between::Sides,
            left: format!("{left:?}"),
            right: format!("{right:?}"),
        });
    }

    fn equal<T: PartialEq + fmt::Debug>(&mut self, about: &str, left: T, right: T) {
        if left != right {
            self.differ(about, left, right);
        }
    }

    /// Destinations by their shares; what reached the same one, one against the other.
    fn distributions(&mut self, left: &[Observed], right: &[Observed]) {
        let groups = |all: &[Observed]| {
            let mut groups: BTreeMap<String, Vec<Observed>> = BTreeMap::new();
            for observed in all {
                let key = format!("{} {}", observed.destination(), observed.status);
                groups.entry(key).or_default().push(observed.clone());
            }
            groups
        };
        let (left, right) = (groups(left), groups(right));
        let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        let total = |groups: &BTreeMap<String, Vec<Observed>>| groups.values().map(Vec::len).sum();
        let (all_left, all_right): (usize, usize) = (total(&left), total(&right));
        for key in keys {
            let count =
                |groups: &BTreeMap<String, Vec<Observed>>| groups.get(key).map_or(0, Vec::len);
            let (here, there) = (count(&left), count(&right));
            if statistics::differ((here, all_left), (there, all_right)) {
                let about = format!("share of {key}");
                self.differ(&about, format!("{here}/{all_left}"), format!("{there}/{all_right}"));
            }
            if let (Some([left, ..]), Some([right, ..])) =
                (left.get(key).map(Vec::as_slice), right.get(key).map(Vec::as_slice))
                && cluster(left) == cluster(right)
                && !is_nobody(left)
            {
                self.observed(left, right);
            }
        }
    }

    fn observed(&mut self, left: &Observed, right: &Observed) {
        if !self.is_failed_handshake(left, right) {
            self.equal("end", left.end, right.end);
            self.equal("certificate", &left.certificate, &right.certificate);
            self.equal("alpn", &left.alpn, &right.alpn);
        }
        self.equal("status", left.status, right.status);
        self.equal("body", undated(&left.body), undated(&right.body));
        self.response_headers(left, right);
        self.headers("trailer", Direction::Response, &left.trailers, &right.trailers);
        self.equal("destination", left.destination(), right.destination());
        if !self.chance {
            self.equal("attempts", left.attempts(), right.attempts());
        }
        if let (Some(left), Some(right)) = (left.last(), right.last()) {
            self.seen(left, right);
        }
        // Nobody asked anything: whether a proxy had noticed the connection when it ended is chance.
        if left.body.starts_with(UNSENT) && right.body.starts_with(UNSENT) {
            return;
        }
        self.equal("log lines", &left.lines, &right.lines);
        let circumstances = log::Circumstances {
            unseen: left.attempts() + right.attempts() == 0,
            tls: self.exchange.tls.is_some(),
            http2: self.exchange.bytes.is_none() && self.exchange.http == HttpVersion::Http2,
        };
        let mut differences = Vec::new();
        log::compare(circumstances, &left.log, &right.log, &mut differences);
        for (about, left, right) in differences {
            self.differ(&about, left, right);
        }
    }

    /// Whether no side let TLS come about. With TLS 1.3 a client may speak before it is refused, and
    /// then the alert that says so can be lost: the client has seen a handshake and an end.
    fn is_failed_handshake(&self, left: &Observed, right: &Observed) -> bool {
        let refused = |side: &Observed| {
            matches!(side.end, End::Handshake | End::Closed | End::Reset)
                && side.status == 0
                && side.body.is_empty()
                && side.attempts() == 0
        };
        self.exchange.tls.is_some()
            && (left.end == End::Handshake || right.end == End::Handshake)
            && refused(left)
            && refused(right)
    }

    fn response_headers(&mut self, left: &Observed, right: &Observed) {
        let headers = |side: &Observed| {
            let mut headers = side.headers.clone();
            if self.is_answered_early(left, right) {
                headers.retain(|(name, _)| name != "connection");
            }
            headers
        };
        let (left, right) = (headers(left), headers(right));
        self.headers("header", Direction::Response, &left, &right);
    }

    /// Whether the proxy answered before it had read the body: whether the connection ends with that
    /// follows from whether the rest of the body came in time.
    fn is_answered_early(&self, left: &Observed, right: &Observed) -> bool {
        let body = self.exchange.requests.get(self.at.0).is_some_and(|it| it.body.is_some());
        body && left.attempts() + right.attempts() == 0
    }

    fn seen(&mut self, left: &SeenRequest, right: &SeenRequest) {
        self.equal("seen port", left.port, right.port);
        self.equal("seen tls", left.tls, right.tls);
        self.equal("seen sni", &left.sni, &right.sni);
        self.equal("seen peer", &left.peer, &right.peer);
        self.equal("seen http", version(left.http), version(right.http));
        self.equal("seen method", &left.method, &right.method);
        self.equal("seen path", &left.path, &right.path);
        self.equal("seen authority", &left.authority, &right.authority);
        self.equal("seen body", &left.body, &right.body);
        self.headers("seen header", Direction::Request, &left.headers, &right.headers);
        self.headers("seen trailer", Direction::Request, &left.trailers, &right.trailers);
    }

    fn headers(
        &mut self,
        about: &str,
        direction: Direction,
        left: &crate::observe::Headers,
        right: &crate::observe::Headers,
    ) {
        let left = headers::normal(direction, left);
        let right = headers::normal(direction, right);
        let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
        for name in names {
            // How often something else was tried before is left to chance with the destination.
            if self.chance && name == "x-envoy-attempt-count" {
                continue;
            }
            if !headers::same(direction, name, left.get(name), right.get(name)) {
                let about = format!("{about} {name}");
                self.differ(&about, left.get(name), right.get(name));
            }
        }
    }
}

/// How a server's first frame of HTTP/2 begins, whose length depends on its settings: `SETTINGS`.
const SETTINGS: [&str; 2] = ["\0\0\u{12}\u{4}\0\0\0\0\0", "\0\0\u{18}\u{4}\0\0\0\0\0"];

/// Without the `date` of an HTTP answer that a client of bytes was given, and without the settings that
/// a server of HTTP/2 may send before it has heard anything (RFC 9113, section 3.4): Envoy waits.
fn undated(body: &str) -> String {
    if SETTINGS.iter().any(|frame| body.starts_with(frame)) {
        return String::new();
    }
    let lines = body.split_inclusive('\n').filter(|line| !line.starts_with("date: "));
    if body.starts_with("HTTP/1.1 ") { lines.collect() } else { body.to_owned() }
}

fn version(http: Option<HttpVersion>) -> &'static str {
    match http {
        None => "bytes",
        Some(HttpVersion::Http1) => "HTTP/1.1",
        Some(HttpVersion::Http2) => "HTTP/2",
    }
}
