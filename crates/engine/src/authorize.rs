//! Whether a connection or a request is allowed.
//!
//! CUSTOM, then AUTHENTICATE (of requests only), then AUDIT, then DENY, then ALLOW; without any ALLOW
//! policy everything that is not denied is allowed. Whatever is not understood never matches in ALLOW
//! and always matches in DENY, CUSTOM and AUTHENTICATE, so that a policy fails closed. Dry-run policies are evaluated and reported, never
//! enforced.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::Origin;
use crate::plan::Plan;
use crate::route::Request;

mod clause;
mod policy;
mod template;
mod value;

pub use policy::{Action, Policy};

/// What is known of the caller and of the connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer<'a> {
    /// SPIFFE ID from the verified certificate of the mTLS peer, whole.
    pub identity: Option<&'a str>,
    /// Address of the TCP peer.
    pub source: IpAddr,
    /// Address of the client that is trusted to be the first (`x-forwarded-for`, PROXY protocol);
    /// the same as `source` where there is no such thing.
    pub remote: IpAddr,
    /// Address and port of the workload; at a gateway the listener's.
    pub destination: SocketAddr,
    /// Server name of the TLS handshake.
    pub sni: Option<&'a str>,
}

/// A policy, and which of its rules matched.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'p> {
    /// The policy.
    pub policy: &'p Arc<Policy>,
    /// Number of the rule, from 0; `None`: the policy as a whole, since it is not understood.
    pub rule: Option<usize>,
}

impl PartialEq for Matched<'_> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.policy, other.policy) && self.rule == other.rule
    }
}

impl<'p> Matched<'p> {
    /// The rule, or the policy.
    #[must_use]
    pub fn origin(&self) -> &'p Origin {
        self.rule.and_then(|rule| self.policy.rule_origin(rule)).unwrap_or(self.policy.origin())
    }

    /// As Istio writes it into details and logs: `ns[foo]-policy[bar]-rule[0]`.
    #[must_use]
    pub fn id(&self) -> String {
        let rule = self.rule.unwrap_or(0);
        format!("ns[{}]-policy[{}]-rule[{rule}]", self.policy.namespace(), self.policy.name())
    }
}

/// The answer of authorization.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<'p> {
    /// Whether it may go on.
    pub allowed: bool,
    /// The policy and rule that decided; `None`: there is no ALLOW policy, or none of them matched.
    pub decided_by: Option<Matched<'p>>,
    /// AUDIT policies that matched.
    pub audited: SmallVec<[Matched<'p>; 1]>,
    /// Dry-run policies that matched: what they would do is not done.
    pub shadow: SmallVec<[Matched<'p>; 1]>,
}

impl<'p> Verdict<'p> {
    /// What decided.
    #[must_use]
    pub fn origin(&self) -> &'p Origin {
        self.decided_by.map_or(Origin::mesh_default(), |matched| matched.origin())
    }

    /// Envoy's response code details of a refusal.
    #[must_use]
    pub fn detail(&self) -> String {
        let policy = self.decided_by.map_or_else(|| "none".to_owned(), |matched| matched.id());
        format!("rbac_access_denied_matched_policy[{policy}]")
    }
}

/// The policies of the workload, by action, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    all: Vec<Arc<Policy>>,
}

impl Policies {
    pub(crate) fn new(mut all: Vec<Arc<Policy>>) -> Self {
        all.sort_by_key(|policy| policy.action());
        Self { all }
    }

    fn of(&self, action: Action) -> impl Iterator<Item = &Arc<Policy>> {
        self.all.iter().filter(move |policy| policy.action() == action)
    }
}

impl Plan {
    /// Whether a connection of opaque bytes is allowed. Fields that only HTTP has take no part in
    /// DENY (which then denies more), and take their rule out of ALLOW (which then allows less).
    #[must_use]
    pub fn authorize_connection(&self, peer: &Peer<'_>) -> Verdict<'_> {
        self.authorize(peer, None, &mut Untraced)
    }

    /// [`Self::authorize_connection`], explained.
    #[must_use]
    pub fn explain_authorize_connection(&self, peer: &Peer<'_>) -> Explained<Verdict<'_>> {
        explain(|trace| self.authorize(peer, None, trace))
    }

    /// Whether a request is allowed. Its path is normalised already.
    #[must_use]
    pub fn authorize_request(&self, peer: &Peer<'_>, request: &Request<'_>) -> Verdict<'_> {
        self.authorize(peer, Some(request), &mut Untraced)
    }

    /// [`Self::authorize_request`], explained.
    #[must_use]
    pub fn explain_authorize_request(
        &self,
        peer: &Peer<'_>,
        request: &Request<'_>,
    ) -> Explained<Verdict<'_>> {
        explain(|trace| self.authorize(peer, Some(request), trace))
    }

    fn authorize<T: Trace>(
        &self,
        peer: &Peer<'_>,
        request: Option<&Request<'_>>,
        trace: &mut T,
    ) -> Verdict<'_> {
        let mut verdict = Verdict {
            allowed: false,
            decided_by: None,
            audited: SmallVec::new(),
            shadow: SmallVec::new(),
        };
        let mut allow_exists = false;
        for action in Action::IN_ORDER {
            // Opaque bytes carry no token.
            if action == Action::Authenticate && request.is_none() {
                continue;
            }
            for policy in self.policies.of(action) {
                allow_exists |= action == Action::Allow && !policy.dry_run();
                let rule = policy.matches(peer, request, trace);
                let Some(matched) = rule.map(|rule| Matched { policy, rule }) else { continue };
                if policy.dry_run() {
                    verdict.shadow.push(matched);
                    continue;
                }
                match action {
                    Action::Audit => verdict.audited.push(matched),
                    Action::Custom | Action::Authenticate | Action::Deny | Action::Allow => {
                        verdict.allowed = action == Action::Allow;
                        verdict.decided_by = Some(matched);
                        return verdict;
                    }
                }
            }
        }
        verdict.allowed = !allow_exists;
        trace.step(What::Policy, Origin::mesh_default(), verdict.allowed, || {
            if allow_exists { "no ALLOW policy matches" } else { "there is no ALLOW policy" }
                .to_owned()
        });
        verdict
    }
}
