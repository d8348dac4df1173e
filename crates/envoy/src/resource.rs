//! A resource as bytes.

use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::encoded::Version;

/// One Envoy resource. Whoever lowers it, the same one is there once ([`crate::Pool::resource`]).
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// Its name on the stream.
    pub name: Arc<str>,
    /// The hash of `body`.
    pub version: Version,
    /// `version` as it is on the wire.
    pub version_text: Arc<str>,
    /// The message of its kind; the type URL is the kind's ([`crate::Kind::type_url`]).
    pub body: Bytes,
}

impl Resource {
    /// A resource of this name whose message has these bytes.
    #[must_use]
    pub fn new(name: Arc<str>, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let version = Version::of(&body);
        Self { name, version, version_text: version.to_string().into(), body }
    }
}
