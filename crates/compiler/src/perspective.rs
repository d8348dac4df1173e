//! What Link asks about the scope that it works for.
//!
//! Most outputs are the same for many scopes, since little of a scope decides them. So the scope can only be
//! asked through here, and what was asked is noted with the answers: whatever scope answers alike shares
//! the output.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use crate::client::Role;
use crate::node::{ExportTo, Labels, Rule, Sidecar};
use crate::scope::{Scope, Selector};
use crate::store::Query;

/// A question about a scope, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// Everything about it: what gateways open.
    Whole(Arc<Scope>),
    Role(Role),
    /// Whether this is its namespace.
    Namespace(Arc<str>, bool),
    /// Whether its clients are selected.
    Selected(Selector, bool),
    /// Which Sidecar governs it.
    Sidecar(Option<Arc<Sidecar>>),
    /// Its own namespace has no DestinationRule for exactly this host.
    NoRules(Arc<str>),
}

/// All that was asked about a scope.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Aspects(Box<[Aspect]>);

impl Aspects {
    #[cfg(test)]
    pub fn of(aspects: impl IntoIterator<Item = Aspect>) -> Self {
        Self(aspects.into_iter().collect())
    }

    /// Whether another scope answers alike.
    pub fn hold(&self, query: &Query<'_>, scope: &Arc<Scope>) -> bool {
        let own = OnceCell::new();
        self.0.iter().all(|aspect| match aspect {
            Aspect::Whole(whole) => whole == scope,
            Aspect::Role(role) => *role == scope.role,
            Aspect::Namespace(namespace, answer) => (*namespace == scope.namespace) == *answer,
            Aspect::Selected(selector, answer) => scope.selected_by(selector) == *answer,
            Aspect::Sidecar(sidecar) => {
                *own.get_or_init(|| governing(query, scope)) == sidecar.as_ref()
            }
            Aspect::NoRules(host) => query.own_rules(&scope.namespace, host).is_empty(),
        })
    }

    /// Whether a Sidecar would make a difference.
    pub fn follow_sidecar(&self) -> bool {
        self.0.iter().any(|aspect| matches!(aspect, Aspect::Sidecar(_) | Aspect::Whole(_)))
    }
}

/// A scope while something is linked for it.
pub(crate) struct Perspective<'a> {
    query: &'a Query<'a>,
    scope: &'a Arc<Scope>,
    noted: RefCell<Vec<Aspect>>,
    sidecar: OnceCell<Option<&'a Arc<Sidecar>>>,
}

impl<'a> Perspective<'a> {
    pub fn new(query: &'a Query<'a>, scope: &'a Arc<Scope>) -> Self {
        Self { query, scope, noted: RefCell::default(), sidecar: OnceCell::new() }
    }

    /// All that was asked.
    pub fn into_aspects(self) -> Aspects {
        Aspects(self.noted.into_inner().into())
    }

    /// All its facts. Nobody shares what is made from them.
    pub fn whole(&self) -> &'a Arc<Scope> {
        self.note(Aspect::Whole(Arc::clone(self.scope)));
        self.scope
    }

    pub fn role(&self) -> Role {
        self.note(Aspect::Role(self.scope.role));
        self.scope.role
    }

    /// Its namespace, for what names it.
    pub fn namespace(&self) -> &'a Arc<str> {
        self.note(Aspect::Namespace(Arc::clone(&self.scope.namespace), true));
        &self.scope.namespace
    }

    /// Whether this is its namespace.
    pub fn is_in(&self, namespace: &Arc<str>) -> bool {
        let answer = *namespace == self.scope.namespace;
        self.note(Aspect::Namespace(Arc::clone(namespace), answer));
        answer
    }

    /// Whether it sees what a namespace exports so, where `default` is what the mesh says.
    pub fn sees(&self, export: &ExportTo, own: &str, default: &[String]) -> bool {
        export.includes(|namespace| self.is_in(namespace), own, default)
    }

    /// Whether its clients are selected. The selector must be known to the store.
    pub fn selected_by(&self, selector: &Selector) -> bool {
        let answer = self.scope.selected_by(selector);
        self.note(Aspect::Selected(selector.clone(), answer));
        answer
    }

    /// Whether its clients have these labels, as a match of a VirtualService asks.
    pub fn has_source_labels(&self, labels: &Labels) -> bool {
        labels.is_empty() || self.selected_by(&Selector::source(labels))
    }

    /// The DestinationRules of its own namespace for exactly this host, the oldest first.
    pub fn rules(&self, host: &Arc<str>) -> &'a [Arc<Rule>] {
        let rules = self.query.own_rules(&self.scope.namespace, host);
        if rules.is_empty() {
            self.note(Aspect::NoRules(Arc::clone(host)));
            return rules;
        }
        self.query.rules(self.namespace(), host)
    }

    /// The Sidecar that governs it.
    pub fn sidecar(&self) -> Option<&'a Arc<Sidecar>> {
        *self.sidecar.get_or_init(|| {
            let sidecar = governing(self.query, self.scope);
            self.note(Aspect::Sidecar(sidecar.cloned()));
            sidecar
        })
    }

    fn note(&self, aspect: Aspect) {
        let mut noted = self.noted.borrow_mut();
        if !noted.contains(&aspect) {
            noted.push(aspect);
        }
    }
}

/// The Sidecar that selects the scope's clients, else the namespace's default, else the mesh's.
fn governing<'a>(query: &Query<'a>, scope: &Scope) -> Option<&'a Arc<Sidecar>> {
    if scope.role != Role::Sidecar {
        return None;
    }
    // Asked for in any case: whoever shares the answer may have it from there.
    let root = query.root_namespace();
    let own = query.sidecars(&scope.namespace);
    let selecting = own.iter().find(|sidecar| {
        sidecar.selector.as_ref().is_some_and(|selector| scope.selected_by(selector))
    });
    let default =
        |sidecars: &'a [Arc<Sidecar>]| sidecars.iter().find(|sidecar| sidecar.selector.is_none());
    selecting.or_else(|| default(own)).or_else(|| default(query.sidecars(root)))
}
