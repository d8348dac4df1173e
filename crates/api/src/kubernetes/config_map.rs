//! ConfigMap.

use std::collections::BTreeMap;

use crate::message::{Bytes, message};

message! {
    /// Settings by key.
    pub struct ConfigMap {
        /// Text by key.
        data: BTreeMap<String, String>, honoured;
        /// Bytes by key.
        binary_data: BTreeMap<String, Bytes>, inert;
        /// Whether it never changes.
        immutable: Option<bool>, inert;
    }
}
