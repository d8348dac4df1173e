//! The objects that a resource came from, each once, by a number.

use std::sync::Arc;

use lateen_api::object::ObjectRef;
use lateen_mesh::v1;

use crate::node::Source;

#[derive(Debug, Default)]
pub(super) struct Provenance(Vec<Arc<ObjectRef>>);

impl Provenance {
    /// A place in an object.
    pub fn origin(&mut self, source: &Source, field: &str) -> Option<v1::Origin> {
        Some(v1::Origin { object: self.number(source), field: field.to_owned() })
    }

    /// The same for a node that may come from no object at all.
    pub fn origin_of(&mut self, source: Option<&Source>, field: &str) -> Option<v1::Origin> {
        self.origin(source?, field)
    }

    /// Gives a place that Lower noted the number of its object.
    pub fn place(&mut self, origin: &mut Option<v1::Origin>, source: &Source) {
        if let Some(origin) = origin {
            origin.object = self.number(source);
        }
    }

    fn number(&mut self, source: &Source) -> u32 {
        let at = self.0.iter().position(|object| *object == source.object).unwrap_or_else(|| {
            self.0.push(Arc::clone(&source.object));
            self.0.len() - 1
        });
        u32::try_from(at + 1).expect("invariant: fewer than 2^32 objects in one resource")
    }

    pub fn into_objects(self) -> Vec<v1::ObjectRef> {
        let objects = self.0.iter().map(|object| v1::ObjectRef {
            kind: object.kind.to_string(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        });
        objects.collect()
    }
}
