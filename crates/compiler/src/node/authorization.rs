//! AuthorizationPolicies.

use std::sync::Arc;

use lateen_mesh::v1;

use super::{Labels, Source};

/// Whom a policy applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub source: Source,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// None: every workload of the namespace; in the root namespace, of the mesh.
    pub selector: Option<Labels>,
}

/// What a policy says. Principals are as written: aliases of the trust domain are for Link.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    pub source: Source,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub policy: v1::AuthorizationPolicy,
}
