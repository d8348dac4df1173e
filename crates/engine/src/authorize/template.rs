//! URI templates: `{*}` is one segment, `{**}` any rest, both of the characters that Envoy takes for
//! those of a path (RFC 3986's `pchar`).

use regex::Regex;

use crate::route::whole;

/// What may stand in a segment.
const SEGMENT: &str = "a-zA-Z0-9\\-._~%!$&'()*+,;:@=";

/// The template as an expression over the whole path.
///
/// # Errors
/// For any other use of braces.
pub(super) fn compile(template: &str) -> Result<Regex, String> {
    let mut pattern = String::new();
    let mut rest = template;
    while let Some((literal, operator)) = rest.split_once('{') {
        pattern.push_str(&regex::escape(literal));
        let (name, after) = operator
            .split_once('}')
            .ok_or_else(|| format!("path template {template:?}: a brace is not closed"))?;
        pattern.push_str(&match name {
            "*" => format!("[{SEGMENT}]+"),
            "**" => format!("[{SEGMENT}/]*"),
            _ => return Err(format!("path template {template:?}: {{{name}}} is no operator")),
        });
        rest = after;
    }
    pattern.push_str(&regex::escape(rest));
    whole(&pattern, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_match_as_istio_documents() {
        for (template, path, expected) in [
            ("/allow/admin/{**}", "/allow/admin/", true),
            ("/allow/admin/{**}", "/allow/admin", false),
            ("/allow/admin/{**}", "/allow/admin/foo/temp.txt", true),
            ("/foo/{*}/bar/{**}", "/foo/buzz/bar/bat/fuzz.txt", true),
            ("/foo/{*}/bar/{**}", "/foo/bar/bat.txt", false),
            ("/foo/{*}/bar/{**}", "/foo//bar/bat.txt", false),
            ("/foo/{*}/bar/{**}", "/foo/a/b/bar/bat.txt", false),
            ("/store/{**}/cart", "/store//cart", true),
            ("/store/{**}/cart", "/store/cart", false),
            ("/store/{**}/cart", "/store/foo/bar/cart", true),
            ("/a.b/{*}", "/aXb/c", false),
            ("/a/{*}", "/a/b=*@%2F", true),
            ("/a/{*}", "/a/b[0]", false),
            ("/a/{**}", "/a/b[0]", false),
        ] {
            let matched = compile(template).expect("template").is_match(path);
            assert_eq!(matched, expected, "{template} {path}");
        }
        assert!(compile("/a/{name}").is_err());
        assert!(compile("/a/{*").is_err());
    }
}
