//! How scalars, lists and maps are decoded.

use std::collections::BTreeMap;
use std::num::TryFromIntError;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jiff::Timestamp;
use serde_json::{Map, Value as Json};

use crate::duration::Duration;
use crate::message::{Decode, Decoder, Shape};
use crate::value::{Node, Value};

/// Raw bytes, which text carries in base64.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Bytes(pub Vec<u8>);

/// Only the length is shown: these are mostly keys.
impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

/// Text that is not shown when a message is printed for debugging.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretText(pub String);

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretText({} bytes)", self.0.len())
    }
}

impl Decode for SecretText {
    fn shape() -> Shape {
        Shape::String
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let text = node.as_str().map(|text| SecretText(text.to_owned()));
        if text.is_none() {
            decoder.bad_value(node, "expected text; quote it");
        }
        text
    }
}

/// Kubernetes' IntOrString: a port by number or by name, a count or a percentage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// Text.
    String(String),
}

/// Any JSON object (`google.protobuf.Struct`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Struct(pub Map<String, Json>);

/// Any JSON value, for parts that Lateen does not look into.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Any(pub Json);

impl Decode for Any {
    fn shape() -> Shape {
        Shape::Any
    }

    fn decode(node: &Node, _: &mut Decoder) -> Option<Self> {
        Some(Any(to_json(node)))
    }
}

impl Decode for String {
    fn shape() -> Shape {
        Shape::String
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => {
                let found = node.value.describe();
                decoder.bad_value(node, format!("expected text, found {found}; quote it"));
                None
            }
            _ => {
                decoder.expected(node, "text");
                None
            }
        }
    }
}

impl Decode for bool {
    const IS_PLAIN: bool = true;

    fn shape() -> Shape {
        Shape::Bool
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        decoder.expected(node, "true or false");
        None
    }
}

/// An integer as protobuf's JSON form has it: a number, a number in quotes, or a number such as
/// `1e3` that is whole.
fn integer<T>(node: &Node, decoder: &mut Decoder) -> Option<T>
where
    T: TryFrom<i64, Error = TryFromIntError> + Into<i128> + Copy + Bounded,
{
    let parsed = match &node.value {
        Value::Number(text) | Value::String(text) => parse_integer(text),
        _ => None,
    };
    let in_range = parsed.and_then(|number| T::try_from(number).ok());
    if in_range.is_none() {
        let (min, max) = (T::MIN.into(), T::MAX.into());
        decoder.expected(node, &format!("a whole number from {min} to {max}"));
    }
    in_range
}

fn parse_integer(text: &str) -> Option<i64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok();
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return i64::from_str_radix(octal, 8).ok();
    }
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let float: f64 = text.parse().ok()?;
    let exact = float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
    exact.then_some(float as i64)
}

trait Bounded {
    const MIN: Self;
    const MAX: Self;
}

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl Bounded for $type {
            const MIN: Self = $type::MIN;
            const MAX: Self = $type::MAX;
        }

        impl Decode for $type {
            const IS_PLAIN: bool = true;

            fn shape() -> Shape {
                Shape::Integer { min: i64::from($type::MIN), max: i64::from($type::MAX) }
            }

            fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
                integer(node, decoder)
            }
        }
    )*};
}

integers!(i32, u32);

impl Decode for u64 {
    const IS_PLAIN: bool = true;

    fn shape() -> Shape {
        Shape::Integer { min: 0, max: i64::MAX }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let parsed = match &node.value {
            Value::Number(text) | Value::String(text) => parse_integer(text),
            _ => None,
        };
        let number = parsed.and_then(|number| u64::try_from(number).ok());
        if number.is_none() {
            decoder.expected(node, "a whole number from 0");
        }
        number
    }
}

impl Decode for i64 {
    const IS_PLAIN: bool = true;

    fn shape() -> Shape {
        Shape::Integer { min: i64::MIN, max: i64::MAX }
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let parsed = match &node.value {
            Value::Number(text) | Value::String(text) => parse_integer(text),
            _ => None,
        };
        if parsed.is_none() {
            decoder.expected(node, "a whole number");
        }
        parsed
    }
}

impl Decode for f64 {
    const IS_PLAIN: bool = true;

