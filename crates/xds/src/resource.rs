//! A resource on the stream.

use std::sync::Arc;

use bytes::Bytes;

use crate::wire;

/// A named and versioned body. Cloning shares all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Name, unique among the resources of a type.
    pub name: Arc<str>,
    /// Version; equal versions of a name mean equal bodies.
    pub version: Arc<str>,
    /// The encoded message, of the type that the response says.
    pub body: Bytes,
}

impl From<wire::Resource> for Resource {
    fn from(resource: wire::Resource) -> Self {
        Self {
            name: resource.name.into(),
            version: resource.version.into(),
            body: resource.resource.map(|any| any.value).unwrap_or_default(),
        }
    }
}
