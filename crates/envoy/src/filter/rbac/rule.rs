//! One rule as a policy of Envoy.

use envoy_types::pb::envoy::config::rbac::v3::{Permission, Policy, Principal};
use lateen_mesh::v1::{self, Attribute, authorization_policy::Action};

use super::clause::{self, Side};
use super::logic::Logic;
use super::{Destined, Layer, Named, everything};
use crate::lowering::Output;

/// For which filter a rule is lowered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub(super) action: Action,
    pub(super) layer: Layer,
    pub(super) destined: Destined,
}

impl Scene {
    /// Whether what is not understood counts as matching.
    const fn doubts_match(&self) -> bool {
        matches!(self.action, Action::Custom | Action::Authenticate | Action::Deny)
    }

    fn doubtful<L: Logic>(&self) -> L {
        if self.doubts_match() { L::always() } else { L::never() }
    }

    fn clause<S: Side>(&self, clause: &v1::Clause) -> S {
        if clause::attribute(clause) == Attribute::Unsupported {
            return self.doubtful();
        }
        // A rule of ALLOW has no such field here: it is left out as a whole.
        if self.layer == Layer::Connection && clause::is_http_only(clause) {
            return S::always();
        }
        clause::lower(clause, self.destined).unwrap_or_else(|clause::Unsayable| self.doubtful())
    }

    fn any_of<S: Side>(&self, groups: &[v1::Clauses]) -> S {
        if groups.is_empty() {
            return S::always();
        }
        let group = |group: &v1::Clauses| {
            S::all(group.clauses.iter().map(|clause| self.clause(clause)).collect())
        };
        S::any(groups.iter().map(group).collect())
    }
}

/// The rules of a policy that can match anything at all, by the names under which Istio reports
/// them.
pub(super) fn policies(policy: &v1::AuthorizationPolicy, scene: &Scene) -> Vec<Named> {
    let id = |rule: usize| format!("ns[{}]-policy[{}]-rule[{rule}]", policy.namespace, policy.name);
    if Action::try_from(policy.action).is_err() {
        return vec![(id(0), everything())];
    }
    let rules = policy.rules.iter().enumerate();
    rules
        .filter(|(_, rule)| applies(rule, scene))
        .map(|(number, rule)| (id(number), lower(rule, scene)))
        .collect()
}

/// On opaque bytes an ALLOW rule that asks for anything of HTTP allows nothing.
fn applies(rule: &v1::AuthorizationRule, scene: &Scene) -> bool {
    scene.layer == Layer::Request
        || scene.action != Action::Allow
        || !clauses(rule).any(clause::is_http_only)
}

fn lower(rule: &v1::AuthorizationRule, scene: &Scene) -> Policy {
    let mut permissions: Vec<Permission> = Vec::new();
    let mut principals: Vec<Principal> = Vec::new();
    if !rule.to.is_empty() {
        permissions.push(scene.any_of(&rule.to));
    }
    if !rule.from.is_empty() {
        principals.push(scene.any_of(&rule.from));
    }
    for clause in &rule.when {
        if clause::is_about_source(clause) {
            principals.push(scene.clause(clause));
        } else {
            permissions.push(scene.clause(clause));
        }
    }
    Policy {
        permissions: vec![Permission::all(permissions)],
        principals: vec![Principal::all(principals)],
        ..Policy::default()
    }
}

fn clauses(rule: &v1::AuthorizationRule) -> impl Iterator<Item = &v1::Clause> {
    let grouped = rule.from.iter().chain(&rule.to).flat_map(|group| &group.clauses);
    grouped.chain(&rule.when)
}

/// Reports the fields that Envoy has no words for.
pub(super) fn report(
    policy: &v1::AuthorizationPolicy,
    objects: &[v1::ObjectRef],
    out: &mut Output,
) {
    let effect = match Action::try_from(policy.action) {
        Ok(Action::Allow) => "so the rule allows nothing",
        Ok(Action::Audit) => "so the rule reports nothing",
        Ok(Action::Deny | Action::Custom) => "so it counts as matching",
        // Its clauses are places of tokens, which another filter looks at.
        Ok(Action::Authenticate) => return,
        Err(_) => {
            let why = "an action that is not known: everything is denied";
            return out.problem(objects, policy.origin.as_ref(), why);
        }
    };
    for rule in &policy.rules {
        let sides = [
            (rule.from.as_slice(), is_sayable::<Principal> as fn(&v1::Clause) -> bool),
            (rule.to.as_slice(), is_sayable::<Permission>),
        ];
        let grouped = sides.into_iter().flat_map(|(groups, sayable)| {
            let clauses = groups.iter().flat_map(|group| &group.clauses);
            clauses.filter(move |clause| !sayable(clause))
        });
        let when = rule.when.iter().filter(|clause| {
            !(is_sayable::<Principal>(clause) || is_sayable::<Permission>(clause))
        });
        for clause in grouped.chain(when) {
            let origin = rule.origin.as_ref().map(|origin| v1::Origin {
                object: origin.object,
                field: format!("{}.{}", origin.field, clause.field),
            });
            let why = format!("Envoy cannot be asked for it, {effect}");
            out.problem(objects, origin.as_ref(), why);
        }
    }
}

/// What is not supported at all is reported by the compiler already.
fn is_sayable<S: Side>(clause: &v1::Clause) -> bool {
    clause::attribute(clause) == Attribute::Unsupported
        || clause::lower::<S>(clause, Destined::Dialled).is_ok()
}
