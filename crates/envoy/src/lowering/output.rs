//! What one unit makes.

use lateen_mesh::v1::{ObjectRef, Origin};
use prost::Message;

use crate::{Kind, Problem};

/// Takes the resources and the problems of one unit.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) made: Vec<(Kind, String, Vec<u8>)>,
    pub(crate) problems: Vec<Problem>,
}

impl Output {
    /// A resource.
    pub(crate) fn put<M: Message>(&mut self, kind: Kind, name: impl Into<String>, message: &M) {
        self.made.push((kind, name.into(), message.encode_to_vec()));
    }

    /// Something that Envoy is not told. `objects` are those of the model resource.
    pub(crate) fn problem(
        &mut self,
        objects: &[ObjectRef],
        origin: Option<&Origin>,
        why: impl Into<String>,
    ) {
        let index = origin.and_then(|origin| usize::try_from(origin.object).ok()?.checked_sub(1));
        let object = index.and_then(|index| objects.get(index)).map(|object| {
            format!("{} {}/{}", object.kind, object.namespace, object.name)
        });
        self.problems.push(Problem {
            object: object.unwrap_or_default(),
            field: origin.map(|origin| origin.field.clone()).unwrap_or_default(),
            why: why.into(),
        });
    }
}
