//! A resource as bytes, with its version.

use bytes::Bytes;
use prost::Message;
use xxhash_rust::xxh3::xxh3_128;

use crate::v1::Resource;

/// The version of a resource on the wire: a hash of its bytes, so that equal bytes are known
/// wherever they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u128);

impl Version {
    /// The version of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// Reads the hexadecimal form; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The bytes of one resource, shared by reference between all who receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The protobuf form of a [`Resource`].
    pub bytes: Bytes,
    /// The hash of `bytes`.
    pub version: Version,
}

impl Encoded {
    /// Encodes a resource. Maps are ordered, so that equal resources have equal bytes.
    #[must_use]
    pub fn new(resource: &Resource) -> Self {
        let bytes: Bytes = resource.encode_to_vec().into();
        Self { version: Version::of(&bytes), bytes }
    }

    /// Reads the resource back.
    ///
    /// # Errors
    /// When the bytes are no `Resource`.
    pub fn decode(&self) -> Result<Resource, prost::DecodeError> {
        Resource::decode(self.bytes.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Settings, resource::Body};

    #[test]
    fn versions_follow_the_bytes() {
        let named = |name: &str| Resource {
            objects: Vec::new(),
            body: Some(Body::Settings(Settings {
                namespace: name.to_owned(),
                ..Settings::default()
            })),
        };
        let (one, same, other) =
            (Encoded::new(&named("a")), Encoded::new(&named("a")), Encoded::new(&named("b")));
        assert_eq!(one.version, same.version);
        assert_ne!(one.version, other.version);
        assert_eq!(Version::parse(&one.version.to_string()), Some(one.version));
        assert_eq!(one.decode().unwrap(), named("a"));
    }
}