    fn shape() -> Shape {
        Shape::Float
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let parsed = match &node.value {
            Value::Number(text) | Value::String(text) => parse_float(text),
            _ => None,
        };
        if parsed.is_none() {
            decoder.expected(node, "a number");
        }
        parsed
    }
}

/// A finite number.
fn parse_float(text: &str) -> Option<f64> {
    if let Some(whole) = parse_integer(text) {
        #[expect(clippy::cast_precision_loss, reason = "a float is as precise as it can be")]
        return Some(whole as f64);
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

impl Decode for Duration {
    fn shape() -> Shape {
        Shape::Duration
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let parsed = node.as_str().and_then(Duration::parse);
        if parsed.is_none() {
            decoder.expected(node, "a duration such as `1.5s`, `100ms` or `1h`");
        }
        parsed
    }
}

impl Decode for Timestamp {
    fn shape() -> Shape {
        Shape::Timestamp
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let parsed = node.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            decoder.expected(node, "a time such as `2024-05-01T12:00:00Z`");
        }
        parsed
    }
}

impl Decode for Bytes {
    fn shape() -> Shape {
        Shape::Bytes
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let decoded = node.as_str().and_then(base64_decode);
        if decoded.is_none() {
            decoder.bad_value(node, "expected bytes in base64");
        }
        decoded.map(Bytes)
    }
}

/// Base64 in either alphabet, with or without padding; white space is skipped, as `base64` breaks
/// lines.
fn base64_decode(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let digits: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    LENIENT.decode(digits).ok()
}

impl Decode for IntOrString {
    fn shape() -> Shape {
        Shape::IntOrString
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match &node.value {
            Value::Number(_) => i32::decode(node, decoder).map(IntOrString::Int),
            Value::String(text) => Some(IntOrString::String(text.clone())),
            _ => {
                decoder.expected(node, "a number or text");
                None
            }
        }
    }
}

impl Decode for Struct {
    fn shape() -> Shape {
        Shape::Struct
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        match to_json(node) {
            Json::Object(map) => Some(Struct(map)),
            _ => {
                decoder.expected(node, "a mapping");
                None
            }
        }
    }
}

/// The node as plain JSON. A number that JSON cannot hold stays text.
pub(crate) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(text) => match (parse_integer(text), parse_float(text)) {
            (Some(whole), _) => Json::from(whole),
            (None, Some(float)) => Json::from(float),
            (None, None) => Json::from(text.as_str()),
        },
        Value::String(text) => Json::from(text.as_str()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => Json::Object(
            entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value))).collect(),
        ),
    }
}

/// A field that may be unset: a wrapper type, a message, or a scalar with presence.
impl<T: Decode> Decode for Option<T> {
    const IS_NULLABLE: bool = T::IS_PLAIN;

    fn shape() -> Shape {
        T::shape()
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        T::decode(node, decoder).map(Some)
    }
}

impl<T: Decode> Decode for Box<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        T::decode(node, decoder).map(Box::new)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn shape() -> Shape {
        Shape::List(T::shape)
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Value::List(items) = &node.value else {
            decoder.expected(node, "a list");
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            list.extend(decoder.index(index, item.position, |decoder| T::decode(item, decoder)));
        }
        Some(list)
    }
}

impl<T: Decode> Decode for BTreeMap<String, T> {
    fn shape() -> Shape {
        Shape::Map(T::shape)
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            decoder.expected(node, "a mapping");
            return None;
        };
        let mut map = BTreeMap::new();
        for entry in entries {
            let value = decoder.key(entry, |decoder| T::decode(&entry.value, decoder));
            map.extend(value.map(|value| (entry.key.clone(), value)));
        }
        Some(map)
    }
}

impl<T: Decode> Decode for BTreeMap<u32, T> {
    fn shape() -> Shape {
        Shape::Map(T::shape)
    }

    fn decode(node: &Node, decoder: &mut Decoder) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            decoder.expected(node, "a mapping");
            return None;
        };
        let mut map = BTreeMap::new();
        for entry in entries {
            decoder.key(entry, |decoder| {
                let Ok(key) = entry.key.parse::<u32>() else {
                    let key = &entry.key;
                    decoder.bad_value(&entry.value, format!("the key `{key}` is not a number"));
                    return;
                };
                map.extend(T::decode(&entry.value, decoder).map(|value| (key, value)));
            });
        }
        Some(map)
    }
}
