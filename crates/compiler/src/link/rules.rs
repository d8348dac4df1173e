//! Which DestinationRule governs a host, and what its policies come to.

use std::sync::Arc;

use super::Linker;
use super::visible::Seen;
use crate::node::{Blocks, ExportTo, Rule, Subset, TrafficPolicy, parent_wildcards};

/// The rules for one host that count as one, the oldest first.
pub(super) struct Governing<'a> {
    rules: Vec<&'a Arc<Rule>>,
}

impl<'a> Governing<'a> {
    /// The rule that speaks for all of them.
    pub fn first(&self) -> &'a Arc<Rule> {
        self.rules[0]
    }

    /// The policy of the oldest rule that has one.
    pub fn policy(&self) -> Option<(&'a Arc<Rule>, &'a TrafficPolicy)> {
        self.rules.iter().find_map(|rule| Some((*rule, rule.policy.as_deref()?)))
    }

    /// The first subset of the name.
    pub fn subset(&self, name: &str) -> Option<(&'a Arc<Rule>, &'a Subset)> {
        let mut all =
            self.rules.iter().flat_map(|rule| rule.subsets.iter().map(move |each| (*rule, each)));
        all.find(|(_, subset)| &*subset.name == name)
    }
}

impl<'a> Linker<'a> {
    /// The rules for a service: of the client's namespace, else of the service's, else of the root
    /// namespace; in the first that has any, the most specific host.
    pub(super) fn governing(&self, seen: &Seen<'_>) -> Option<Governing<'a>> {
        let service = &seen.key().namespace;
        let root = self.query.root_namespace();
        let host = &seen.key().host;
        // In the root namespace most rules are meant for everybody: only private ones go first there.
        let own = self.most_specific(host, |pattern| {
            let mut rules: Vec<&Arc<Rule>> = self.scope.rules(pattern).iter().collect();
            rules.retain(|rule| {
                rule.namespace != *root
                    || matches!(&rule.export_to, ExportTo::Namespaces(names) if **names == [root.clone()])
            });
            rules
        });
        let exported = |namespace| {
            self.most_specific(host, |pattern| {
                let rules = self.query.rules(namespace, pattern).iter();
                rules.filter(|rule| self.is_exported(rule)).collect()
            })
        };
        own.or_else(|| exported(service)).or_else(|| exported(root))
    }

    fn is_exported(&self, rule: &Rule) -> bool {
        let exports = self.query.exports();
        self.scope.sees(&rule.export_to, &rule.namespace, &exports.rules)
    }

    /// The rules for a host, or for the longest wildcard above it that has any.
    fn most_specific(
        &self,
        host: &Arc<str>,
        rules: impl Fn(&Arc<str>) -> Vec<&'a Arc<Rule>>,
    ) -> Option<Governing<'a>> {
        let parents = parent_wildcards(host).map(Arc::from);
        let mut patterns = [Arc::clone(host)].into_iter().chain(parents);
        patterns.find_map(|pattern| self.merge(&rules(&pattern)))
    }

    /// A rule that selects the client stands alone; the others count as one where they are exported
    /// alike.
    fn merge(&self, rules: &[&'a Arc<Rule>]) -> Option<Governing<'a>> {
        let selecting = rules.iter().copied().find(|rule| {
            rule.selector.as_ref().is_some_and(|selector| self.scope.selected_by(selector))
        });
        if let Some(rule) = selecting {
            return Some(Governing { rules: vec![rule] });
        }
        let general = || rules.iter().copied().filter(|rule| rule.selector.is_none());
        let export = &general().next()?.export_to;
        Some(Governing { rules: general().filter(|rule| rule.export_to == *export).collect() })
    }
}

/// A block with the rule that it stands in.
pub(super) type Placed<'a, T> = Option<(&'a Arc<Rule>, T)>;

/// The blocks that apply to one port and subset.
#[derive(Default)]
pub(super) struct Effective<'a> {
    pub load_balancing: Placed<'a, &'a crate::node::LoadBalancing>,
    pub connect_timeout_ms: Option<u32>,
    pub tls: Placed<'a, &'a lateen_mesh::v1::UpstreamTls>,
}

impl<'a> Effective<'a> {
    /// The rule's policy under the subset's, block by block. What a policy says for one port stands for
    /// all of its blocks.
    pub fn new(
        governing: &Governing<'a>,
        subset: Option<(&'a Arc<Rule>, &'a Subset)>,
        port: u16,
    ) -> Self {
        let mut effective = Self::default();
        if let Some((rule, policy)) = governing.policy() {
            effective.overlay(rule, blocks(policy, port).0);
        }
        if let Some((rule, policy)) =
            subset.and_then(|(rule, subset)| Some((rule, subset.policy.as_deref()?)))
        {
            let (blocks, of_port) = blocks(policy, port);
            if of_port {
                effective = Self::default();
            }
            effective.overlay(rule, blocks);
        }
        effective
    }

    fn overlay(&mut self, rule: &'a Arc<Rule>, blocks: &'a Blocks) {
        if let Some(balancing) = &blocks.load_balancing {
            self.load_balancing = Some((rule, balancing));
        }
        if let Some(timeout) = blocks.connection_pool {
            self.connect_timeout_ms = timeout;
        }
        if let Some(tls) = &blocks.tls {
            self.tls = Some((rule, tls));
        }
    }
}

/// The blocks for a port, and whether they are the port's own.
fn blocks(policy: &TrafficPolicy, port: u16) -> (&Blocks, bool) {
    match policy.ports.iter().find(|(number, _)| *number == port) {
        Some((_, blocks)) => (blocks, true),
        None => (&policy.blocks, false),
    }
}
