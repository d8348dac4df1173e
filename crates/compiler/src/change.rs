//! What goes into a compiler, and what it says about it.

use std::sync::Arc;

use lateen_api::diagnostic::Diagnostic;
use lateen_api::object::{Object, ObjectRef};
use lateen_mesh::encoded::Encoded;
use lateen_mesh::name::Name;

use crate::scope::ScopeId;

/// What became of one object.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is new, or different from what it was.
    Upsert(Arc<Object>),
    /// It is gone.
    Remove(ObjectRef),
}

/// For whom an output is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Audience {
    /// All who may see it: no scope influences it.
    Everyone,
    /// The clients of one scope.
    Scope(ScopeId),
}

/// What a batch of changes touched.
#[derive(Debug, Default)]
pub struct Changes {
    /// Outputs that somebody wanted before and that may be different now, sorted. They are computed again when
    /// somebody wants them; where the bytes are equal, the same [`Output`] comes back.
    pub stale: Vec<(Audience, Name)>,
    /// Scopes whose list of roots ([`crate::Compiler::roots`]) may be different now, sorted.
    pub roots: Vec<ScopeId>,
    /// Clients may belong to other scopes now: [`crate::Compiler::scope`] has to be asked again for
    /// each of them.
    pub scopes: bool,
    /// What there is to say about the changed objects, each alone.
    pub diagnostics: Vec<Diagnostic>,
}

/// One compiled resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The resource as bytes, with its version.
    pub encoded: Arc<Encoded>,
    /// Names of the resources that this one names: following them spans its closure. Sorted.
    pub references: Vec<Name>,
    /// What there is to say about the objects as they work together here.
    pub diagnostics: Vec<Diagnostic>,
}

/// How much work a compiler did, for tests of its cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Outputs that were computed, for the first time or again.
    pub linked: u64,
    /// Outputs computed again whose bytes turned out to be different.
    pub changed: u64,
    /// Objects that were lowered.
    pub lowered: u64,
}
