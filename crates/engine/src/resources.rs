//! What has arrived, by resource name; applying a cut is all or nothing.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::v1;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::plan::Plan;

mod compile;
mod link;

use compile::Node;

/// What changes together.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// Resource names with the bytes of their [`v1::Resource`].
    pub upserts: Vec<(String, Bytes)>,
    /// Names of resources that are gone.
    pub removed: Vec<String>,
}

/// One resource that keeps a cut from being applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Name of the resource.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a cut is not applied: the detail of the NACK. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Rejected {
    /// Every resource that is wrong, sorted by name; never empty.
    pub resources: Vec<Rejection>,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Rejection { name, reason }) in self.resources.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}: {reason}")?;
        }
        Ok(())
    }
}

/// The compiled resources behind the current plan.
#[derive(Debug, Default)]
pub struct Resources {
    nodes: FxHashMap<String, Node>,
    plan: Arc<Plan>,
}

/// Names that a cut adds, changes or removes.
type Touched = FxHashSet<String>;

impl Resources {
    /// Nothing has arrived.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The current plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Names of everything that is here.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Applies a cut and gives the plan after it. What the cut does not touch keeps its compiled
    /// nodes.
    ///
    /// # Errors
    /// When a resource cannot be compiled, or refers to one that is not there. Then nothing
    /// changes.
    pub fn apply(&mut self, cut: &Cut) -> Result<Arc<Plan>, Rejected> {
        let mut rejections = Vec::new();
        let mut compiled = Vec::with_capacity(cut.upserts.len());
        for (name, bytes) in &cut.upserts {
            match compile::compile(name, bytes) {
                Ok(Some(node)) => compiled.push((name.clone(), node)),
                // The end of a cut says nothing about the mesh.
                Ok(None) => {}
                Err(reason) => rejections.push(Rejection { name: name.clone(), reason }),
            }
        }
        if !rejections.is_empty() {
            return Err(rejected(rejections));
        }
        let touched: Touched =
            compiled.iter().map(|(name, _)| name).chain(&cut.removed).cloned().collect();
        let before = self.replace(compiled, &cut.removed);
        match link::link(&self.nodes, &touched, &self.plan) {
            Ok(plan) => {
                self.plan = Arc::new(plan);
                Ok(Arc::clone(&self.plan))
            }
            Err(rejections) => {
                self.restore(before);
                Err(rejected(rejections))
            }
        }
    }

    /// Puts the nodes of a cut in place; gives what was there.
    fn replace(
        &mut self,
        compiled: Vec<(String, Node)>,
        removed: &[String],
    ) -> Vec<(String, Option<Node>)> {
        let mut before = Vec::with_capacity(compiled.len() + removed.len());
        for name in removed {
            before.push((name.clone(), self.nodes.remove(name)));
        }
        for (name, node) in compiled {
            let old = self.nodes.insert(name.clone(), node);
            before.push((name, old));
        }
        before
    }

    fn restore(&mut self, before: Vec<(String, Option<Node>)>) {
        for (name, node) in before.into_iter().rev() {
            match node {
                Some(node) => {
                    self.nodes.insert(name, node);
                }
                None => {
                    self.nodes.remove(&name);
                }
            }
        }
    }
}

fn rejected(mut resources: Vec<Rejection>) -> Rejected {
    resources.sort_by(|one, other| one.name.cmp(&other.name));
    Rejected { resources }
}

/// A resource's body, for messages.
pub(crate) type Body = v1::resource::Body;
