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
        self.put_bytes(kind, name, message.encode_to_vec());
    }

    /// A resource whose message is encoded already.
    pub(crate) fn put_bytes(&mut self, kind: Kind, name: impl Into<String>, body: Vec<u8>) {
        self.made.push((kind, name.into(), body));
    }

    /// Something that Envoy is not told. `objects` are those of the model resource.
    pub(crate) fn problem(
        &mut self,
        objects: &[ObjectRef],
        origin: Option<&Origin>,
        why: impl Into<String>,
    ) {
        self.problems.push(Problem {
            object: origin
                .and_then(|origin| object_of(objects, origin))
                .map(|object| format!("{} {}/{}", object.kind, object.namespace, object.name))
                .unwrap_or_default(),
            field: origin.map(|origin| origin.field.clone()).unwrap_or_default(),
            why: why.into(),
        });
    }
}

/// The user's object that an origin means; `None`: a default of the mesh.
pub(crate) fn object_of<'o>(objects: &'o [ObjectRef], origin: &Origin) -> Option<&'o ObjectRef> {
    let index = usize::try_from(origin.object).ok()?.checked_sub(1)?;
    objects.get(index)
}
