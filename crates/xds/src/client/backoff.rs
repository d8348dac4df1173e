//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential back-off with full jitter over the upper half: the n-th wait is between half of
/// and the whole of `first · 2ⁿ`, at most `limit`.
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
    random: Box<dyn FnMut() -> f64 + Send>,
}

impl Backoff {
    /// `random` gives numbers in 0.0..1.0.
    pub fn new(
        first: Duration,
        limit: Duration,
        random: impl FnMut() -> f64 + Send + 'static,
    ) -> Self {
        Self { first, limit, failures: 0, random: Box::new(random) }
    }

    /// The time to wait after one more failure.
    pub fn next_delay(&mut self) -> Duration {
        let whole = self.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let whole = whole.min(self.limit);
        let random = (self.random)().clamp(0.0, 1.0);
        whole.mul_f64(0.5 + random / 2.0)
    }

    /// It went well: the next wait is a first one.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The longest wait.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

impl std::fmt::Debug for Backoff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backoff")
            .field("first", &self.first)
            .field("limit", &self.limit)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit() {
        let millis = Duration::from_millis;
        for (random, expected) in [
            (0.0, [50, 100, 200, 400, 500, 500]),
            (1.0, [100, 200, 400, 800, 1000, 1000]),
            (0.5, [75, 150, 300, 600, 750, 750]),
        ] {
            let mut backoff = Backoff::new(millis(100), millis(1000), move || random);
            assert_eq!(expected.map(millis), [(); 6].map(|()| backoff.next_delay()));
            backoff.reset();
            assert_eq!(backoff.next_delay(), millis(expected[0]));
        }
    }

    #[test]
    fn many_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30), || 1.0);
        for _ in 0..100 {
            assert!(backoff.next_delay() <= Duration::from_secs(30));
        }
    }
}
