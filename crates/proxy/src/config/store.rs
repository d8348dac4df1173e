//! The resources in force: responses become cuts, cuts become plans.
//!
//! No I/O in here: what a response means, and what is answered, is decided by its bytes alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_engine::{Plan, Resources};
use lateen_mesh::v1::{self, resource::Body};
use lateen_xds::client::Response;
use lateen_xds::cut::{Chunk, Cut, CutAssembler, Marker};
use prost::Message;

use super::in_force::InForce;
use crate::handover::Resource;

/// Name of the resource that ends each response.
const CUT: &str = "cut";

/// Bytes of the largest cut that is taken: the whole scope of a mesh of ten thousand services is a
/// few dozen megabytes.
const LARGEST_CUT: usize = 256 * 1024 * 1024;

/// What has arrived and holds.
#[derive(Debug)]
pub(super) struct Store {
    assembler: CutAssembler,
    engine: Resources,
    /// What the plan was compiled from.
    in_force: InForce,
    /// Changes that were refused. The control plane does not send them again on this stream, so
    /// they are tried together with what comes next: when the object at fault is mended, what was
    /// refused with it takes effect.
    refused: Option<Cut>,
}

/// What a response came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A part of a cut: acknowledge it.
    Incomplete,
    /// A cut was applied: acknowledge it, and remember what it changed.
    Applied(Box<Applied>),
    /// The cut was refused: nothing has changed.
    Refused(String),
    /// What came makes no sense: refuse it and begin a new stream.
    Broken(String),
}

/// A cut that was applied.
#[derive(Debug)]
pub(super) struct Applied {
    /// The new plan.
    pub(super) plan: Arc<Plan>,
    /// What has changed, earlier refused changes included.
    pub(super) cut: Cut,
    /// Hosts that were subscribed to and that the control plane does not know.
    pub(super) unknown: Vec<String>,
}

impl Store {
    /// A store without resources; those that come are put into `in_force`.
    pub(super) fn new(in_force: InForce) -> Self {
        Self {
            assembler: CutAssembler::new(LARGEST_CUT),
            engine: Resources::new(),
            in_force,
            refused: None,
        }
    }

    /// Starts with what a predecessor left.
    ///
    /// # Errors
    /// When it does not make a plan; the store is then as it was.
    pub(super) fn inherit(&mut self, resources: Vec<Resource>) -> Result<Applied, String> {
        self.apply(Cut { resources: received(resources), ..Cut::default() })
    }

    /// Takes a response.
    pub(super) fn take(&mut self, response: &Response) -> Outcome {
        let (chunk, marker) = match split(response) {
            Ok(parts) => parts,
            Err(reason) => {
                self.forget_partial();
                return Outcome::Broken(reason);
            }
        };
        match self.assembler.push(chunk, marker) {
            Ok(None) => Outcome::Incomplete,
            Ok(Some(cut)) => self.complete(cut),
            Err(error) => Outcome::Broken(error.to_string()),
        }
    }

    /// Forgets what has not become a plan: the stream that it came on has ended, and the next one
    /// is told what is in force.
    pub(super) fn forget_partial(&mut self) {
        self.assembler.reset();
        self.refused = None;
    }

    /// The resources in force, in the order of their names.
    #[cfg(test)]
    pub(super) fn resources(&self) -> Vec<Resource> {
        self.in_force.copy()
    }

    fn complete(&mut self, cut: Cut) -> Outcome {
        let Some(refused) = self.refused.take() else {
            return match self.apply(cut.clone()) {
                Ok(applied) => Outcome::Applied(Box::new(applied)),
                Err(reason) => {
                    self.refused = Some(cut);
                    Outcome::Refused(reason)
                }
            };
        };
        let together = merge(refused.clone(), cut.clone());
        match self.apply(together.clone()) {
            Ok(applied) => Outcome::Applied(Box::new(applied)),
            Err(_) => match self.apply(cut.clone()) {
                Ok(applied) => {
                    self.refused = Some(without(refused, &cut));
                    Outcome::Applied(Box::new(applied))
                }
                Err(reason) => {
                    self.refused = Some(together);
                    Outcome::Refused(reason)
                }
            },
        }
    }

    /// All or nothing.
    fn apply(&mut self, mut cut: Cut) -> Result<Applied, String> {
        let mut unknown = Vec::new();
        cut.removed.retain(|name| match name.strip_prefix("host/") {
            Some(host) => {
                unknown.push(host.to_owned());
                false
            }
            None => true,
        });
        InForce::compact(&mut cut);
        let changes = lateen_engine::Cut {
            upserts: cut
                .resources
                .iter()
                .map(|resource| (resource.name.to_string(), resource.body.clone()))
                .collect(),
            removed: cut.removed.iter().map(ToString::to_string).collect(),
        };
        let plan = self.engine.apply(&changes).map_err(|rejected| rejected.to_string())?;
        self.in_force.change(&cut);
        Ok(Applied { plan, cut, unknown })
    }
}

/// A predecessor's resources as if they had just come.
pub(super) fn received(resources: Vec<Resource>) -> Vec<lateen_xds::Resource> {
    resources
        .into_iter()
        .map(|Resource { name, version, body }| lateen_xds::Resource {
            name: name.into(),
            version: version.into(),
            body,
        })
        .collect()
}

/// Parts a response into what it carries and the marker that it ends with.
fn split(response: &Response) -> Result<(Chunk, Marker), String> {
    let Some((last, resources)) = response.resources.split_last() else {
        return Err("a response without a cut".to_owned());
    };
    if &*last.name != CUT {
        return Err(format!("a response that ends with `{}` and not with a cut", last.name));
    }
    let resource = v1::Resource::decode(last.body.clone())
        .map_err(|error| format!("the end of a cut cannot be read: {error}"))?;
    let Some(Body::Cut(cut)) = resource.body else {
        return Err("the end of a cut is something else".to_owned());
    };
    let chunk = Chunk { resources: resources.to_vec(), removed: response.removed.clone() };
    Ok((chunk, Marker { sequence: cut.sequence, chunk: cut.chunk, last: cut.last }))
}

/// Both cuts as one; where both speak of a resource, the later one holds.
fn merge(earlier: Cut, later: Cut) -> Cut {
    let mut merged = without(earlier, &later);
    merged.sequence = later.sequence;
    merged.resources.extend(later.resources);
    merged.removed.extend(later.removed);
    merged
}

/// What `cut` says of resources that `other` does not speak of.
fn without(mut cut: Cut, other: &Cut) -> Cut {
    let spoken: BTreeSet<&str> = other
        .resources
        .iter()
        .map(|resource| &*resource.name)
        .chain(other.removed.iter().map(|name| &**name))
        .collect();
    cut.resources.retain(|resource| !spoken.contains(&*resource.name));
    cut.removed.retain(|name| !spoken.contains(&**name));
    cut
}
