//! Settings → rules: the one place that knows what is captured.
//!
//! Order and shape are Istio's (`tools/istio-iptables`, the contract of its init container), since
//! people read these rules when something is wrong, and tools compare them.

mod dns;
mod inbound;
mod outbound;

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::model::{At, Chain, Family, Is, Match, Protocol, Rule, Table, Verdict};
use crate::settings::{Interface, Mode, Settings};

/// The address from which the proxy dials its application on connections that it only passes
/// through, and the agent probes it. What comes from there is never captured again.
pub const PASSTHROUGH_V4: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
/// The same in IPv6. Unlike its sibling it has to be given to the loopback interface first.
pub const PASSTHROUGH_V6: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 6);

/// The rules for these settings, each in the order in which its packet filter is told it.
#[must_use]
pub fn rules(settings: &Settings) -> Vec<Rule> {
    let mut rules = Rules::new(settings);
    excluded_interfaces(&mut rules);
    rerouted_interfaces(&mut rules);
    if settings.drop_invalid {
        rules.add(
            Table::Mangle,
            Chain::Prerouting,
            [Match::Invalid],
            Verdict::Jump(Chain::IstioDrop),
        );
        rules.add(Table::Mangle, Chain::IstioDrop, [], Verdict::Drop);
    }
    redirections(&mut rules);
    inbound::ports(&mut rules);
    outbound::outbound(&mut rules);
    if settings.mode == Mode::Tproxy {
        inbound::marks(&mut rules);
    }
    rules.rules
}

/// Rules in the making.
struct Rules<'s> {
    settings: &'s Settings,
    families: Vec<Family>,
    rules: Vec<Rule>,
}

impl<'s> Rules<'s> {
    fn new(settings: &'s Settings) -> Self {
        let families = if settings.ipv6 { Family::BOTH.to_vec() } else { vec![Family::V4] };
        Self { settings, families, rules: Vec::new() }
    }

    /// A rule at the end of its chain, for all families.
    fn add(
        &mut self,
        table: Table,
        chain: Chain,
        matches: impl IntoIterator<Item = Match>,
        verdict: Verdict,
    ) {
        self.put(table, chain, At::End, self.families.clone(), matches, verdict);
    }

    /// The same for some families; without one of those that are captured there is no rule.
    fn add_for(
        &mut self,
        families: impl IntoIterator<Item = Family>,
        table: Table,
        chain: Chain,
        matches: impl IntoIterator<Item = Match>,
        verdict: Verdict,
    ) {
        self.put(table, chain, At::End, families.into_iter().collect(), matches, verdict);
    }

    /// A rule with `before` others before it, for all families.
    fn insert(
        &mut self,
        table: Table,
        chain: Chain,
        before: usize,
        matches: impl IntoIterator<Item = Match>,
        verdict: Verdict,
    ) {
        self.put(table, chain, At::After(before), self.families.clone(), matches, verdict);
    }

    fn put(
        &mut self,
        table: Table,
        chain: Chain,
        at: At,
        mut families: Vec<Family>,
        matches: impl IntoIterator<Item = Match>,
        verdict: Verdict,
    ) {
        families.retain(|family| self.families.contains(family));
        if families.is_empty() {
            return;
        }
        let matches = matches.into_iter().collect();
        self.rules.push(Rule { table, chain, at, families, matches, verdict });
    }

    /// The families that are captured; a list of its own, so that rules can be added meanwhile.
    fn each_family(&self) -> Vec<Family> {
        self.families.clone()
    }

    /// The addresses at which containers of the pod talk to each other.
    fn loopback(&self, family: Family) -> IpNet {
        match family {
            Family::V4 => self.settings.loopback.into(),
            Family::V6 => Ipv6Net::from(Ipv6Addr::LOCALHOST).into(),
        }
    }
}

/// The address of [`PASSTHROUGH_V4`] or [`PASSTHROUGH_V6`].
fn passthrough(family: Family) -> IpNet {
    match family {
        Family::V4 => Ipv4Net::from(PASSTHROUGH_V4).into(),
        Family::V6 => Ipv6Net::from(PASSTHROUGH_V6).into(),
    }
}

/// The family of a range.
fn family(range: &IpNet) -> Family {
    match range {
        IpNet::V4(_) => Family::V4,
        IpNet::V6(_) => Family::V6,
    }
}

fn on_loopback() -> Match {
    Match::Out(Interface::loopback())
}

/// Nothing of these interfaces is looked at.
fn excluded_interfaces(rules: &mut Rules<'_>) {
    let mut tables = vec![Table::Nat];
    if rules.settings.mode == Mode::Tproxy {
        tables.push(Table::Mangle);
    }
    for table in tables {
        for name in &rules.settings.interfaces_excluded {
            rules.add(table, Chain::Prerouting, [Match::In(name.clone())], Verdict::Return);
            rules.add(table, Chain::Output, [Match::Out(name.clone())], Verdict::Return);
        }
    }
}

/// What virtual machines behind these interfaces send is not inbound. The rule that makes it
/// outbound is put before this one, where outbound traffic is captured at all.
fn rerouted_interfaces(rules: &mut Rules<'_>) {
    for name in &rules.settings.interfaces_rerouted {
        rules.insert(Table::Nat, Chain::Prerouting, 0, [Match::In(name.clone())], Verdict::Return);
    }
}

/// The ports of the proxy, and the one that is left alone.
fn redirections(rules: &mut Rules<'_>) {
    let Settings { tunnel_port, outbound_port, inbound_port, .. } = *rules.settings;
    let tcp = Match::Protocol(Protocol::Tcp);
    rules.add(
        Table::Nat,
        Chain::IstioInbound,
        [tcp.clone(), Match::DestinationPort(Protocol::Tcp, Is::So, vec![tunnel_port])],
        Verdict::Return,
    );
    rules.add(Table::Nat, Chain::IstioRedirect, [tcp.clone()], Verdict::Redirect(outbound_port));
    rules.add(Table::Nat, Chain::IstioInRedirect, [tcp], Verdict::Redirect(inbound_port));
}
