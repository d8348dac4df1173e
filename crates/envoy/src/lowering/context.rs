//! What every unit may read.

use lateen_mesh::name::Name;
use lateen_mesh::v1;

use super::model::Model;
use crate::names::{self, Carried};
use crate::{Capture, Placement, Role};

/// What every unit may read: for whom is lowered, the settings, and the model.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) placement: Placement,
    pub(crate) settings: &'a v1::Settings,
    pub(crate) model: &'a Model,
}

impl<'a> Context<'a> {
    /// The cluster that carries such traffic to a backend, for a listener on this port.
    pub(crate) fn cluster(&self, backend: &v1::Backend, port: u16, carried: Carried) -> String {
        let port = backend_port(backend, port);
        let destination = self.destination(backend, port);
        let protocol = destination.map_or_else(
            || match carried {
                Carried::Http => v1::Protocol::Http,
                Carried::Tcp => v1::Protocol::Tcp,
            },
            v1::Destination::protocol,
        );
        names::cluster(&backend.host, port, &backend.subset, protocol, carried)
    }

    /// The destination of a backend, for a listener on this port; `None`: the host has no such
    /// port, or nothing of the kind is known.
    pub(crate) fn destination(
        &self,
        backend: &v1::Backend,
        port: u16,
    ) -> Option<&'a v1::Destination> {
        let name = Name::Destination {
            host: backend.host.clone(),
            port: backend_port(backend, port),
            subset: backend.subset.clone(),
        };
        self.model.destination(&name)
    }

    /// Whether dialling the address that the client dialled leads back to this proxy: in local mode
    /// every address that a sidecar takes is its own.
    pub(crate) fn passthrough_is_a_loop(&self) -> bool {
        self.placement.capture == Capture::Local && self.placement.role == Role::Sidecar
    }

    /// Whether what is not in the registry is passed through.
    pub(crate) fn passes_through(&self) -> bool {
        self.settings.outbound_policy() == v1::OutboundPolicy::AllowAny
            && !self.passthrough_is_a_loop()
    }
}

fn backend_port(backend: &v1::Backend, listener: u16) -> u16 {
    match u16::try_from(backend.port) {
        Ok(0) | Err(_) => listener,
        Ok(own) => own,
    }
}
