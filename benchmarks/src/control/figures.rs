//! What is measured, and its limits (for 1,000 services in 50 namespaces, 10,000 pods, 1,000 clients).

use std::time::Duration;

/// What changes of one kind cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    /// Clients that hear of each.
    pub listeners: usize,
    /// Milliseconds from the call of the API server to the last client, 99th percentile of the changes.
    pub p99: f64,
    /// CPU-seconds for each of them.
    pub cpu: f64,
    /// Bytes to the client that was sent most for one of them.
    pub bytes: u64,
}

/// The figures of one mode.
#[derive(Debug)]
pub struct Figures {
    is_native: bool,
    /// Megabytes (PSS) before there is any client.
    pub before: f64,
    /// CPU-seconds while all clients connect.
    pub connect_cpu: f64,
    /// Bytes that they were sent.
    pub connect_bytes: u64,
    /// Megabytes (PSS) at the peak meanwhile.
    pub peak: f64,
    /// An endpoint more or less, of a service that the clients of its own namespace use, or that all take.
    pub endpoint: Spread,
    /// A route edited: the same.
    pub route: Spread,
    /// Native clients: the same of a service that all of them use. No limit is set for these.
    pub of_all: Option<[Spread; 2]>,
}

/// A figure with its key and the most that it may be.
type Limited = (&'static str, f64, Option<f64>);

impl Figures {
    /// Nothing measured yet.
    pub fn new(is_native: bool) -> Self {
        Self {
            is_native,
            before: 0.0,
            connect_cpu: 0.0,
            connect_bytes: 0,
            peak: 0.0,
            endpoint: Spread::default(),
            route: Spread::default(),
            of_all: None,
        }
    }

    fn all(&self) -> Vec<Limited> {
        let limit = |native: f64, envoy: f64| Some(if self.is_native { native } else { envoy });
        let (endpoint, route) = (&self.endpoint, &self.route);
        let mut all = vec![
            ("memory_before_mb", self.before, Some(100.0)),
            ("connect_cpu_s", self.connect_cpu, limit(3.0, 15.0)),
            ("connect_sent_mb", megabytes(self.connect_bytes), self.is_native.then_some(100.0)),
            ("connect_peak_mb", self.peak, limit(200.0, 400.0)),
            ("change_clients", count(endpoint.listeners), None),
            ("endpoint_p99_ms", endpoint.p99, limit(50.0, 100.0)),
            ("endpoint_cpu_s", endpoint.cpu, limit(0.02, 0.05)),
            ("endpoint_bytes_each", bytes(endpoint.bytes), None),
            ("route_p99_ms", route.p99, limit(50.0, 150.0)),
            ("route_cpu_s", route.cpu, limit(0.05, 0.1)),
            ("route_bytes_each", bytes(route.bytes), Some(2_000.0)),
        ];
        if let Some([endpoint, route]) = &self.of_all {
            all.extend([
                ("of_all_clients", count(endpoint.listeners), None),
                ("of_all_endpoint_p99_ms", endpoint.p99, None),
                ("of_all_endpoint_cpu_s", endpoint.cpu, None),
                ("of_all_route_p99_ms", route.p99, None),
                ("of_all_route_cpu_s", route.cpu, None),
            ]);
        }
        all
    }

    /// The figures that are above their limits.
    pub fn broken(&self) -> Vec<String> {
        let above = |(key, value, limit): Limited| {
            let limit = limit.filter(|limit| value > *limit)?;
            Some(format!("{key} is {value:.3}, where {limit} is the most"))
        };
        self.all().into_iter().filter_map(above).collect()
    }

    /// As one object.
    pub fn json(&self) -> serde_json::Value {
        let figures = self.all().into_iter();
        figures.map(|(key, value, _)| (key.to_owned(), serde_json::Value::from(value))).collect()
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (key, value, limit) in self.all() {
            let limit = limit.map(|limit| format!("  (at most {limit})")).unwrap_or_default();
            writeln!(f, "  {key:<22} {value:>10.3}{limit}")?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}

fn megabytes(of: u64) -> f64 {
    bytes(of) / 1e6
}

fn count(of: usize) -> f64 {
    bytes(of as u64)
}

/// The smallest value that so many in a hundred do not exceed.
pub fn percentile(values: &mut [Duration], percent: usize) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_values() {
        let mut values: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut values, 99), Duration::from_millis(99));
        assert_eq!(percentile(&mut values[..30], 99), Duration::from_millis(30));
        assert_eq!(percentile(&mut [], 99), Duration::ZERO);
    }

    #[test]
    fn what_is_above_its_limit_is_named() {
        let mut figures = Figures::new(true);
        assert!(figures.broken().is_empty());
        figures.peak = 201.0;
        assert_eq!(figures.broken(), ["connect_peak_mb is 201.000, where 200 is the most"]);
        assert!(Figures { peak: 201.0, ..Figures::new(false) }.broken().is_empty());
    }
}
