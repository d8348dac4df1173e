//! Which tables of routes name which destinations.

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, http_rule::Action};
use rustc_hash::FxHashMap;

use super::unit::DestinationKey;
use crate::Pool;
use crate::names::Carried;

/// A backend of a table, as far as it says which clusters there must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Reference {
    /// 0: the listener's.
    port: u16,
    subset: Arc<str>,
    carried: Carried,
}

/// By the backends' host, the tables that name it. A table that sends a host's own traffic to that
/// host itself, on whatever port it came in, is not listed: it asks for nothing special.
#[derive(Debug, Default)]
pub(super) struct References {
    tables: FxHashMap<Name, Vec<Arc<str>>>,
    hosts: FxHashMap<Arc<str>, BTreeMap<Name, Vec<Reference>>>,
}

impl References {
    /// Takes a table, in place of what it was before.
    pub(super) fn set(&mut self, name: &Name, routes: Option<&v1::Routes>, pool: &mut Pool) {
        for host in self.tables.remove(name).into_iter().flatten() {
            if let Some(tables) = self.hosts.get_mut(&host) {
                tables.remove(name);
                if tables.is_empty() {
                    self.hosts.remove(&host);
                }
            }
        }
        let mut found: BTreeMap<Arc<str>, Vec<Reference>> = BTreeMap::new();
        for (backend, carried) in routes.into_iter().flat_map(backends) {
            let own = matches!(name, Name::Routes(host) if *host == backend.host);
            if own && backend.port == 0 && backend.subset.is_empty() {
                continue;
            }
            let reference = Reference {
                port: u16::try_from(backend.port).unwrap_or_default(),
                subset: pool.name(&backend.subset),
                carried,
            };
            found.entry(pool.name(&backend.host)).or_default().push(reference);
        }
        if found.is_empty() {
            return;
        }
        for (host, mut references) in found {
            references.sort();
            references.dedup();
            self.tables.entry(name.clone()).or_default().push(Arc::clone(&host));
            self.hosts.entry(host).or_default().insert(name.clone(), references);
        }
    }

    /// Tables that name a host, beside its own.
    pub(super) fn tables(&self, host: &str) -> impl Iterator<Item = &Name> {
        self.hosts.get(host).into_iter().flat_map(BTreeMap::keys)
    }

    /// Whether some table sends such traffic to a destination.
    pub(super) fn carries(&self, key: &DestinationKey, carried: Carried) -> bool {
        let tables = self.hosts.get(&key.host).into_iter().flat_map(BTreeMap::values);
        tables.flatten().any(|reference| {
            reference.carried == carried
                && reference.subset == key.subset
                && (reference.port == 0 || reference.port == key.port)
        })
    }
}

fn backends(routes: &v1::Routes) -> impl Iterator<Item = (&v1::Backend, Carried)> {
    let http = routes.http.iter().flat_map(|rule| match &rule.action {
        Some(Action::Forward(forward)) => forward.backends.as_slice(),
        Some(Action::Redirect(_) | Action::DirectResponse(_)) | None => &[],
    });
    let tcp = routes.tcp.iter().flat_map(|rule| &rule.backends);
    let tls = routes.tls.iter().flat_map(|rule| &rule.backends);
    http.map(|backend| (backend, Carried::Http))
        .chain(tcp.chain(tls).map(|backend| (backend, Carried::Tcp)))
}

/// Hosts that a table sends traffic to, other than its own as it comes.
pub(super) fn hosts(routes: &v1::Routes) -> impl Iterator<Item = &str> {
    let special = backends(routes).filter(|(backend, _)| {
        backend.host != routes.host || backend.port != 0 || !backend.subset.is_empty()
    });
    special.map(|(backend, _)| backend.host.as_str())
}
