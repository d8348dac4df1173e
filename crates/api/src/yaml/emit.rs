//! JSON to YAML as people write it: block style, keys in alphabetical order, quotes where a reader
//! would take text for something else.

use std::fmt::Write as _;

use serde_json::Value as Json;

/// The value as one YAML document, with a line break at its end.
pub fn emit(value: &Json) -> String {
    let mut out = String::new();
    match value {
        Json::Object(map) if !map.is_empty() => mapping(&mut out, map, 0),
        Json::Array(items) if !items.is_empty() => sequence(&mut out, items, 0),
        other => scalar(&mut out, other, 2),
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

fn mapping(out: &mut String, map: &serde_json::Map<String, Json>, indent: usize) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        text(out, key, None);
        out.push(':');
        match value {
            Json::Object(map) if !map.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                mapping(out, map, indent + 2);
            }
            Json::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(out, indent);
                sequence(out, items, indent);
            }
            other => {
                out.push(' ');
                scalar(out, other, indent + 2);
                end_line(out);
            }
        }
    }
}

fn sequence(out: &mut String, items: &[Json], indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Json::Object(map) if !map.is_empty() => mapping(out, map, indent + 2),
            Json::Array(items) if !items.is_empty() => sequence(out, items, indent + 2),
            other => {
                scalar(out, other, indent + 2);
                end_line(out);
            }
        }
    }
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Json, indent: usize) {
    match value {
        Json::String(value) => text(out, value, Some(indent)),
        Json::Object(_) => out.push_str("{}"),
        Json::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

/// Text: plain where it stays text, as a block where it has several lines and stands under a key, else
/// in quotes. `indent` is that of a block's lines; a key has none.
fn text(out: &mut String, value: &str, indent: Option<usize>) {
    match indent {
        Some(indent) if fits_block(value) => block(out, value, indent),
        _ if is_plain(value) => out.push_str(value),
        _ => quoted(out, value),
    }
}

/// JSON's quoted text is YAML's as well, but for characters that YAML wants to be escaped.
fn quoted(out: &mut String, value: &str) {
    for c in Json::from(value).to_string().chars() {
        if is_invisible(c) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
}

/// Control characters, the byte order mark, and Unicode's line breaks.
fn is_invisible(c: char) -> bool {
    c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn fits_block(value: &str) -> bool {
    value.trim_end_matches('\n').contains('\n')
        && !value.starts_with([' ', '\n', '\t'])
        && value.chars().all(|c| c == '\n' || !is_invisible(c))
}

fn block(out: &mut String, value: &str, indent: usize) {
    let body = value.trim_end_matches('\n');
    out.push_str(match value.len() - body.len() {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Whether a reader of YAML 1.1 or 1.2 takes the bare text for the same text.
fn is_plain(value: &str) -> bool {
    const WORDS: [&str; 11] =
        ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "~", "="];
    let first = |c: char| c.is_ascii_alphabetic() || c == '/' || c == '_' || c == '$' || c == '(';
    value.starts_with(first)
        && !value.ends_with([' ', ':'])
        && !value.contains(is_invisible)
        && !value.contains(": ")
        && !value.contains(" #")
        && !WORDS.contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::message::to_json;

    fn back(text: &str) -> Json {
        let mut documents = super::super::documents(text);
        assert_eq!(documents.len(), 1, "{text}");
        to_json(&documents.remove(0).unwrap_or_else(|error| panic!("{error:?} in {text}")))
    }

    #[test]
    fn it_reads_as_people_write_it() {
        let value = json!({
            "kind": "ConfigMap",
            "data": {"script": "one\ntwo\n", "empty": "", "yes": "yes", "port": "80"},
            "list": [{"a": 1, "b": []}, [true, null], "x: y"],
            "none": {},
        });
        let wanted = "\
data:
  empty: \"\"
  port: \"80\"
  script: |
    one
    two
  \"yes\": \"yes\"
kind: ConfigMap
list:
- a: 1
  b: []
- - true
  - null
- \"x: y\"
none: {}
";
        assert_eq!(emit(&value), wanted);
        assert_eq!(back(wanted), value);
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let text = prop_oneof!["[ -~]{0,12}", "[a-z:#\\- \\n]{0,16}", any::<String>()];
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            (-1_000_000_i64..1_000_000).prop_map(Json::from),
            text.prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            let key = prop_oneof!["[ -~]{1,8}", "[a-z]{1,6}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::btree_map(key, inner, 0..6)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_json()) {
            // A text that is nothing but null counts as an empty one.
            prop_assume!(!value.is_null());
            prop_assert_eq!(back(&emit(&value)), value);
        }
    }
}
