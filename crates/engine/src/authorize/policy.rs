//! A compiled authorization policy.

use lateen_mesh::v1;

use super::Peer;
use super::clause::{Clause, Facts};
use crate::explain::{Trace, What};
use crate::origin::{Objects, Origin};
use crate::route::Request;

/// What a policy does with what it matches, in the order of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Would ask an external authorizer; denies, as none can be asked.
    Custom,
    /// Refuses requests with a token, as none can be checked.
    Authenticate,
    /// Reports.
    Audit,
    /// Denies. Also what an action that is not known does.
    Deny,
    /// Allows.
    Allow,
}

impl Action {
    /// All of them, in the order of evaluation.
    pub(super) const IN_ORDER: [Self; 5] =
        [Self::Custom, Self::Authenticate, Self::Audit, Self::Deny, Self::Allow];

    /// As users write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Custom => "CUSTOM",
            Self::Authenticate => "AUTHENTICATE",
            Self::Audit => "AUDIT",
            Self::Deny => "DENY",
            Self::Allow => "ALLOW",
        }
    }

    /// Whether what is not understood counts as matching.
    pub(super) const fn doubts_match(self) -> bool {
        matches!(self, Self::Custom | Self::Authenticate | Self::Deny)
    }
}

/// A compiled `AuthorizationPolicy`.
#[derive(Debug)]
pub struct Policy {
    namespace: Box<str>,
    name: Box<str>,
    action: Action,
    dry_run: bool,
    rules: Vec<Rule>,
    origin: Origin,
    understood: bool,
}

#[derive(Debug)]
struct Rule {
    origin: Origin,
    from: Vec<Vec<Clause>>,
    to: Vec<Vec<Clause>>,
    when: Vec<Clause>,
    http_only: bool,
}

impl Policy {
    /// `understood`: every field of the message is one that this code knows.
    pub(crate) fn compile(
        message: &v1::AuthorizationPolicy,
        objects: &Objects,
        understood: bool,
    ) -> Result<Self, String> {
        use v1::authorization_policy::Action as Message;
        let known = Message::try_from(message.action);
        let action = match known {
            Ok(Message::Allow) => Action::Allow,
            Ok(Message::Audit) => Action::Audit,
            Ok(Message::Custom) => Action::Custom,
            Ok(Message::Authenticate) => Action::Authenticate,
            Ok(Message::Deny) | Err(_) => Action::Deny,
        };
        let rules = message
            .rules
            .iter()
            .map(|rule| Rule::compile(rule, objects))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            namespace: message.namespace.as_str().into(),
            name: message.name.as_str().into(),
            action,
            dry_run: message.dry_run,
            rules,
            origin: objects.resolve(message.origin.as_ref())?,
            understood: understood && known.is_ok(),
        })
    }

    /// Namespace of the policy.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Name of the policy.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// Whether it is evaluated and reported only.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.dry_run
    }

    /// The policy itself.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Where a rule came from.
    #[must_use]
    pub fn rule_origin(&self, rule: usize) -> Option<&Origin> {
        self.rules.get(rule).map(|rule| &rule.origin)
    }

    /// The first rule that matches; `Some(None)`: all of it does, since it is not understood.
    pub(super) fn matches<T: Trace>(
        &self,
        peer: &Peer<'_>,
        request: Option<&Request<'_>>,
        trace: &mut T,
    ) -> Option<Option<usize>> {
        let facts = Facts { peer, request };
        if !self.understood {
            let matched = self.action.doubts_match();
            trace.step(What::Policy, &self.origin, matched, || {
                format!("{}: written for a newer proxy, not understood", self.action.name())
            });
            return matched.then_some(None);
        }
        for (number, rule) in self.rules.iter().enumerate() {
            let matched = rule.matches(self.action, &facts);
            trace.step(What::Policy, &rule.origin, matched, || {
                let dry_run = if self.dry_run { " (dry run)" } else { "" };
                let why = rule.mismatch(self.action, &facts).unwrap_or_default();
                format!("{}{dry_run}{why}", self.action.name())
            });
            if matched {
                return Some(Some(number));
            }
        }
        if self.rules.is_empty() {
            trace.step(What::Policy, &self.origin, false, || {
                format!("{} without rules matches nothing", self.action.name())
            });
        }
        None
    }
}

impl Rule {
    fn compile(message: &v1::AuthorizationRule, objects: &Objects) -> Result<Self, String> {
        let groups = |groups: &[v1::Clauses]| {
            groups
                .iter()
                .map(|group| group.clauses.iter().map(Clause::compile).collect())
                .collect::<Result<Vec<Vec<_>>, _>>()
        };
        let (from, to) = (groups(&message.from)?, groups(&message.to)?);
        let when = message.when.iter().map(Clause::compile).collect::<Result<Vec<_>, _>>()?;
        let mut clauses = from.iter().chain(&to).flatten().chain(&when);
        Ok(Self {
            http_only: clauses.any(Clause::is_http_only),
            origin: objects.resolve(message.origin.as_ref())?,
            from,
            to,
            when,
        })
    }

    fn matches(&self, action: Action, facts: &Facts<'_>) -> bool {
        let any = |groups: &[Vec<Clause>]| {
            groups.is_empty()
                || groups
                    .iter()
                    .any(|group| group.iter().all(|clause| clause.matches(action, facts)))
        };
        self.applies(action, facts)
            && any(&self.from)
            && any(&self.to)
            && self.when.iter().all(|clause| clause.matches(action, facts))
    }

    /// On opaque bytes an ALLOW rule that asks for anything of HTTP allows nothing.
    fn applies(&self, action: Action, facts: &Facts<'_>) -> bool {
        facts.request.is_some() || !self.http_only || action != Action::Allow
    }

    fn mismatch(&self, action: Action, facts: &Facts<'_>) -> Option<String> {
        if !self.applies(action, facts) {
            return Some(": needs HTTP, and this is none".to_owned());
        }
        let failing = |groups: &[Vec<Clause>]| {
            let every = groups.iter().map(|group| {
                group.iter().find(|clause| !clause.matches(action, facts)).map(Clause::describe)
            });
            // Only when no group matches is there something to tell.
            every.collect::<Option<Vec<_>>>().filter(|fields| !fields.is_empty())
        };
        let fields = failing(&self.from).or_else(|| failing(&self.to)).or_else(|| {
            let clause = self.when.iter().find(|clause| !clause.matches(action, facts))?;
            Some(vec![clause.describe()])
        })?;
        Some(format!(": {} does not match", fields.join(", ")))
    }
}
