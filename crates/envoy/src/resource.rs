//! A resource as bytes.

use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::encoded::Version;

/// One Envoy resource, cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name on the stream.
    pub name: Arc<str>,
    /// The hash of `body`.
    pub version: Version,
    /// The message of its kind; the type URL is the kind's ([`crate::Kind::type_url`]).
    pub body: Bytes,
}
