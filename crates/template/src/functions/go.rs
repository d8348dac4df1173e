//! The functions of Go's `text/template`.

use std::cmp::Ordering;

use serde_json::Value;

use super::Entry;
use super::arguments::{count, exactly, one_or_more};
use super::format::{print_values, sprintf};
use crate::value::{equal, is_true, kind, order, text};

pub(super) const TABLE: &[Entry] = &[
    ("not", |arguments| exactly::<1>(arguments).map(|[value]| Value::Bool(!is_true(value)))),
    ("eq", |arguments| {
        let (first, rest) = one_or_more(arguments)?;
        if rest.is_empty() {
            return Err("missing argument for comparison".to_owned());
        }
        for other in rest {
            if equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }),
    ("ne", |arguments| {
        let [left, right] = exactly(arguments)?;
        Ok(Value::Bool(!equal(left, right)?))
    }),
    ("lt", |arguments| compare(arguments, Ordering::is_lt)),
    ("le", |arguments| compare(arguments, Ordering::is_le)),
    ("gt", |arguments| compare(arguments, Ordering::is_gt)),
    ("ge", |arguments| compare(arguments, Ordering::is_ge)),
    ("len", |arguments| {
        let [value] = exactly(arguments)?;
        match value {
            Value::String(text) => Ok(Value::from(text.len())),
            Value::Array(items) => Ok(Value::from(items.len())),
            Value::Object(fields) => Ok(Value::from(fields.len())),
            Value::Null => Err("len of nil pointer".to_owned()),
            other => Err(format!("len of type {}", kind(other))),
        }
    }),
    ("index", |arguments| {
        let (first, keys) = one_or_more(arguments)?;
        keys.iter().try_fold(first, |value, key| index(value, key)).cloned()
    }),
    ("slice", slice),
    ("print", |arguments| Ok(Value::String(print_values(arguments)))),
    ("println", |arguments| {
        let words: Vec<String> = arguments.iter().map(|value| text(value)).collect();
        Ok(Value::String(words.join(" ") + "\n"))
    }),
    ("printf", |arguments| {
        let (first, rest) = one_or_more(arguments)?;
        sprintf(super::arguments::string(first)?, rest).map(Value::String)
    }),
    ("html", |arguments| Ok(Value::String(html(&print_values(arguments))))),
    ("urlquery", |arguments| Ok(Value::String(url_query(&print_values(arguments))))),
];

fn compare(arguments: &[&Value], holds: fn(Ordering) -> bool) -> Result<Value, String> {
    let [left, right] = exactly(arguments)?;
    if left.is_boolean() || right.is_boolean() {
        return Err("invalid type for comparison".to_owned());
    }
    order(left, right).map(|ordering| Value::Bool(holds(ordering)))
}

/// One step of `index`.
fn index<'v>(value: &'v Value, key: &Value) -> Result<&'v Value, String> {
    match value {
        Value::Object(fields) => match key {
            Value::String(key) => Ok(fields.get(key).unwrap_or(&Value::Null)),
            other => Err(format!("value has type {}; should be string", kind(other))),
        },
        Value::Array(items) => {
            let at = count(key)?;
            items.get(at).ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::String(_) => Err("an index into the bytes of a string is not supported".to_owned()),
        Value::Null => Err("index of untyped nil".to_owned()),
        other => Err(format!("can't index item of type {}", kind(other))),
    }
}

/// `slice x i j`: of a list or, by bytes, of a string.
fn slice(arguments: &[&Value]) -> Result<Value, String> {
    let (value, bounds) = one_or_more(arguments)?;
    if bounds.len() > 2 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Null => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", kind(other))),
    };
    let from = bounds.first().map_or(Ok(0), |bound| count(bound))?;
    let to = bounds.get(1).map_or(Ok(length), |bound| count(bound))?;
    let out_of_range = || format!("index out of range: {from}:{to}");
    match value {
        Value::String(text) => text.get(from..to).map(Value::from).ok_or_else(out_of_range),
        Value::Array(items) => {
            items.get(from..to).map(|part| Value::Array(part.to_vec())).ok_or_else(out_of_range)
        }
        other => Err(format!("can't slice item of type {}", kind(other))),
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
