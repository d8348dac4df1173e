//! The incremental core.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1;

use crate::{Kind, Placement, Pool, Problem, Resource};

mod context;
mod model;
mod output;

pub(crate) use context::Context;
pub(crate) use model::Model;
pub(crate) use output::Output;

/// The model as one scope or one workload sees it, kept lowered.
#[derive(Debug)]
pub struct Lowering {
    placement: Placement,
    model: Model,
    resources: [BTreeMap<Arc<str>, Resource>; 6],
    problems: Vec<Problem>,
}

/// What a change of the model did. Sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Resources that are new or have other bytes.
    pub changed: Vec<(Kind, Arc<str>)>,
    /// Resources that are gone.
    pub removed: Vec<(Kind, Arc<str>)>,
}

impl Lowering {
    /// Nothing yet.
    #[must_use]
    pub fn new(placement: Placement) -> Self {
        Self {
            placement,
            model: Model::default(),
            resources: Default::default(),
            problems: Vec::new(),
        }
    }

    /// For whom is lowered.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// Takes changed (`Some`) and removed (`None`) model resources, all of them as one step.
    pub fn apply(
        &mut self,
        pool: &mut Pool,
        changes: impl IntoIterator<Item = (Name, Option<Arc<v1::Resource>>)>,
    ) -> Effects {
        for (name, resource) in changes {
            self.model.set(name, resource);
        }
        let _ = pool;
        Effects::default()
    }

    /// A resource.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&Resource> {
        self.resources[kind.index()].get(name)
    }

    /// All resources of a kind, by name.
    pub fn resources(&self, kind: Kind) -> impl Iterator<Item = &Resource> {
        self.resources[kind.index()].values()
    }

    /// What cannot be said in Envoy's language.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}
