//! The user's object and field behind a node of the plan.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use lateen_mesh::v1;

/// Where a node of the plan came from: shared by reference, cheap to hand out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The object; `None` for a default of the mesh.
    pub object: Option<Arc<v1::ObjectRef>>,
    /// Path inside the object, such as `spec.http[2].route[0]`; may be empty.
    pub field: Cow<'static, str>,
}

static MESH_DEFAULT: Origin = Origin { object: None, field: Cow::Borrowed("") };

impl Origin {
    /// The origin of what no object decided.
    #[must_use]
    pub fn mesh_default() -> &'static Self {
        &MESH_DEFAULT
    }
}

impl Default for Origin {
    fn default() -> Self {
        MESH_DEFAULT.clone()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            None if self.field.is_empty() => f.write_str("default of the mesh"),
            None => write!(f, "default of the mesh ({})", self.field),
            Some(object) => {
                write!(f, "{} ", object.kind)?;
                if !object.namespace.is_empty() {
                    write!(f, "{}/", object.namespace)?;
                }
                f.write_str(&object.name)?;
                if self.field.is_empty() { Ok(()) } else { write!(f, " {}", self.field) }
            }
        }
    }
}

/// The objects of one resource, which its nodes refer to by number.
#[derive(Debug, Default)]
pub(crate) struct Objects(Vec<Arc<v1::ObjectRef>>);

impl Objects {
    pub(crate) fn new(objects: Vec<v1::ObjectRef>) -> Self {
        Self(objects.into_iter().map(Arc::new).collect())
    }

    /// Resolves an origin.
    ///
    /// # Errors
    /// When it names an object that the resource does not list.
    pub(crate) fn resolve(&self, origin: Option<&v1::Origin>) -> Result<Origin, String> {
        let Some(origin) = origin else { return Ok(Origin::default()) };
        let object = match usize::try_from(origin.object).unwrap_or(usize::MAX) {
            0 => None,
            number => Some(Arc::clone(
                self.0
                    .get(number - 1)
                    .ok_or_else(|| format!("origin names object {number} of {}", self.0.len()))?,
            )),
        };
        let field = match origin.field.as_str() {
            "" => Cow::Borrowed(""),
            field => Cow::Owned(field.to_owned()),
        };
        Ok(Origin { object, field })
    }

    /// Like [`Self::resolve`], where absence means something of its own.
    pub(crate) fn resolve_optional(
        &self,
        origin: Option<&v1::Origin>,
    ) -> Result<Option<Origin>, String> {
        origin.map(|origin| self.resolve(Some(origin))).transpose()
    }
}
