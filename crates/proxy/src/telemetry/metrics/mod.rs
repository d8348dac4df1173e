//! Istio's standard metrics, bounded.
//!
//! Each worker owns its series: it finds one by the bytes of its labels (`labels`) and adds to
//! plain cells that only it writes (`series`). The [`Collector`] reads those cells when somebody
//! asks, and adds up what the workers have under the same labels. A new series travels to it through
//! a channel, so that no worker takes a lock for a request.
//!
//! A series exists after traffic and goes when it has been idle; no more than a budget exist at a
//! time, and what goes beyond is folded into one named remainder.

mod collector;
mod exposition;
mod labels;
mod series;
mod worker;

pub use collector::Collector;
pub use exposition::Exposition;
pub use series::TcpMeter;
pub(super) use worker::WorkerMetrics;

use std::time::Duration;

/// Bounds of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Sets of labels that may exist at a time, for HTTP and for TCP each.
    pub series: usize,
    /// A series without traffic for this long goes. Rounded up to whole sweeps.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { series: 2000, idle: Duration::from_secs(3600) }
    }
}

/// How often workers look for series that are idle.
pub(super) const SWEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
