//! The `date` header, made once a second.

use std::cell::RefCell;
use std::time::SystemTime;

use http::HeaderValue;

thread_local! {
    static CURRENT: RefCell<(u64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
}

/// The value of `date` at `now`; `None` for a clock before 1970.
pub(super) fn date(now: SystemTime) -> Option<HeaderValue> {
    let second = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    CURRENT.with_borrow_mut(|(known, value)| {
        if *known != second || value.is_none() {
            *known = second;
            *value = format(second);
        }
        value.clone()
    })
}

fn format(second: u64) -> Option<HeaderValue> {
    let timestamp = jiff::Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    let text =
        jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&timestamp).ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn dates_are_those_of_http() {
        let at = |second| date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(at(784_111_777).expect("a date"), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(at(784_111_778).expect("a date"), "Sun, 06 Nov 1994 08:49:38 GMT");
        assert_eq!(at(0).expect("a date"), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
