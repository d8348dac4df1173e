//! What units made.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::unit::Unit;
use crate::{Kind, Problem, Resource};

/// What a unit made. Scopes that see the same share it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(super) unit: Unit,
    /// Interned.
    pub(super) resources: Box<[(Kind, Arc<Resource>)]>,
    pub(super) problems: Box<[Problem]>,
}

impl Made {
    /// Whether it is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.problems.is_empty()
    }
}

impl PartialEq for Made {
    fn eq(&self, other: &Self) -> bool {
        let pairs = || self.resources.iter().zip(&other.resources);
        self.unit == other.unit
            && self.resources.len() == other.resources.len()
            && pairs().all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(&a.1, &b.1))
            && self.problems == other.problems
    }
}

impl Eq for Made {}

impl Hash for Made {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unit.hash(state);
        self.resources.iter().for_each(|(_, resource)| resource.version.hash(state));
    }
}

/// What the units of one lowering made: a reference for each unit.
#[derive(Debug, Default)]
pub(super) struct Works(FxHashSet<ByUnit>);

/// One of them, found by its unit.
#[derive(Debug)]
struct ByUnit(Arc<Made>);

impl Works {
    /// Files what a unit makes now, and gives what it made before.
    pub(super) fn replace(&mut self, made: Arc<Made>) -> Option<Arc<Made>> {
        self.0.replace(ByUnit(made)).map(|former| former.0)
    }

    /// Forgets a unit, and gives what it made before.
    pub(super) fn remove(&mut self, unit: &Unit) -> Option<Arc<Made>> {
        self.0.take(unit).map(|former| former.0)
    }

    /// Whether nothing was made yet.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Made> {
        self.0.iter().map(|made| &*made.0)
    }
}

impl Borrow<Unit> for ByUnit {
    fn borrow(&self) -> &Unit {
        &self.0.unit
    }
}

impl PartialEq for ByUnit {
    fn eq(&self, other: &Self) -> bool {
        self.0.unit == other.0.unit
    }
}

impl Eq for ByUnit {}

impl Hash for ByUnit {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.unit.hash(state);
    }
}
