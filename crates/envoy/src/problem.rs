//! What cannot be said in Envoy's language.

/// Something in the model that Envoy is not told, or only in part.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The user's object as `<kind> <namespace>/<name>`; empty: a default of the mesh.
    pub object: String,
    /// Path inside the object, such as `spec.http[2].match[0]`.
    pub field: String,
    /// What becomes of it instead, and why.
    pub why: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { object, field, why } = self;
        write!(f, "{object} {field}: {why}")
    }
}
