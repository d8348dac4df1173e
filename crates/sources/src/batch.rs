//! What a source says.

use std::sync::Arc;

use lateen_api::{Diagnostic, Object, ObjectRef};

/// Something that happened to one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// The object is new, or means something else than before.
    Upsert(Arc<Object>),
    /// The object is gone.
    Remove(ObjectRef),
}

impl Change {
    /// Which object it is about.
    pub fn reference(&self) -> ObjectRef {
        match self {
            Self::Upsert(object) => object.reference(),
            Self::Remove(reference) => reference.clone(),
        }
    }
}

/// Changes that were made together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What came, changed or went; at most one change for an object, removals first.
    pub changes: Vec<Change>,
    /// Objects whose text changed but not their meaning: the lines of their fields may be others.
    /// For those who print where something was written; a compiler need not look at them.
    pub relocated: Vec<Arc<Object>>,
    /// Everything that is to be said at this moment, not only about what changed.
    pub diagnostics: Vec<Diagnostic>,
    /// Whether this is the first batch, which holds everything that there is.
    pub initial: bool,
}
