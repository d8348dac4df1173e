//! Certificates of gateways.

use lateen_mesh::v1;

use crate::lowering::Output;

/// The secrets of `secret/<namespace>/<name>`: `kubernetes://<namespace>/<name>`, and with
/// `-cacert` the clients' roots.
pub(crate) fn lower(_namespace: &str, _name: &str, _secret: &v1::Secret, _out: &mut Output) {}
