//! Headers that are one, although they may come as several.

use http::{HeaderMap, HeaderValue, header};
use lateen_engine::joined::{REQUEST, join};

/// Makes one header of each that stands there several times and is meant as one. `split_cookies`:
/// they came over HTTP/2, which may split cookies.
pub(in crate::http) fn join_repeated(headers: &mut HeaderMap, split_cookies: bool) {
    if split_cookies {
        join(headers, &header::COOKIE, b"; ");
    }
    for name in &REQUEST {
        join(headers, name, b",");
    }
}

/// Takes out a cookie of HTTP/2 whose pieces amount to nothing: it is none to Envoy.
pub(in crate::http) fn drop_empty_cookie(headers: &mut HeaderMap) {
    if headers.get(header::COOKIE).is_some_and(HeaderValue::is_empty) {
        headers.remove(header::COOKIE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_header_is_joined() {
        let given = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", ""),
            ("x-forwarded-for", "10.0.0.2"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-own", "1"),
            ("x-own", "2"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut over_http2 = headers.clone();
        join_repeated(&mut headers, false);
        join_repeated(&mut over_http2, true);
        let all = |headers: &HeaderMap, name: &str| -> Vec<String> {
            headers.get_all(name).iter().map(|it| it.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(all(&headers, "x-forwarded-for"), ["10.0.0.1,10.0.0.2"]);
        assert_eq!(all(&headers, "cookie"), ["a=1", "b=2"]);
        assert_eq!(all(&headers, "x-own"), ["1", "2"]);
        assert_eq!(all(&over_http2, "cookie"), ["a=1; b=2"]);
        let mut blank = HeaderMap::new();
        blank.append("cookie", HeaderValue::from_static(""));
        drop_empty_cookie(&mut over_http2);
        assert_eq!(all(&over_http2, "cookie"), ["a=1; b=2"]);
        drop_empty_cookie(&mut blank);
        assert!(blank.is_empty());
    }
}
