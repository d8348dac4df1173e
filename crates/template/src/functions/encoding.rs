//! Values as JSON, YAML, base64 and digests.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::arguments::{exactly, to_string};
use super::{Entry, yaml};
use crate::value::sorted;

pub(super) const TABLE: &[Entry] = &[
    ("toYaml", |arguments| {
        exactly::<1>(arguments).map(|[value]| Value::String(yaml::write(value)))
    }),
    ("toJson", to_json),
    ("mustToJson", to_json),
    ("toPrettyJson", |arguments| {
        let [value] = exactly(arguments)?;
        serde_json::to_string_pretty(&ordered(value))
            .map(Value::String)
            .map_err(|error| error.to_string())
    }),
    ("fromJson", from_json),
    ("mustFromJson", from_json),
    ("b64enc", |arguments| {
        exactly::<1>(arguments).map(|[value]| Value::String(STANDARD.encode(to_string(value))))
    }),
    ("b64dec", |arguments| {
        let [value] = exactly(arguments)?;
        let bytes = STANDARD.decode(to_string(value)).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map(Value::String).map_err(|error| error.to_string())
    }),
    ("sha1sum", |arguments| {
        exactly(arguments).map(|[value]| sum(&SHA1_FOR_LEGACY_USE_ONLY, value))
    }),
    ("sha256sum", |arguments| exactly(arguments).map(|[value]| sum(&SHA256, value))),
    ("sha512sum", |arguments| exactly(arguments).map(|[value]| sum(&SHA512, value))),
];

fn to_json(arguments: &[&Value]) -> Result<Value, String> {
    let [value] = exactly(arguments)?;
    serde_json::to_string(&ordered(value)).map(Value::String).map_err(|error| error.to_string())
}

fn from_json(arguments: &[&Value]) -> Result<Value, String> {
    let [value] = exactly(arguments)?;
    serde_json::from_str(&to_string(value)).map_err(|error| error.to_string())
}

/// A value whose maps are in the order of their keys.
fn ordered(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(ordered).collect(),
        Value::Object(fields) => Value::Object(
            sorted(fields).into_iter().map(|(key, value)| (key.clone(), ordered(value))).collect(),
        ),
        plain => plain.clone(),
    }
}

fn sum(algorithm: &'static Algorithm, value: &Value) -> Value {
    let digest = digest(algorithm, to_string(value).as_bytes());
    Value::String(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}
