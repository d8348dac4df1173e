//! Exact tests of shares, at a level at which a run of all scenarios gives a false alarm with a
//! probability below 10⁻⁶.

/// Probability of a tail below which it counts as no accident. A run has far fewer than a thousand
/// of these tests.
const LEVEL: f64 = 1e-9;

/// Whether `count` of `total` is no sample of the share `p`: exact binomial, both tails.
#[must_use]
pub fn is_off(count: usize, total: usize, p: f64) -> bool {
    let at = |k: usize| match (p <= 0.0, p >= 1.0) {
        (true, _) => f64::from(u8::from(k == 0)),
        (_, true) => f64::from(u8::from(k == total)),
        _ => (ln_choose(total, k) + real(k) * p.ln() + real(total - k) * (1.0 - p).ln()).exp(),
    };
    let (lower, upper): (f64, f64) = ((0..=count).map(at).sum(), (count..=total).map(at).sum());
    lower.min(upper) < LEVEL
}

/// Whether two counts, each of a total, come from different shares: exact hypergeometric, both
/// tails.
#[must_use]
pub fn differ(left: (usize, usize), right: (usize, usize)) -> bool {
    let (hits, all) = (left.0 + right.0, left.1 + right.1);
    let at = |k: usize| {
        (ln_choose(hits, k) + ln_choose(all - hits, left.1 - k) - ln_choose(all, left.1)).exp()
    };
    let least = left.1.saturating_sub(all - hits);
    let most = left.1.min(hits);
    let lower: f64 = (least..=left.0).map(at).sum();
    let upper: f64 = (left.0..=most).map(at).sum();
    lower.min(upper) < LEVEL
}

fn ln_choose(n: usize, k: usize) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

fn ln_factorial(n: usize) -> f64 {
    (2..=n).map(|factor| real(factor).ln()).sum()
}

fn real(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accidents_pass_and_the_rest_does_not() {
        for (count, total, p, off) in [
            (100, 1000, 0.1, false),
            (140, 1000, 0.1, false),
            (200, 1000, 0.1, true),
            (20, 1000, 0.1, true),
            (0, 50, 0.0, false),
            (1, 50, 0.0, true),
            (49, 50, 1.0, true),
            (50, 50, 1.0, false),
        ] {
            assert_eq!(is_off(count, total, p), off, "{count} of {total} at {p}");
        }
        for (left, right, different) in [
            ((100, 1000), (100, 1000), false),
            ((100, 1000), (140, 1000), false),
            ((100, 1000), (250, 1000), true),
            ((1, 1), (0, 1), false),
            ((0, 200), (200, 200), true),
            ((200, 200), (200, 200), false),
        ] {
            assert_eq!(differ(left, right), different, "{left:?} and {right:?}");
            assert_eq!(differ(right, left), different, "{right:?} and {left:?}");
        }
    }

    #[test]
    fn a_false_alarm_is_as_rare_as_stated() {
        // The probability that a fair sample of 500 is called off, summed exactly.
        let (total, p) = (500, 0.3);
        let alarm: f64 = (0..=total)
            .filter(|count| is_off(*count, total, p))
            .map(|k| {
                let rest = total - k;
                (ln_choose(total, k) + real(k) * f64::ln(p) + real(rest) * f64::ln(1.0 - p)).exp()
            })
            .sum();
        assert!(alarm > 0.0 && alarm < 2.0 * LEVEL, "{alarm}");
    }
}
