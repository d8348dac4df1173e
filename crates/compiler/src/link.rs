//! Link: one resource for one scope, on demand. Everything is asked of a [`Query`], which notes it.

mod addresses;
mod authentication;
mod backend;
mod destination;
mod directory;
mod endpoints;
mod gateway;
mod http;
mod inbound;
mod l4;
mod policy;
mod provenance;
mod roots;
mod routes;
mod rules;
mod secret;
mod settings;
mod visible;

use std::collections::BTreeSet;
use std::sync::Arc;

use lateen_api::diagnostic::{Code, Diagnostic, Severity};
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, resource::Body};

pub(crate) use addresses::addresses;
pub(crate) use inbound::{client_of, services_of_client};
pub(crate) use roots::roots;

use self::provenance::Provenance;
use crate::node::{Route, Source};
use crate::perspective::{Aspects, Perspective};
use crate::scope::Scope;
use crate::store::Query;

/// A resource before it is encoded.
#[derive(Debug)]
pub(crate) struct Linked {
    pub objects: Vec<v1::ObjectRef>,
    pub body: Body,
    pub references: Vec<Name>,
    pub diagnostics: Vec<Diagnostic>,
}

/// The linking of one resource.
struct Linker<'a> {
    query: &'a Query<'a>,
    scope: Perspective<'a>,
    provenance: Provenance,
    references: BTreeSet<Name>,
    diagnostics: Vec<Diagnostic>,
}

/// One resource as a scope sees it; none if there is no such thing there. With what was asked about the
/// scope.
pub(crate) fn output<'a>(
    query: &'a Query<'a>,
    scope: &'a Arc<Scope>,
    name: &Name,
) -> (Option<Linked>, Aspects) {
    let mut linker = Linker::new(query, scope);
    let body = match name {
        Name::Cut | Name::Host(_) => None,
        Name::Settings => Some(linker.settings()),
        Name::Directory { namespace, bucket } => linker.directory(namespace, *bucket),
        Name::Routes(host) => linker.routes(host),
        Name::Destination { host, port, subset } => linker.destination(host, *port, subset),
        Name::Endpoints { host, port, bucket } => linker.endpoints(host, *port, *bucket),
        Name::Inbound { namespace, name } => linker.inbound(namespace, name),
        Name::Policy { namespace, name } => linker.policy(namespace, name),
        Name::Gateway(port) => linker.gateway_listener(*port),
        Name::GatewayRoutes { port, server, host } => linker.gateway_routes(*port, server, host),
        Name::Secret { namespace, name } => linker.secret(namespace, name),
    };
    let aspects = linker.scope.into_aspects();
    let linked = body.map(|body| Linked {
        objects: linker.provenance.into_objects(),
        body,
        references: linker.references.into_iter().collect(),
        diagnostics: linker.diagnostics,
    });
    (linked, aspects)
}

/// What of a VirtualService leads nowhere, as a scope sees it, wherever the rules apply.
pub(crate) fn backends<'a>(
    query: &'a Query<'a>,
    scope: &'a Arc<Scope>,
    route: &Route,
) -> Vec<Diagnostic> {
    let mut linker = Linker::new(query, scope);
    route.backends().for_each(|backend| linker.check_backend(&route.source, backend));
    linker.diagnostics
}

impl<'a> Linker<'a> {
    fn new(query: &'a Query<'a>, scope: &'a Arc<Scope>) -> Self {
        Self {
            query,
            scope: Perspective::new(query, scope),
            provenance: Provenance::default(),
            references: BTreeSet::new(),
            diagnostics: Vec::new(),
        }
    }

    fn warn(&mut self, source: &Source, code: Code, field: &str, message: String) {
        self.diagnostics.push(Diagnostic {
            severity: Severity::Warning,
            code,
            object: Some((*source.object).clone()),
            field: field.to_owned(),
            file: Arc::from(""),
            line: 0,
            column: 0,
            message,
        });
    }
}
