//! What a workload accepts: inbound listeners and clusters.

use lateen_mesh::v1;

use crate::lowering::{Context, Output};

/// The listeners and clusters of `inbound/<namespace>/<name>`.
pub(crate) fn lower(
    _context: &Context<'_>,
    _inbound: &v1::Inbound,
    _objects: &[v1::ObjectRef],
    _out: &mut Output,
) {
}
