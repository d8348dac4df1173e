//! Lengths of time, as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A length of time: `250ms`, `2s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parse = |number: &str| number.parse::<u64>().ok();
        let span = match text.strip_suffix("ms") {
            Some(number) => parse(number).map(Duration::from_millis),
            None => text.strip_suffix('s').and_then(parse).map(Duration::from_secs),
        };
        span.map(Self)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is no time like 250ms, 2s")))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}ms", self.0.as_millis()))
    }
}
