//! The model as it was fed in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

use super::directory::Directory;
use crate::Pool;

/// The model resources that a scope or a workload sees, by name.
#[derive(Debug, Default)]
pub(crate) struct Model {
    resources: BTreeMap<Arc<Name>, Arc<v1::Resource>>,
    /// What exists, from the slices of the directory.
    pub(crate) directory: Directory,
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
    body!(
        /// A gateway's listener.
        gateway, Gateway, v1::GatewayListener
    );
    body!(
        /// A secret.
        secret, Secret, v1::Secret
    );
    body!(
        /// The settings.
        settings, Settings, v1::Settings
    );

    /// What the workload accepts, and the resource's name.
    pub(crate) fn inbound(&self) -> Option<(&Name, &v1::Inbound)> {
        let first = Name::Inbound { namespace: String::new(), name: String::new() };
        let (name, resource) = self.resources.range::<Name, _>(first..).next()?;
        match resource.body.as_ref()? {
            Body::Inbound(inbound) => Some((name, inbound)),
            _ => None,
        }
    }

    /// Local mode: first address of the workload's /16.
    pub(crate) fn local_base(&self) -> Option<Ipv4Addr> {
        let octets = <[u8; 4]>::try_from(&*self.inbound()?.1.local_base).ok()?;
        Some(octets.into())
    }

    /// Names of the destinations of a host, or of one port of it.
    pub(crate) fn destinations(
        &self,
        host: &str,
        port: Option<u16>,
    ) -> impl Iterator<Item = &Name> {
        let name = |port, subset: &str| Name::Destination {
            host: host.to_owned(),
            port,
            subset: subset.to_owned(),
        };
        let range = name(port.unwrap_or(0), "")..;
        self.resources.range::<Name, _>(range).map(|(name, _)| &**name).take_while(move |found| {
            matches!(found, Name::Destination { host: of, port: at, .. }
                if *of == host && port.is_none_or(|port| port == *at))
        })
    }

    /// Names and listeners of a gateway.
    pub(crate) fn gateways(&self) -> impl Iterator<Item = (u16, &v1::GatewayListener)> {
        self.resources.range::<Name, _>(Name::Gateway(0)..).map_while(|(name, resource)| {
            match (&**name, resource.body.as_ref()?) {
                (Name::Gateway(port), Body::Gateway(listener)) => Some((*port, listener)),
                _ => None,
            }
        })
    }

    /// Every name.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.resources.keys().map(|name| &**name)
    }

    /// The user's objects that a resource came from.
    pub(crate) fn objects(&self, name: &Name) -> &[v1::ObjectRef] {
        self.resources.get(name).map_or(&[], |resource| &resource.objects)
    }

    /// A resource as it was fed in.
    pub(super) fn get(&self, name: &Name) -> Option<&Arc<v1::Resource>> {
        self.resources.get(name)
    }

    /// Stores or removes; returns what was there before.
    pub(super) fn set(
        &mut self,
        name: &Name,
        resource: Option<Arc<v1::Resource>>,
        pool: &mut Pool,
    ) -> Option<Arc<v1::Resource>> {
        match resource {
            Some(resource) => self.resources.insert(pool.model_name(name.clone()), resource),
            None => self.resources.remove(name),
        }
    }
}
