//! Reading the proxies' Prometheus pages, to show who called whom.

use std::collections::BTreeMap;

/// One sample of a page: name, labels, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Metric name.
    pub name: String,
    /// Labels in the order of their names.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Reads a page in the text format; lines that are no sample are left out.
pub fn parse(page: &str) -> Vec<Sample> {
    page.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<Sample> {
    if line.starts_with('#') || line.is_empty() {
        return None;
    }
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        let value = value.split_whitespace().next()?.parse().ok()?;
        return Some(Sample { name: name.to_owned(), labels: BTreeMap::new(), value });
    };
    let (labels, value) = parse_labels(rest)?;
    let value = value.split_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads `a="b",c="d"} rest`, honouring the three escapes of label values.
fn parse_labels(text: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(end) = rest.strip_prefix('}') {
            return Some((labels, end));
        }
        let (key, quoted) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        loop {
            match characters.next()? {
                (index, '"') => {
                    rest = &quoted[index + 1..];
                    break;
                }
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        }
        labels.insert(key.to_owned(), value);
    }
}

/// Who called whom, as the receiving side saw it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// Workload of the caller.
    pub source: String,
    /// Identity of the caller.
    pub identity: String,
    /// Workload that was called.
    pub destination: String,
}

/// What is counted of one [`Call`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Requests.
    pub requests: f64,
    /// Requests answered with less than 500.
    pub successes: f64,
    /// Cumulative counts by upper bound in milliseconds.
    pub durations: Vec<(f64, f64)>,
}

impl Counts {
    /// What came after `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| {
            earlier.durations.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, n)| *n)
        };
        Self {
            requests: self.requests - earlier.requests,
            successes: self.successes - earlier.successes,
            durations: self
                .durations
                .iter()
                .map(|(bound, count)| (*bound, count - before(*bound)))
                .collect(),
        }
    }

    /// The upper bound, in milliseconds, of the bucket that holds the 99th of 100 requests.
    pub fn p99(&self) -> Option<f64> {
        let total = self.durations.last().map(|(_, count)| *count).filter(|total| *total > 0.0)?;
        self.durations.iter().find(|(_, count)| *count >= total * 0.99).map(|(bound, _)| *bound)
    }
}

/// Sums what the receiving sidecars counted.
pub fn calls(samples: &[Sample]) -> BTreeMap<Call, Counts> {
    let mut calls: BTreeMap<Call, Counts> = BTreeMap::new();
    let inbound = samples
        .iter()
        .filter(|sample| sample.labels.get("reporter").is_some_and(|side| side == "destination"));
    for sample in inbound {
        let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
        let call = Call {
            source: label("source_workload"),
            identity: label("source_principal"),
            destination: label("destination_workload"),
        };
        match sample.name.as_str() {
            "istio_requests_total" => {
                let counts = calls.entry(call).or_default();
                counts.requests += sample.value;
                if label("response_code").parse().is_ok_and(|code: u16| code < 500) {
                    counts.successes += sample.value;
                }
            }
            "istio_request_duration_milliseconds_bucket" => {
                let bound = label("le").parse().unwrap_or(f64::INFINITY);
                let durations = &mut calls.entry(call).or_default().durations;
                match durations.iter_mut().find(|(other, _)| *other == bound) {
                    Some((_, count)) => *count += sample.value,
                    None => durations.push((bound, sample.value)),
                }
                durations.sort_by(|one, other| one.0.total_cmp(&other.0));
            }
            _ => {}
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# TYPE istio_requests_total counter
istio_requests_total{reporter="source",source_workload="a",destination_workload="b",response_code="200"} 9
istio_requests_total{reporter="destination",source_workload="a",source_principal="spiffe://x \"y\"",destination_workload="b",response_code="200"} 3
istio_requests_total{reporter="destination",source_workload="a",source_principal="spiffe://x \"y\"",destination_workload="b",response_code="503"} 1
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",source_principal="spiffe://x \"y\"",destination_workload="b",le="5"} 3
istio_request_duration_milliseconds_bucket{reporter="destination",source_workload="a",source_principal="spiffe://x \"y\"",destination_workload="b",le="+Inf"} 4
up 1
"#;

    #[test]
    fn a_page_is_summed_by_caller() {
        let calls = calls(&parse(PAGE));
        assert_eq!(calls.len(), 1);
        let (call, counts) = calls.first_key_value().unwrap();
        assert_eq!(call.identity, "spiffe://x \"y\"");
        assert_eq!((counts.requests, counts.successes), (4.0, 3.0));
        assert_eq!(counts.p99(), Some(f64::INFINITY));
        assert_eq!(counts.since(counts).requests, 0.0);
        assert_eq!(counts.since(counts).p99(), None);
    }
}
