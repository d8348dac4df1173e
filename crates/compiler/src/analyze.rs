//! Everything there is to say about the objects as they work together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lateen_api::diagnostic::{Code, Diagnostic, Severity};
use lateen_mesh::name::Name;
use rustc_hash::FxHashSet;

use crate::client::{Client, Role};
use crate::compiler::{Compiler, is_shared};
use crate::link;
use crate::lower::Fact;
use crate::node::{Labels, MESH_GATEWAY, Source, WorkloadKey};
use crate::scope::{Scope, Selector};
use crate::store::Query;

impl Compiler {
    /// Links everything for everybody: for each workload that objects describe, and for a sidecar
    /// without labels in each namespace. Says each thing once, in the order of the objects.
    ///
    /// The diagnostics name object and field; where those stand, the object itself knows
    /// ([`lateen_api::Object::position`]).
    #[must_use]
    pub fn analyze(&self) -> Vec<Diagnostic> {
        let mut found = Found::default();
        let mut shared = FxHashSet::default();
        for scope in self.every_scope() {
            self.analyze_scope(&scope, &mut shared, &mut found);
        }
        self.analyze_references(&mut found);
        found.0.into_values().collect()
    }

    fn every_scope(&self) -> FxHashSet<Arc<Scope>> {
        let described = self.workloads().into_iter().map(|client| Client {
            role: self.role(&client.namespace, &client.name).unwrap_or_default(),
            ..client
        });
        let namespaces: BTreeSet<&str> = self
            .store
            .facts()
            .filter_map(source_of)
            .map(|source| &*source.object.namespace)
            .collect();
        let plain = namespaces
            .into_iter()
            .map(|namespace| Client { namespace: namespace.to_owned(), ..Client::default() });
        let facts = |client: Client| {
            let key = WorkloadKey {
                namespace: client.namespace.as_str().into(),
                name: client.name.as_str().into(),
            };
            Arc::new(self.facts(&client, &key).0)
        };
        plain.chain(described).map(facts).collect()
    }

    fn analyze_scope(&self, scope: &Arc<Scope>, shared: &mut FxHashSet<Name>, found: &mut Found) {
        let query = Query::new(&self.store, &self.options);
        let (mut open, _) = link::roots(&query, scope, scope.role == Role::Sidecar);
        let mut seen = FxHashSet::default();
        while let Some(name) = open.pop() {
            if !(if is_shared(&name) { &mut *shared } else { &mut seen }).insert(name.clone()) {
                continue;
            }
            if let (Some(linked), _) = link::output(&query, scope, &name) {
                open.extend(linked.references);
                linked.diagnostics.into_iter().for_each(|each| found.say(each));
            }
        }
    }

    /// What objects name that is not there.
    fn analyze_references(&self, found: &mut Found) {
        let query = Query::new(&self.store, &self.options);
        let gateways: FxHashSet<&Arc<str>> = self
            .store
            .facts()
            .filter_map(|fact| match fact {
                Fact::Gateway(gateway) => Some(&gateway.name),
                _ => None,
            })
            .collect();
        for fact in self.store.facts() {
            match fact {
                Fact::Route(route) => {
                    for (at, gateway) in route.gateways.iter().enumerate() {
                        if **gateway != *MESH_GATEWAY && !gateways.contains(gateway) {
                            let field = format!("spec.gateways[{at}]");
                            let message = format!("there is no Gateway {gateway}");
                            found.warn(&route.source, Code::UnknownGateway, &field, message);
                        }
                    }
                }
                Fact::Rule(rule) => {
                    let below = query.service_hosts_below(&rule.host).next();
                    if query.services(&rule.host).is_empty() && below.is_none() {
                        let message = format!("no service {} is known", rule.host);
                        found.warn(&rule.source, Code::UnknownHost, "spec.host", message);
                    }
                    self.check_selector(rule.selector.as_ref(), &rule.source, found);
                }
                Fact::Sidecar(sidecar) => {
                    self.check_selector(sidecar.selector.as_ref(), &sidecar.source, found);
                }
                Fact::Gateway(gateway) => {
                    self.check_selector(gateway.selector.as_ref(), &gateway.source, found);
                }
                Fact::PeerAuthentication(policy) => {
                    let labels = policy.selector.as_ref();
                    self.check_labels(labels, Some(&policy.namespace), &policy.source, found);
                }
                Fact::Authorization(policy) => {
                    let is_root = policy.namespace == *query.root_namespace();
                    let namespace = (!is_root).then_some(&policy.namespace);
                    self.check_labels(policy.selector.as_ref(), namespace, &policy.source, found);
                }
                _ => {}
            }
        }
    }

    fn check_selector(&self, selector: Option<&Selector>, source: &Source, found: &mut Found) {
        let Some(selector) = selector else { return };
        self.check_labels(Some(&selector.labels), selector.namespace.as_ref(), source, found);
    }

    /// Says that labels select no workload, unless none are known at all.
    fn check_labels(
        &self,
        labels: Option<&Labels>,
        namespace: Option<&Arc<str>>,
        source: &Source,
        found: &mut Found,
    ) {
        let Some(labels) = labels.filter(|labels| !labels.is_empty()) else { return };
        let mut known = self.store.all_described().peekable();
        if known.peek().is_none() {
            return;
        }
        let selected = known.any(|workload| {
            namespace.is_none_or(|own| *own == workload.key.namespace)
                && labels.select_labels(&workload.labels)
        });
        if !selected {
            let place = namespace.map_or("the mesh".to_owned(), |own| format!("namespace {own}"));
            let message = format!("no workload of {place} has these labels");
            found.warn(source, Code::SelectsNothing, "spec", message);
        }
    }
}

fn source_of(fact: &Fact) -> Option<&Source> {
    match fact {
        Fact::Service(node) => Some(&node.source),
        Fact::Route(node) => Some(&node.source),
        Fact::Rule(node) => Some(&node.source),
        Fact::Sidecar(node) => Some(&node.source),
        _ => None,
    }
}

/// Diagnostics in the order of object, field and text.
#[derive(Default)]
struct Found(BTreeMap<(String, String, String), Diagnostic>);

impl Found {
    fn say(&mut self, diagnostic: Diagnostic) {
        let object = diagnostic.object.as_ref().map(ToString::to_string).unwrap_or_default();
        let key = (object, diagnostic.field.clone(), diagnostic.message.clone());
        self.0.insert(key, diagnostic);
    }

    fn warn(&mut self, source: &Source, code: Code, field: &str, message: String) {
        self.say(Diagnostic {
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
