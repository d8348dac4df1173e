//! Lengths of time as users write them: `1.5s`, `1h30m`, `100ms`.

use std::fmt;
use std::time;

/// A length of time, which may be negative, to the nanosecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration {
    nanos: i128,
}

/// The longest span that protobuf's Duration can hold: 10,000 years.
const MAX_SECONDS: i128 = 315_576_000_000;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration { nanos: 0 };

    /// So many seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self { nanos: seconds as i128 * NANOS_PER_SECOND }
    }

    /// So many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self { nanos: millis as i128 * 1_000_000 }
    }

    /// Reads text such as `1.5s`, `1h30m`, `100ms` or `0`: what Go's `time.ParseDuration` reads, of
    /// which protobuf's JSON form is a part. Nothing if it is no duration or longer than 10,000
    /// years.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, mut rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if rest == "0" {
            return Some(Self::ZERO);
        }
        if rest.is_empty() {
            return None;
        }
        let mut nanos: i128 = 0;
        while !rest.is_empty() {
            let (part, after) = leading_part(rest)?;
            nanos = nanos.checked_add(part)?;
            rest = after;
        }
        if nanos > MAX_SECONDS * NANOS_PER_SECOND {
            return None;
        }
        Some(Self { nanos: if negative { -nanos } else { nanos } })
    }

    /// The same as the standard library's, which cannot be negative.
    pub fn to_std(self) -> Option<time::Duration> {
        let seconds = u64::try_from(self.nanos.div_euclid(NANOS_PER_SECOND)).ok()?;
        let nanos = u32::try_from(self.nanos.rem_euclid(NANOS_PER_SECOND)).ok()?;
        Some(time::Duration::new(seconds, nanos))
    }

    /// Whether it is shorter than none.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.nanos == 0
    }

    /// Whether it is a whole number of milliseconds.
    pub fn is_whole_millis(self) -> bool {
        self.nanos % 1_000_000 == 0
    }

    /// Nanoseconds.
    pub fn as_nanos(self) -> i128 {
        self.nanos
    }
}

/// One number with its unit from the start of the text, in nanoseconds, and what follows it.
fn leading_part(text: &str) -> Option<(i128, &str)> {
    let number_len = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_len);
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => NANOS_PER_SECOND,
        "m" => 60 * NANOS_PER_SECOND,
        "h" => 3600 * NANOS_PER_SECOND,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 24 {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // Digits finer than a nanosecond of an hour carry no meaning.
    let fraction = &fraction[..fraction.len().min(15)];
    let digits: i128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let nanos = whole.checked_mul(unit)?.checked_add(digits * unit / scale)?;
    Some((nanos, rest))
}

impl From<time::Duration> for Duration {
    fn from(duration: time::Duration) -> Self {
        let nanos = i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX);
        Self { nanos: nanos.min(MAX_SECONDS * NANOS_PER_SECOND) }
    }
}

/// The form that protobuf's JSON has: seconds with as many digits as needed.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.nanos < 0 { "-" } else { "" };
        let nanos = self.nanos.unsigned_abs();
        let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{sign}{seconds}s");
        }
        let digits = format!("{nanos:09}");
        write!(f, "{sign}{seconds}.{}s", digits.trim_end_matches('0'))
    }
}
