//! Secret.

use std::collections::BTreeMap;

use crate::message::{Bytes, SecretText, message};

message! {
    /// Keys and certificates by key.
    pub struct Secret {
        /// Bytes by key.
        data: BTreeMap<String, Bytes>, honoured;
        /// Text by key, which the API server puts into `data`.
        string_data: BTreeMap<String, SecretText>, honoured;
        /// What kind of secret it is, `kubernetes.io/tls`.
        r#type: String, inert;
        /// Whether it never changes.
        immutable: Option<bool>, inert;
    }
}

impl Secret {
    /// The bytes under a key, from either field; text wins, as it does in the API server.
    pub fn bytes(&self, key: &str) -> Option<&[u8]> {
        let text = self.string_data.get(key).map(|text| text.0.as_bytes());
        text.or_else(|| self.data.get(key).map(|bytes| bytes.0.as_slice()))
    }
}
