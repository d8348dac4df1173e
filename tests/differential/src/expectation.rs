//! What a scenario expects, held against what a side saw.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::iter;
use std::time::Duration;

use crate::compare::{Between, Finding, log, statistics};
use crate::observe::{Exchanged, Headers, Observed, SeenRequest, values};
use crate::scenario::{Destination, Exchange, Expect, Scenario, Seen, Wanted};
use crate::side::protocol::{Engine, Ran};

/// Every expectation that a side does not meet.
#[must_use]
pub fn check(scenario: &Scenario, engine: Engine, ran: &Ran) -> Vec<Finding> {
    let pairs = scenario.exchanges.iter().zip(&ran.exchanges);
    pairs.flat_map(|(exchange, exchanged)| of_exchange(exchange, engine, exchanged)).collect()
}

/// Every expectation of one exchange that is not met.
#[must_use]
pub fn of_exchange(exchange: &Exchange, engine: Engine, exchanged: &Exchanged) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (request, times) in exchanged.0.iter().enumerate() {
        let Some(expect) = expectation(exchange, request) else { continue };
        let mut check = Check { exchange, engine, at: (request, 0), findings: &mut findings };
        for (time, observed) in times.iter().enumerate() {
            check.at.1 = time;
            for expect in iter::once(expect).chain(expect.alone(engine)) {
                check.observed(expect, observed);
            }
        }
        check.distribution(expect, times);
        check.turns(expect, times);
    }
    findings
}

fn expectation(exchange: &Exchange, request: usize) -> Option<&Expect> {
    match &exchange.bytes {
        Some(bytes) => Some(&bytes.expect),
        None => exchange.requests.get(request).map(|request| &request.expect),
    }
}

struct Check<'a> {
    exchange: &'a Exchange,
    engine: Engine,
    at: (usize, usize),
    findings: &'a mut Vec<Finding>,
}

