//! What there is to say about objects as they work together, object by object and incrementally: for those
//! who tell it to the objects' authors.
//!
//! What was asked of the store when an object was looked at is noted with what was found; a change that touches
//! none of that costs nothing. Whom selectors select is a question about all workloads, which no key covers:
//! it is asked again when its time has come ([`Compiler::find`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use lateen_api::Kind;
use lateen_api::diagnostic::{Code, Diagnostic, Severity};
use lateen_api::object::ObjectRef;
use lateen_mesh::name::Name;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::client::Client;
use crate::compiler::Compiler;
use crate::key::Key;
use crate::link;
use crate::lower::Fact;
use crate::node::{Gateway, Labels, MESH_GATEWAY, Route, Rule, Source, WorkloadKey};
use crate::store::{Query, Touched};

/// What became of a look at objects.
#[derive(Debug, Default)]
pub struct Found {
    /// Objects of which something else is to be said than before, with all of it.
    pub changed: Vec<(ObjectRef, Vec<Diagnostic>)>,
    /// There are more to be looked at.
    pub is_more: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    known: FxHashMap<ObjectRef, Finding>,
    readers: FxHashMap<Key, FxHashSet<ObjectRef>>,
    /// Objects to be looked at.
    open: FxHashSet<ObjectRef>,
    /// Objects that select workloads.
    selecting: FxHashSet<ObjectRef>,
    /// Workloads came, went, or have other labels.
    workloads_changed: bool,
}

#[derive(Debug, Default)]
struct Finding {
    said: Vec<Diagnostic>,
    reads: FxHashSet<Key>,
}

/// Kinds whose objects are looked at.
fn is_looked_at(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::VirtualService
            | Kind::DestinationRule
            | Kind::Gateway
            | Kind::Sidecar
            | Kind::PeerAuthentication
            | Kind::AuthorizationPolicy
    )
}

/// Workloads that are alike.
type Kinds = FxHashSet<(Arc<str>, Labels)>;

impl Findings {
    /// Takes in what a batch of changes touched.
    pub fn touch<'o>(&mut self, objects: impl Iterator<Item = &'o ObjectRef>, touched: &Touched) {
        self.open.extend(objects.filter(|object| is_looked_at(object.kind)).cloned());
        for key in &touched.keys {
            match key {
                Key::Workload(_) => self.workloads_changed = true,
                // Whatever is seen through a Sidecar may be seen differently.
                Key::Sidecars(_) => self.open.extend(self.known.keys().cloned()),
                _ => {}
            }
            self.open.extend(self.readers.get(key).into_iter().flatten().cloned());
        }
    }

    /// Keeps what was found; says whether it is something else than before.
    fn keep(&mut self, object: &ObjectRef, finding: Option<Finding>) -> bool {
        let former = self.known.remove(object).unwrap_or_default();
        for key in &former.reads {
            if let Some(readers) = self.readers.get_mut(key) {
                readers.remove(object);
                if readers.is_empty() {
                    self.readers.remove(key);
                }
            }
        }
        let Some(finding) = finding else { return !former.said.is_empty() };
        for key in &finding.reads {
            self.readers.entry(key.clone()).or_default().insert(object.clone());
        }
        let changed = finding.said != former.said;
        self.known.insert(object.clone(), finding);
        changed
    }
}

impl Compiler {
    /// Looks at objects of which there may be something else to say than before, at `most` so many. The
    /// first call looks at all; later ones at those that changes concern. With `selections` whom they select
    /// is looked at too, where workloads came or went since.
    pub fn find(&mut self, most: usize, selections: bool) -> Found {
        let mut findings = match self.findings.take() {
            Some(findings) => findings,
            None => {
                let objects = self.store.objects().filter(|object| is_looked_at(object.kind));
                Findings { open: objects.cloned().collect(), ..Findings::default() }
            }
        };
        if selections && std::mem::take(&mut findings.workloads_changed) {
            findings.open.extend(findings.selecting.iter().cloned());
        }
        let now: Vec<ObjectRef> = findings.open.iter().take(most).cloned().collect();
        let mut workloads = None;
        let mut found = Found::default();
        for object in now {
            findings.open.remove(&object);
            let finding = self.look_at(&object, &mut workloads);
            if finding.as_ref().is_some_and(|(_, selects)| *selects) {
                findings.selecting.insert(object.clone());
            } else {
                findings.selecting.remove(&object);
            }
            let finding = finding.map(|(finding, _)| finding);
            let said = finding.as_ref().map(|finding| finding.said.clone()).unwrap_or_default();
            if findings.keep(&object, finding) {
                found.changed.push((object, said));
            }
        }
        found.is_more = !findings.open.is_empty();
        self.findings = Some(findings);
        found
    }

    /// Ends that changes are followed for [`Compiler::find`]; the next call begins anew.
    pub fn stop_finding(&mut self) {
        self.findings = None;
    }

