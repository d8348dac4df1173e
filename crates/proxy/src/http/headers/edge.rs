//! What an edge does to the headers of a request that comes from outside.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// Takes out what only the mesh may say: `x-envoy-*` and `x-lateen-*`. What a client from outside
/// asks for there (retries, timeouts, tracing) is not honoured.
pub(in crate::http) fn strip_at_edge(headers: &mut HeaderMap) {
    let internal: SmallVec<[HeaderName; 4]> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("x-envoy-") || name.starts_with("x-lateen-")
        })
        .cloned()
        .collect();
    for name in internal {
        headers.remove(name);
    }
}

/// What a sidecar takes out of every request: instructions to Envoy that only an internal client may
/// give, and by default nobody counts as one.
const INSTRUCTIONS: [&str; 16] = [
    "expected-rq-timeout-ms",
    "force-trace",
    "hedge-on-per-try-timeout",
    "internal",
    "ip-tags",
    "max-retries",
    "original-url",
    "retriable-header-names",
    "retriable-status-codes",
    "retry-grpc-on",
    "retry-on",
    "upstream-alt-stat-name",
    "upstream-rq-per-try-timeout-ms",
    "upstream-rq-timeout-alt-response",
    "upstream-rq-timeout-ms",
    "upstream-stream-duration-ms",
];

/// Takes out the instructions that a client gives about retries, timeouts and tracing.
pub(in crate::http) fn strip_instructions(headers: &mut HeaderMap) {
    let given: SmallVec<[HeaderName; 2]> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str().strip_prefix("x-envoy-");
            name.is_some_and(|name| INSTRUCTIONS.binary_search(&name).is_ok())
        })
        .cloned()
        .collect();
    for name in given {
        headers.remove(name);
    }
}
