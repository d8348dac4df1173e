//! Listeners of gateways.

use std::net::Ipv4Addr;

use lateen_mesh::v1;

use crate::lowering::{Context, Output};

/// The listener of `gateway/<port>`. `local_base`: local mode's first address of the workload.
pub(crate) fn lower(
    _context: &Context<'_>,
    _listener: &v1::GatewayListener,
    _objects: &[v1::ObjectRef],
    _local_base: Option<Ipv4Addr>,
    _out: &mut Output,
) {
}
