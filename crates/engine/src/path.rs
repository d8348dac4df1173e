//! Normalising paths before anything matches them.
//!
//! What a policy allows by path must be what the application reads, so this follows Envoy's
//! `normalize_path` (RFC 3986, and backslashes count as slashes) and its two further settings,
//! as Istio's `pathNormalization` selects them. Only the path is touched, never the query; a
//! fragment is cut off.

use std::borrow::Cow;

use lateen_mesh::v1::PathNormalization;

/// The path without query and fragment.
#[must_use]
pub fn without_query(path_and_query: &str) -> &str {
    let end = path_and_query.find(['?', '#']).unwrap_or(path_and_query.len());
    &path_and_query[..end]
}

/// The normalised path and query; `None` for a path that must be refused (a NUL in it).
#[must_use]
pub fn normalize(
    path_and_query: &str,
    normalization: PathNormalization,
    merge_slashes: bool,
) -> Option<Cow<'_, str>> {
    let target = path_and_query.split('#').next().unwrap_or("");
    let path = without_query(target);
    // `*` and the authority of a CONNECT are no paths.
    if normalization == PathNormalization::None || !path.starts_with(['/', '\\']) {
        return Some(Cow::Borrowed(target));
    }
    let (unescape, merge) = match normalization {
        PathNormalization::Base | PathNormalization::None => (false, merge_slashes),
        PathNormalization::MergeSlashes => (false, true),
        PathNormalization::DecodeAndMergeSlashes => (true, true),
    };
    if is_normal(path, merge) {
        return Some(Cow::Borrowed(target));
    }
    let slashes = if unescape { unescape_slashes(path) } else { Cow::Borrowed(path) };
    let mut out = canonical(&slashes)?;
    if merge {
        merge_runs_of_slashes(&mut out);
    }
    out.push_str(&target[path.len()..]);
    Some(Cow::Owned(out))
}

/// Whether none of the steps would change anything; the case of nearly every request.
fn is_normal(path: &str, merge: bool) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().all(|(index, byte)| {
        let before = index.checked_sub(1).and_then(|before| bytes.get(before));
        match byte {
            b'%' | b'\\' => false,
            b'.' => before != Some(&b'/'),
            b'/' => !merge || before != Some(&b'/'),
            byte => !must_be_escaped(*byte),
        }
    })
}

fn unescape_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let decoded = path.replace("%2F", "/").replace("%2f", "/");
    Cow::Owned(decoded.replace("%5C", "\\").replace("%5c", "\\"))
}

/// Decodes what need not be escaped, escapes what must be, turns backslashes around and resolves
/// `.` and `..`.
fn canonical(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len() + 8);
    let bytes = path.as_bytes();
    let mut index = 0;
    // Where the last `%` went that began no escape.
    let mut stray = None;
    while let Some(byte) = bytes.get(index) {
        let (step, decoded) = match (byte, escaped(bytes, index)) {
            (b'%', Some(0)) | (0, _) => return None,
            (b'%', Some(value)) if is_unreserved(value) => (3, value),
            (b'%', Some(_)) => {
                out.extend_from_slice(&bytes[index..index + 3]);
                index += 3;
                continue;
            }
            (b'%', None) => {
                stray = Some(out.len());
                (1, b'%')
            }
            (byte, _) => (1, *byte),
        };
        match decoded {
            b'/' | b'\\' => {
                push_slash(&mut out);
                stray = None;
            }
            // `..;x=1` is `..` to Envoy and to some servers: what follows in the segment is dropped.
            // To Envoy only dots that are written as such have parameters.
            b';' if ends_in_dots(&out).is_some() && ends_in_dots(&bytes[..index]).is_some() => {
                index += end_of_segment(&bytes[index..]);
                continue;
            }
            byte if must_be_escaped(byte) => {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            byte => out.push(byte),
        }
        index += step;
        // What was decoded must not complete an escape that was none: `%%32e` is not `%2e`.
        if let Some(percent) = stray.filter(|percent| escaped(&out, *percent).is_some()) {
            out.splice(percent + 1..percent + 1, *b"25");
            stray = None;
        }
    }
    if ends_in_dots(&out).is_some() {
        push_slash(&mut out);
    }
    String::from_utf8(out).ok()
}

/// Ends a segment: `.` disappears, `..` takes the segment before with it.
fn push_slash(out: &mut Vec<u8>) {
    match ends_in_dots(out) {
        None => out.push(b'/'),
        Some(1) => out.truncate(out.len() - 1),
        Some(_) => {
            out.truncate(out.len() - 3);
            let parent = out.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            out.truncate(parent);
            if out.is_empty() {
                out.push(b'/');
            }
        }
    }
}

/// How many bytes there are before the next slash.
fn end_of_segment(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| matches!(byte, b'/' | b'\\')).unwrap_or(bytes.len())
}

