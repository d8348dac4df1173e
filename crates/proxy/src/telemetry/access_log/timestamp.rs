//! Time stamps.

use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// Writes time stamps and keeps the text of the second that it wrote last: under load thousands of
/// lines fall into one.
#[derive(Debug)]
pub struct SecondCache {
    second: Option<u64>,
    /// `2026-02-03T04:05:06.789Z`; the milliseconds are overwritten each time.
    text: [u8; 24],
}

impl Default for SecondCache {
    fn default() -> Self {
        Self { second: None, text: *b"1970-01-01T00:00:00.000Z" }
    }
}

impl SecondCache {
    /// RFC 3339 in UTC with milliseconds, as `%START_TIME%` prints it. A time before 1970 counts
    /// as 1970.
    pub(super) fn millisecond_text(&mut self, time: SystemTime) -> &str {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            let text = formatted(time, "%Y-%m-%dT%H:%M:%S.000Z");
            // Years beyond 9999 do not fit; the clock of such a machine is of no use to a log.
            if let Ok(text) = text.as_bytes().try_into() {
                self.text = text;
            }
            self.second = Some(since.as_secs());
        }
        let millis = since.subsec_millis();
        for (place, divisor) in [(20, 100), (21, 10), (22, 1)] {
            self.text[place] = b'0' + u8::try_from(millis / divisor % 10).unwrap_or_default();
        }
        std::str::from_utf8(&self.text).expect("a time stamp is made of ASCII only")
    }
}

/// The time in a format of `strftime`, in UTC. Empty when the format cannot be used.
pub(super) fn formatted(time: SystemTime, format: &str) -> String {
    let Ok(time) = Timestamp::try_from(time) else { return String::new() };
    let zoned = time.to_zoned(TimeZone::UTC);
    BrokenDownTime::from(&zoned).to_string(format).unwrap_or_default()
}

/// Whether the format can be used.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(format: &str) -> Result<(), String> {
    let zoned = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    BrokenDownTime::from(&zoned).to_string(format).map(drop).map_err(|error| error.to_string())
}
