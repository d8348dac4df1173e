//! Values as YAML, in the form that Helm's `toYaml` gives them: blocks, keys in order, lists at the
//! indentation of their key.

use std::fmt::Write;

use serde_json::Value;

use crate::value::{number_text, quoted, sorted};

/// A value as YAML, without a newline at its end.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => block(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut out),
        plain => {
            scalar(plain, 0, &mut out);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end_matches('\n').len());
    out
}

/// A map or a list that is not empty, each line indented.
fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (key, value) in sorted(fields) {
                pad(indent, out);
                field(key, value, indent, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                pad(indent, out);
                out.push_str("- ");
                element(item, indent, out);
            }
        }
        plain => scalar(plain, indent, out),
    }
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn field(key: &str, value: &Value, indent: usize, out: &mut String) {
    if is_plain(key) {
        out.push_str(key);
    } else {
        out.push_str(&quoted_yaml(key));
    }
    out.push(':');
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push('\n');
            block(value, indent + 2, out);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            block(value, indent, out);
        }
        plain => {
            out.push(' ');
            scalar(plain, indent + 2, out);
            out.push('\n');
        }
    }
}

/// What follows `- `.
fn element(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (at, (key, value)) in sorted(fields).into_iter().enumerate() {
                if at > 0 {
                    pad(indent + 2, out);
                }
                field(key, value, indent + 2, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    pad(indent + 2, out);
                }
                out.push_str("- ");
                element(item, indent + 2, out);
            }
        }
        plain => {
            scalar(plain, indent + 2, out);
            out.push('\n');
        }
    }
}

fn scalar(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
        Value::String(text) if fits_literal(text) => literal(text, indent, out),
        Value::String(text) if is_plain(text) => out.push_str(text),
        Value::String(text) => out.push_str(&quoted_yaml(text)),
    }
}

/// Whether a text of several lines can be a literal block.
fn fits_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|character| character == '\n' || !character.is_control())
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
}

fn literal(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    let newlines = text.len() - body.len();
    out.push_str(match newlines {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(indent, out);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', newlines.saturating_sub(1)));
}

/// Whether a text means itself without quotes, for every reader of YAML 1.1 and 1.2.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let safe = |character: char| {
        character.is_alphanumeric()
            || matches!(
                character,
                '_' | '-'
                    | '.'
                    | '/'
                    | ' '
                    | ':'
                    | '+'
                    | '='
                    | '('
                    | ')'
                    | '$'
                    | '%'
                    | ';'
                    | '<'
                    | '>'
                    | '~'
                    | '^'
                    | '@'
                    | '#'
                    | ','
                    | '*'
                    | '&'
                    | '!'
                    | '?'
                    | '|'
                    | '\''
                    | '"'
                    | '['
                    | ']'
                    | '{'
                    | '}'
            )
    };
    (first.is_alphabetic() || matches!(first, '_' | '/' | '$' | '(') || first.is_ascii_digit())
        && text.chars().all(safe)
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !means_something_else(text)
}

/// Words that a reader takes for a truth, nil, or a number.
fn means_something_else(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let lower = text.to_ascii_lowercase();
    WORDS.contains(&lower.as_str()) || looks_like_a_number(&lower)
}

/// Numbers in all notations, times such as 1:30 and dates included.
fn looks_like_a_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|character| {
            character.is_ascii_hexdigit()
                || matches!(character, '.' | '_' | '+' | '-' | ':' | 'x' | 'o' | 't' | 'z' | ' ')
        })
}

/// A text in double quotes, with the escapes that YAML and JSON share.
fn quoted_yaml(text: &str) -> String {
    let special = |character: char| {
        character.is_control()
            || matches!(character, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    if !text.contains(special) {
        return quoted(text);
    }
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other if special(other) => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", other as u32);
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