    /// What there is to say about an object, and whether it selects workloads; nothing about one that is
    /// not there.
    fn look_at(&self, object: &ObjectRef, kinds: &mut Option<Kinds>) -> Option<(Finding, bool)> {
        let query = Query::new(&self.store, &self.options);
        let mut look = Look { compiler: self, query: &query, kinds, said: BTreeMap::new() };
        let mut selects = false;
        let facts = self.store.facts_of(object);
        for fact in facts {
            selects |= match fact {
                Fact::Route(route) => look.route(route),
                Fact::Rule(rule) => look.rule(rule),
                Fact::Sidecar(sidecar) => {
                    let Some(selector) = &sidecar.selector else { continue };
                    look.labels(&sidecar.source, &selector.labels, selector.namespace.as_ref());
                    true
                }
                Fact::Gateway(gateway) => look.gateway(gateway),
                Fact::PeerAuthentication(policy) => {
                    let Some(labels) = &policy.selector else { continue };
                    look.labels(&policy.source, labels, Some(&policy.namespace));
                    true
                }
                Fact::Authorization(policy) => {
                    let Some(labels) = &policy.selector else { continue };
                    let is_root = policy.namespace == *query.root_namespace();
                    let namespace = (!is_root).then_some(&policy.namespace);
                    look.labels(&policy.source, labels, namespace);
                    true
                }
                _ => false,
            };
        }
        let said = look.said.into_values().collect();
        (!facts.is_empty()).then(|| (Finding { said, reads: query.into_asked() }, selects))
    }
}

/// A look at an object.
struct Look<'a> {
    compiler: &'a Compiler,
    query: &'a Query<'a>,
    kinds: &'a mut Option<Kinds>,
    /// By field and text.
    said: BTreeMap<(String, String), Diagnostic>,
}

impl<'a> Look<'a> {
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

    fn say(&mut self, diagnostic: Diagnostic) {
        let key = (diagnostic.field.clone(), diagnostic.message.clone());
        self.said.insert(key, diagnostic);
    }

    /// Where a VirtualService leads for a client of its own namespace.
    fn route(&mut self, route: &Route) -> bool {
        for (at, gateway) in route.gateways.iter().enumerate() {
            if **gateway != *MESH_GATEWAY && !self.query.has_gateway(gateway) {
                let message = format!("there is no Gateway {gateway}");
                let field = format!("spec.gateways[{at}]");
                self.warn(&route.source, Code::UnknownGateway, &field, message);
            }
        }
        let client = Client { namespace: route.namespace.to_string(), ..Client::default() };
        let key = WorkloadKey { namespace: route.namespace.clone(), name: "".into() };
        let scope = Arc::new(self.compiler.facts(&client, &key).0);
        let mut said = link::backends(self.query, &scope, route);
        if route.for_mesh() {
            for host in &*route.hosts {
                let (linked, _) = link::output(self.query, &scope, &Name::Routes(host.to_string()));
                said.extend(linked.into_iter().flat_map(|linked| linked.diagnostics));
            }
        }
        let own = &*route.source.object;
        said.into_iter()
            .filter(|each| each.object.as_ref() == Some(own))
            .for_each(|each| self.say(each));
        false
    }

    fn rule(&mut self, rule: &Rule) -> bool {
        let is_known = !self.query.services(&rule.host).is_empty()
            || !self.query.aliases(&rule.host).is_empty()
            || self.query.service_hosts_below(&rule.host).next().is_some();
        if !is_known {
            let message = format!("no service {} is known", rule.host);
            self.warn(&rule.source, Code::UnknownHost, "spec.host", message);
        }
        let Some(selector) = &rule.selector else { return false };
        self.labels(&rule.source, &selector.labels, selector.namespace.as_ref());
        true
    }

    fn gateway(&mut self, gateway: &Gateway) -> bool {
        let Some(selector) = &gateway.selector else { return false };
        let namespaces =
            self.labels(&gateway.source, &selector.labels, selector.namespace.as_ref());
        for server in &gateway.servers {
            let credential = server.tls.as_ref().and_then(|tls| tls.credential.as_ref());
            let Some(credential) = credential else { continue };
            for namespace in &namespaces {
                if self.query.secret(namespace, credential).is_none() {
                    let message = format!(
                        "there is no Secret {namespace}/{credential} with a certificate; handshakes fail"
                    );
                    let field = format!("{}.tls.credentialName", server.field);
                    self.warn(&gateway.source, Code::UnknownSecret, &field, message);
                }
            }
        }
        true
    }

    /// The namespaces of the workloads with these labels. Says where there are none.
    fn labels(
        &mut self,
        source: &Source,
        labels: &Labels,
        namespace: Option<&Arc<str>>,
    ) -> Vec<Arc<str>> {
        if labels.is_empty() {
            return Vec::new();
        }
        let described = || {
            let workloads = self.compiler.store.all_described();
            workloads.map(|it| (it.key.namespace.clone(), it.labels.clone())).collect()
        };
        let kinds = self.kinds.get_or_insert_with(described);
        let selected = kinds.iter().filter(|(place, have)| {
            namespace.is_none_or(|own| own == place) && labels.select_labels(have)
        });
        let mut places: Vec<Arc<str>> = selected.map(|(place, _)| place.clone()).collect();
        places.sort();
        places.dedup();
        if places.is_empty() {
            let place = namespace.map_or("the mesh".to_owned(), |own| format!("namespace {own}"));
            let message = format!("no workload of {place} has these labels");
            self.warn(source, Code::SelectsNothing, "spec", message);
        }
        places
    }
}
