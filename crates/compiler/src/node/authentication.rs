//! PeerAuthentications.

use std::sync::Arc;

use lateen_mesh::v1::MtlsMode;

use super::{Labels, Source};

/// A mode, where one is set; none: as the level above says.
pub(crate) type Mode = Option<MtlsMode>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerAuthentication {
    pub source: Source,
    pub namespace: Arc<str>,
    /// None: the whole namespace; in the root namespace, the whole mesh.
    pub selector: Option<Labels>,
    pub mode: Mode,
    /// By the workload's port.
    pub ports: Vec<(u16, Mode)>,
}
