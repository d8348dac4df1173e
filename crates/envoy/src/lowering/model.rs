//! The model as it was fed in.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

/// The model resources that a scope or a workload sees, by name.
#[derive(Debug, Default)]
pub(crate) struct Model {
    resources: BTreeMap<Name, Arc<v1::Resource>>,
}

macro_rules! body {
    ($(#[$doc:meta])* $get:ident, $variant:ident, $message:ty) => {
        $(#[$doc])*
        pub(crate) fn $get(&self, name: &Name) -> Option<&$message> {
            match self.resources.get(name)?.body.as_ref()? {
                Body::$variant(message) => Some(message),
                _ => None,
            }
        }
    };
}

impl Model {
    body!(
        /// A table of routes, of a host or of a gateway's virtual host.
        routes, Routes, v1::Routes
    );
    body!(
        /// A destination.
        destination, Destination, v1::Destination
    );
    body!(
        /// A slice of endpoints.
        endpoints, Endpoints, v1::EndpointSlice
    );
    body!(
        /// An authorization policy.
        policy, Policy, v1::AuthorizationPolicy
    );

    /// The user's objects that a resource came from.
    pub(crate) fn objects(&self, name: &Name) -> &[v1::ObjectRef] {
        self.resources.get(name).map_or(&[], |resource| &resource.objects)
    }

    /// Stores or removes; returns what was there before.
    pub(crate) fn set(
        &mut self,
        name: Name,
        resource: Option<Arc<v1::Resource>>,
    ) -> Option<Arc<v1::Resource>> {
        match resource {
            Some(resource) => self.resources.insert(name, resource),
            None => self.resources.remove(&name),
        }
    }
}
