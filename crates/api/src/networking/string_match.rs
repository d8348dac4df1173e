//! How text is compared.

use crate::message::{message, oneof};

message! {
    /// How text is compared. Empty means that any value will do.
    pub struct StringMatch {
        /// The comparison.
        match_type: Option<StringMatchType>, oneof;
    }
}

oneof! {
    /// A way to compare text.
    pub enum StringMatchType {
        /// Equal, byte by byte.
        Exact(String) = exact, honoured;
        /// Begins with.
        Prefix(String) = prefix, honoured;
        /// Matches the regular expression as a whole (RE2 syntax).
        Regex(String) = regex, honoured;
    }
}

impl StringMatch {
    /// Whether any value will do: nothing is set, or the regular expression `*`, which Istio reads
    /// so.
    pub fn is_presence(&self) -> bool {
        match &self.match_type {
            None => true,
            Some(StringMatchType::Regex(regex)) => regex == "*",
            Some(StringMatchType::Exact(_) | StringMatchType::Prefix(_)) => false,
        }
    }
}
