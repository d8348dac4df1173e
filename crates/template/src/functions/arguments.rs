//! What functions ask of their arguments.

use serde_json::{Map, Value};

use crate::value::{kind, text};

/// Exactly `N` arguments.
pub(super) fn exactly<'v, const N: usize>(
    arguments: &[&'v Value],
) -> Result<[&'v Value; N], String> {
    <[&Value; N]>::try_from(arguments)
        .map_err(|_| format!("wrong number of args: want {N} got {}", arguments.len()))
}

/// The first argument and the others.
pub(super) fn one_or_more<'s, 'v>(
    arguments: &'s [&'v Value],
) -> Result<(&'v Value, &'s [&'v Value]), String> {
    arguments
        .split_first()
        .map(|(first, rest)| (*first, rest))
        .ok_or_else(|| "wrong number of args: want at least 1 got 0".to_owned())
}

/// A string.
pub(super) fn string(value: &Value) -> Result<&str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("wrong type for value; expected string; got {}", kind(value)))
}

/// A value as sprig makes a string of it; nil is empty.
pub(super) fn to_string(value: &Value) -> String {
    if value.is_null() { String::new() } else { text(value) }
}

/// A list; nil is an empty one.
pub(super) fn list(value: &Value) -> Result<&[Value], String> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(items) => Ok(items),
        other => Err(format!("wrong type for value; expected a list; got {}", kind(other))),
    }
}

/// A map.
pub(super) fn map(value: &Value) -> Result<&Map<String, Value>, String> {
    value
        .as_object()
        .ok_or_else(|| format!("wrong type for value; expected a map; got {}", kind(value)))
}

/// A whole number, of a number, a numeric string or a truth, as sprig's `int` reads it; what is
/// not a number is 0.
pub(super) fn integer(value: &Value) -> i64 {
    match value {
        Value::Bool(truth) => i64::from(*truth),
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().map(toward_zero)).unwrap_or(0)
        }
        Value::String(text) => text.parse().or_else(|_| text.parse().map(toward_zero)).unwrap_or(0),
        Value::Null | Value::Array(_) | Value::Object(_) => 0,
    }
}

/// The whole part of a float; beyond what an integer can be, the nearest one.
#[expect(clippy::cast_possible_truncation, reason = "saturating and toward zero is what is asked")]
pub(super) fn toward_zero(float: f64) -> i64 {
    float as i64
}

/// A number with fraction, read as [`integer`] reads whole ones.
pub(super) fn float(value: &Value) -> f64 {
    match value {
        Value::Number(number) => number.as_f64().unwrap_or(0.0),
        Value::String(text) => text.parse().unwrap_or(0.0),
        #[expect(clippy::cast_precision_loss, reason = "0 and 1 are exact")]
        other => integer(other) as f64,
    }
}

/// A position or a count, which cannot be negative.
pub(super) fn count(value: &Value) -> Result<usize, String> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        _ => None,
    };
    let Some(number) = number else {
        return Err(format!("cannot index slice/array with type {}", kind(value)));
    };
    usize::try_from(number).map_err(|_| format!("index out of range: {number}"))
}
