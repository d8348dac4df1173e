//! Namespace: its labels and annotations are what a mesh reads.

use crate::message::message;

message! {
    /// A namespace.
    pub struct Namespace: open {
        /// Where it is in its life.
        status: Option<NamespaceStatus>, inert;
    }

    /// Where a namespace is in its life.
    pub struct NamespaceStatus: open {
        /// Active or Terminating.
        phase: String, inert;
    }
}
