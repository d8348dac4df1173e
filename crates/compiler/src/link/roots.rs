//! What a scope's clients take without asking.

use std::sync::Arc;

use lateen_mesh::name::Name;

use super::Linker;
use crate::client::Role;
use crate::perspective::Aspects;
use crate::scope::Scope;
use crate::store::Query;

/// Names of the resources that every client of the scope takes; `whole`: with the routes of everything in
/// its directory. Sorted. With what was asked about the scope.
pub(crate) fn roots<'a>(
    query: &'a Query<'a>,
    scope: &'a Arc<Scope>,
    whole: bool,
) -> (Vec<Name>, Aspects) {
    let linker = Linker::new(query, scope);
    let mut roots = vec![Name::Settings];
    if linker.scope.role() == Role::Gateway {
        roots.extend(linker.gateway_ports().into_iter().map(Name::Gateway));
        return (roots, linker.scope.into_aspects());
    }
    for (namespace, buckets) in query.directory() {
        if !linker.imports_from(namespace) {
            continue;
        }
        for bucket in 0..u32::try_from(buckets).unwrap_or(u32::MAX) {
            roots.push(Name::Directory { namespace: namespace.to_string(), bucket });
            if whole {
                roots.extend(linker.hosts(namespace, bucket));
            }
        }
    }
    roots.sort();
    (roots, linker.scope.into_aspects())
}

impl Linker<'_> {
    fn hosts(&self, namespace: &Arc<str>, bucket: u32) -> Vec<Name> {
        let hosts = self.query.directory_bucket(namespace, bucket);
        let known = hosts.filter(|host| self.entry(host).is_some());
        known.map(|host| Name::Routes(host.to_string())).collect()
    }
}