impl Check<'_> {
    fn fail(&mut self, about: &str, expected: impl Debug, seen: impl Debug) {
        self.findings.push(Finding {
            exchange: self.exchange.name.clone(),
            request: self.at,
            about: about.to_owned(),
            between: Between::Expectation(self.engine),
            left: format!("{expected:?}"),
            right: format!("{seen:?}"),
        });
    }

    fn equal<T: PartialEq + Debug>(&mut self, about: &str, expected: Option<T>, seen: T) {
        if let Some(expected) = expected
            && expected != seen
        {
            self.fail(about, expected, seen);
        }
    }

    fn observed(&mut self, expect: &Expect, observed: &Observed) {
        self.equal("status", expect.status, observed.status);
        self.equal("end", expect.end, observed.end);
        self.equal("body", expect.body.as_ref(), &observed.body);
        self.equal("receive", expect.receive.as_ref(), &observed.body);
        self.equal("certificate", expect.certificate.as_ref(), &observed.certificate);
        self.equal("alpn", expect.alpn.as_ref(), &observed.alpn);
        self.headers("header", &expect.response_headers, &observed.headers);
        self.headers("trailer", &expect.response_trailers, &observed.trailers);
        self.destination(expect.workload.as_ref(), observed.destination());
        let attempts = u32::try_from(observed.attempts()).unwrap_or(u32::MAX);
        self.equal("attempts", expect.attempts, attempts);
        if let Some(wanted) = &expect.mirrored {
            let mut wanted = wanted.clone();
            wanted.sort();
            self.equal("mirrored", Some(wanted), observed.mirrored());
        }
        match observed.last() {
            Some(seen) => self.seen(&expect.seen, seen),
            None if expect.seen != Seen::default() => {
                self.fail("seen", &expect.seen, "no backend was reached");
            }
            None => {}
        }
        self.log(expect, observed);
        if let Some((least, most)) = expect.takes {
            let took = Duration::from_millis(observed.milliseconds);
            if took < least.0 || took > most.0 {
                self.fail("takes", (least.0, most.0), took);
            }
        }
    }

    fn destination(&mut self, wanted: Option<&Destination>, reached: &str) {
        let fits = match wanted {
            None => true,
            Some(Destination::One(name)) => name == reached,
            Some(Destination::AnyOf(names)) => names.iter().any(|name| name == reached),
        };
        if !fits {
            self.fail("workload", wanted, reached);
        }
    }

    fn headers(&mut self, about: &str, wanted: &BTreeMap<String, Wanted>, headers: &Headers) {
        for (name, wanted) in wanted {
            let seen = values(headers, name);
            let fits = match wanted {
                Wanted::Absent => seen.is_empty(),
                Wanted::One(value) => seen == [value],
                Wanted::Many(values) => seen == *values,
            };
            if !fits {
                self.fail(&format!("{about} {name}"), wanted, seen);
            }
        }
    }

    fn seen(&mut self, expect: &Seen, seen: &SeenRequest) {
        self.equal("seen method", expect.method.as_ref(), &seen.method);
        self.equal("seen path", expect.path.as_ref(), &seen.path);
        self.equal("seen authority", expect.authority.as_ref(), &seen.authority);
        self.equal("seen body", expect.body.as_ref(), &seen.body);
        self.equal("seen bytes", expect.bytes.as_ref(), &seen.body);
        self.equal("seen http", expect.http.map(Some), seen.http);
        self.equal("seen port", expect.port, seen.port);
        self.equal("seen tls", expect.tls, seen.tls);
        self.equal("seen sni", expect.sni.as_ref(), &seen.sni);
        self.equal("seen peer", expect.peer.as_ref(), &seen.peer);
        self.headers("seen header", &expect.headers, &seen.headers);
        self.headers("seen trailer", &expect.trailers, &seen.trailers);
    }

    fn log(&mut self, expect: &Expect, observed: &Observed) {
        let entry = observed.log.last().cloned().unwrap_or_default();
        let field = |name: &str| match entry.get(name).map(String::as_str) {
            None | Some("") => "-".to_owned(),
            Some(value) => value.to_owned(),
        };
        if let Some(flags) = &expect.flags {
            match observed.log.is_empty() {
                true => self.fail("flags", flags, "no line in the access log"),
                false => {
                    self.equal("flags", Some(log::sorted(flags)), log::sorted(&field("flags")));
                }
            }
        }
        for (name, wanted) in &expect.log {
            let seen = field(name);
            let fits = match wanted {
                Wanted::Absent => seen == "-",
                Wanted::One(value) => *value == seen,
                Wanted::Many(values) => values.contains(&seen),
            };
            if !fits {
                self.fail(&format!("log {name}"), wanted, seen);
            }
        }
        if self.engine == Engine::Native
            && let Some(reason) = &expect.reason
        {
            self.equal("log reason", Some(reason.as_str()), &field("reason"));
        }
        if let Some(line) = &expect.log_line
            && observed.lines.first() != Some(line)
        {
            self.fail("log line", line, &observed.lines);
        }
    }

    fn turns(&mut self, expect: &Expect, times: &[Observed]) {
        let Some(expected) = expect.turns else { return };
        let twice = times.windows(2).any(|pair| pair[0].destination() == pair[1].destination());
        if expected == twice {
            self.fail("turns", expected, !twice);
        }
    }

    fn distribution(&mut self, expect: &Expect, times: &[Observed]) {
        let sum: f64 = expect.distribution.values().sum();
        if expect.distribution.is_empty() {
            return;
        }
        for (name, weight) in &expect.distribution {
            let count = times.iter().filter(|observed| observed.destination() == name).count();
            if statistics::is_off(count, times.len(), weight / sum) {
                let about = format!("share of {name}");
                self.fail(&about, format!("{weight} of {sum}"), format!("{count}/{}", times.len()));
            }
        }
        for observed in times {
            let name = observed.destination();
            if !expect.distribution.contains_key(name) {
                self.fail("workload", expect.distribution.keys().collect::<Vec<_>>(), name);
                return;
            }
        }
    }
}