/// Whether the last segment is `.` (1) or `..` (2).
fn ends_in_dots(out: &[u8]) -> Option<usize> {
    if out.ends_with(b"/..") {
        Some(2)
    } else if out.ends_with(b"/.") {
        Some(1)
    } else {
        None
    }
}

/// The byte that an escape at this index stands for.
fn escaped(bytes: &[u8], index: usize) -> Option<u8> {
    let [high, low] = bytes.get(index + 1..index + 3)? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
    Some(digit(*high)? << 4 | digit(*low)?)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const fn must_be_escaped(byte: u8) -> bool {
    byte <= b' '
        || byte >= 0x7f
        || matches!(byte, b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
}

fn merge_runs_of_slashes(path: &mut String) {
    if !path.contains("//") {
        return;
    }
    if path.bytes().all(|byte| byte == b'/') {
        // Envoy keeps the first and the last of them.
        path.truncate(2);
        return;
    }
    let mut before = '\0';
    path.retain(|next| {
        let kept = next != '/' || before != '/';
        before = next;
        kept
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_as_envoy_does() {
        use PathNormalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        for (normalization, path, expected) in [
            (Base, "/public", "/public"),
            (Base, "/", "/"),
            (Base, "/public/../private", "/private"),
            (Base, "/public/./../private", "/private"),
            (Base, "/public/.././private", "/private"),
            (Base, "/public/%2E%2e/private", "/private"),
            (Base, "/public/%2e/%2E%2E/private", "/private"),
            (Base, "/../../a", "/a"),
            (Base, "/a/..", "/"),
            (Base, "/a/.", "/a/"),
            (Base, "/a/b/..", "/a/"),
            (Base, "/a//../b", "/a/b"),
            (Base, "/a/...", "/a/..."),
            (Base, "/a/.hidden", "/a/.hidden"),
            (Base, "/a//b", "/a//b"),
            (Base, "/a\\b\\..\\c", "/a/c"),
            (Base, "/%41%62?x=%41/../b", "/Ab?x=%41/../b"),
            (Base, "/a%2fb%5cc", "/a%2fb%5cc"),
            (Base, "/a%zz%2", "/a%zz%2"),
            (Base, "/%%32e%%32%65/x", "/%252e%252e/x"),
            (Base, "/%/../%2fa", "/%2fa"),
            (Base, "/a{b}", "/a%7Bb%7D"),
            (Base, "/a|b^c~d[e]", "/a%7Cb%5Ec~d[e]"),
            (Base, "/.;x=1", "/"),
            (Base, "/x/..;/secret", "/secret"),
            (Base, "/..;/secret", "/secret"),
            (Base, "/.;/secret", "/secret"),
            (Base, "/a/b/..;q=1/c", "/a/c"),
            (Base, "/a/b/%2e%2E;q=1/c", "/a/b/..;q=1/c"),
            (Base, "/a/b/.%2e;q/c", "/a/b/..;q/c"),
            (Base, "/a/b/..;c\\d", "/a/d"),
            (Base, "/a/b/.;../c", "/a/b/c"),
            (Base, "/a/b/..;%2f/c", "/a/c"),
            (Base, "/a/b/..;a/../c", "/c"),
            (Base, "/a/b/..;?q=1", "/a/?q=1"),
            (Base, "/a/b/..%3bx/c", "/a/b/..%3bx/c"),
            (Base, "/a/.x;/b", "/a/.x;/b"),
            (Base, "/a/...;/b", "/a/...;/b"),
            (Base, "/a;x/../b", "/b"),
            (DecodeAndMergeSlashes, "/a/b/..;%2f/c", "/a/c"),
            (None, "/a/..;/b", "/a/..;/b"),
            (Base, "/a?b#c", "/a?b"),
            (Base, "/a#b?c", "/a"),
            (Base, "*", "*"),
            (Base, "host:443", "host:443"),
            (Base, "", ""),
            (MergeSlashes, "/a//b///c?d//e", "/a/b/c?d//e"),
            (MergeSlashes, "//a/..//b", "/b"),
            (MergeSlashes, "///", "//"),
            (MergeSlashes, "//a//", "/a/"),
            (DecodeAndMergeSlashes, "/a%2Fb%5Cc/%2f/d", "/a/b/c/d"),
            (DecodeAndMergeSlashes, "/a%2f..%2fb", "/b"),
            (None, "/a/../%41//b", "/a/../%41//b"),
        ] {
            assert_eq!(
                normalize(path, normalization, false).as_deref(),
                Some(expected),
                "{path} {normalization:?}"
            );
        }
        assert_eq!(normalize("/a%00b", Base, false), Option::None);
        assert_eq!(normalize("/a//b", Base, true).as_deref(), Some("/a/b"));
        assert!(matches!(normalize("/a/b.c?d", Base, true), Some(Cow::Borrowed(_))));
    }
}
