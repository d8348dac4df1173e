//! What every unit may read.

use lateen_mesh::name::Name;
use lateen_mesh::v1;

use super::model::Model;
use crate::Placement;
use crate::names::{self, Carried};

/// What every unit may read: for whom is lowered, the settings, and the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) placement: Placement,
    pub(crate) settings: &'a v1::Settings,
    pub(crate) model: &'a Model,
}

impl Context<'_> {
    /// The cluster that carries such traffic to a backend, for a listener on this port.
    pub(crate) fn cluster(&self, backend: &v1::Backend, port: u16, carried: Carried) -> String {
        let port = match u16::try_from(backend.port) {
            Ok(0) | Err(_) => port,
            Ok(own) => own,
        };
        let name = Name::Destination {
            host: backend.host.clone(),
            port,
            subset: backend.subset.clone(),
        };
        let protocol = self.model.destination(&name).map_or(v1::Protocol::Auto, |it| it.protocol());
        names::cluster(&backend.host, port, &backend.subset, protocol, carried)
    }
}
