//! Scopes: the facts about a client that decide what it sees.
//!
//! Clients with equal facts share a scope, and with it every compiled byte. Facts are the role, the namespace,
//! the network, and which of the selectors that occur in anybody's objects match the client's labels;
//! labels that no selector asks for make no difference. A gateway's scope also holds the services
//! that select it, because they translate its ports.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::client::{Client, Role};
use crate::node::{Labels, ServiceKey};

/// A set of clients that see the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(u32);

/// What a selector is for; each kind is looked at under its own conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Selects {
    /// A Sidecar's `workloadSelector`.
    Sidecar,
    /// A DestinationRule's `workloadSelector`.
    Rule,
    /// `sourceLabels` of a VirtualService's match.
    Source,
    /// A Gateway's `selector`.
    Gateway,
}

/// Labels that somebody's object asks clients for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Selector {
    pub selects: Selects,
    /// Only clients of this namespace are looked at.
    pub namespace: Option<Arc<str>>,
    pub labels: Labels,
}

impl Selector {
    /// `sourceLabels` of a match.
    pub fn source(labels: &Labels) -> Self {
        Self { selects: Selects::Source, namespace: None, labels: labels.clone() }
    }

    /// Whether it selects the client.
    pub fn matches(&self, client: &Client) -> bool {
        let role = match self.selects {
            Selects::Sidecar => client.role == Role::Sidecar,
            Selects::Gateway => client.role == Role::Gateway,
            Selects::Rule | Selects::Source => true,
        };
        role && self.namespace.as_deref().is_none_or(|own| own == client.namespace)
            && self.labels.select(&client.labels)
    }
}

/// The facts that a scope's clients have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub role: Role,
    pub namespace: Arc<str>,
    pub network: Arc<str>,
    /// Every known selector that matches, sorted.
    pub selectors: Box<[Selector]>,
    /// Gateways: the services that select the workload, sorted.
    pub services: Box<[ServiceKey]>,
    /// Gateways: the workload's ports by name, which services may send to.
    pub named_ports: Arc<[(Arc<str>, u16)]>,
}

impl Scope {
    /// Whether the scope's clients are selected. The selector must be known to the store.
    pub fn selected_by(&self, selector: &Selector) -> bool {
        self.selectors.binary_search(selector).is_ok()
    }
}

/// All scopes that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    by_facts: FxHashMap<Arc<Scope>, ScopeId>,
    by_id: BTreeMap<ScopeId, Arc<Scope>>,
    next: u32,
}

impl Scopes {
    /// The scope with these facts.
    pub fn intern(&mut self, scope: Scope) -> ScopeId {
        if let Some(id) = self.by_facts.get(&scope) {
            return *id;
        }
        let id = ScopeId(self.next);
        self.next += 1;
        let scope = Arc::new(scope);
        self.by_facts.insert(Arc::clone(&scope), id);
        self.by_id.insert(id, scope);
        id
    }

    /// The facts of a scope; none after it was dropped.
    pub fn get(&self, id: ScopeId) -> Option<&Arc<Scope>> {
        self.by_id.get(&id)
    }

    /// All scopes.
    pub fn iter(&self) -> impl Iterator<Item = (ScopeId, &Arc<Scope>)> {
        self.by_id.iter().map(|(id, scope)| (*id, scope))
    }

    /// Forgets all scopes but these, and says which.
    pub fn retain(&mut self, keep: impl Fn(ScopeId) -> bool) -> Vec<ScopeId> {
        let gone: Vec<ScopeId> = self.by_id.keys().copied().filter(|id| !keep(*id)).collect();
        for id in &gone {
            if let Some(scope) = self.by_id.remove(id) {
                self.by_facts.remove(&scope);
            }
        }
        gone
    }
}
