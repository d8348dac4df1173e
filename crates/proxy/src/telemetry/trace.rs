//! Trace context.
//!
//! Without a tracing provider the proxy takes no part in a trace: `traceparent`, `tracestate`, `b3`
//! and the `x-b3-*` headers pass through as they are, and no span is made. Only `x-request-id` is
//! the proxy's own.

use http::{HeaderName, HeaderValue};

/// Ties the log lines of all proxies on a request's way together.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request id: a UUID of version 4 made from 128 random bits.
#[must_use]
pub fn request_id(random: u128) -> HeaderValue {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let uuid = random & !VERSION & !VARIANT | 0x4 << 76 | 0b10 << 62;
    let mut text = [b'-'; 36];
    let mut shift = 128;
    for (index, byte) in text.iter_mut().enumerate() {
        if !matches!(index, 8 | 13 | 18 | 23) {
            shift -= 4;
            *byte = b"0123456789abcdef"[usize::try_from(uuid >> shift & 0xf).unwrap_or_default()];
        }
    }
    HeaderValue::from_bytes(&text).expect("a UUID is made of ASCII only")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids_of_version_4() {
        let table = [
            (0, "00000000-0000-4000-8000-000000000000"),
            (u128::MAX, "ffffffff-ffff-4fff-bfff-ffffffffffff"),
            (0x0123_4567_89ab_cdef_0123_4567_89ab_cdef, "01234567-89ab-4def-8123-456789abcdef"),
        ];
        for (random, text) in table {
            assert_eq!(request_id(random), text);
        }
    }
}
