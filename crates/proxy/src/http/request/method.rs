//! Methods that a request may have.

use http::Method;

/// Whether a request over HTTP/1 may have this method: those that Envoy's codec knows.
pub(super) fn is_known(method: &Method) -> bool {
    const OTHERS: [&str; 26] = [
        "ACL",
        "BIND",
        "CHECKOUT",
        "COPY",
        "LINK",
        "LOCK",
        "MERGE",
        "MKACTIVITY",
        "MKCALENDAR",
        "MKCOL",
        "MOVE",
        "MSEARCH",
        "NOTIFY",
        "PROPFIND",
        "PROPPATCH",
        "PURGE",
        "REBIND",
        "REPORT",
        "SEARCH",
        "SOURCE",
        "SUBSCRIBE",
        "UNBIND",
        "UNLINK",
        "UNLOCK",
        "UNSUBSCRIBE",
        "TRACE",
    ];
    matches!(
        *method,
        Method::GET
            | Method::POST
            | Method::PUT
            | Method::DELETE
            | Method::HEAD
            | Method::OPTIONS
            | Method::PATCH
    ) || OTHERS.contains(&method.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_no_codec_of_envoy_knows_are_none() {
        for (method, known) in [
            ("GET", true),
            ("TRACE", true),
            ("PURGE", true),
            ("get", false),
            ("GETX", false),
            ("BREW", false),
            ("M-SEARCH", false),
        ] {
            assert_eq!(is_known(&Method::try_from(method).unwrap()), known, "{method}");
        }
    }
}
