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
