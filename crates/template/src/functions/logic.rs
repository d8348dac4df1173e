//! Defaults, choices and refusals.

use serde_json::Value;

use super::Entry;
use super::arguments::{exactly, one_or_more, string, to_string};
use super::semver;
use crate::value::{is_true, kind};

pub(super) const TABLE: &[Entry] = &[
    ("default", |arguments| match one_or_more(arguments)? {
        (default, [given]) if !is_true(given) => Ok(default.clone()),
        (_, [given]) => Ok((*given).clone()),
        (default, []) => Ok(default.clone()),
        (_, more) => Err(format!("wrong number of args: want 2 got {}", more.len() + 1)),
    }),
    ("empty", |arguments| exactly::<1>(arguments).map(|[value]| Value::Bool(!is_true(value)))),
    ("coalesce", |arguments| {
        Ok(arguments
            .iter()
            .find(|value| is_true(value))
            .map_or(Value::Null, |found| (*found).clone()))
    }),
    ("all", |arguments| Ok(Value::Bool(arguments.iter().all(|value| is_true(value))))),
    ("any", |arguments| Ok(Value::Bool(arguments.iter().any(|value| is_true(value))))),
    ("ternary", |arguments| {
        let [yes, no, condition] = exactly(arguments)?;
        let condition = condition.as_bool().ok_or_else(|| {
            format!("wrong type for value; expected bool; got {}", kind(condition))
        })?;
        Ok(if condition { yes } else { no }.clone())
    }),
    ("required", |arguments| {
        let [message, value] = exactly(arguments)?;
        if value.is_null() || value.as_str() == Some("") {
            return Err(string(message)?.to_owned());
        }
        Ok(value.clone())
    }),
    ("fail", |arguments| {
        let [message] = exactly(arguments)?;
        Err(to_string(message))
    }),
    ("kindOf", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(kind(value)))),
    ("kindIs", |arguments| {
        let [expected, value] = exactly(arguments)?;
        Ok(Value::Bool(string(expected)? == kind(value)))
    }),
    ("deepEqual", |arguments| {
        let [left, right] = exactly(arguments)?;
        Ok(Value::Bool(left == right))
    }),
    ("semverCompare", |arguments| {
        let [constraint, version] = exactly(arguments)?;
        semver::matches(string(constraint)?, string(version)?).map(Value::Bool)
    }),
];
