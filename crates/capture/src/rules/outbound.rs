//! What local processes send.

use super::{Rules, dns, family, on_loopback, passthrough};
use crate::model::{At, Chain, Family, Is, Match, Protocol, Table, Verdict};
use crate::settings::{Dns, Group, OwnerGroups, Ranges};

const TCP: Match = Match::Protocol(Protocol::Tcp);
/// The port of name servers.
const DNS: u16 = 53;

/// Everything that is sent goes through one chain, which leaves out more and more and then captures.
pub(super) fn outbound(rules: &mut Rules<'_>) {
    let settings = rules.settings;
    rules.add(Table::Nat, Chain::Output, [], Verdict::Jump(Chain::IstioOutput));
    for port in &settings.outbound_ports_excluded {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            leave_out(rules, [Match::DestinationPort(protocol, Is::So, vec![*port])]);
        }
    }
    for family in rules.each_family() {
        let own = [on_loopback(), Match::Source(Is::So, passthrough(family))];
        leave_out_for(rules, family, own);
    }
    for user in &settings.proxy_users {
        proxy(rules, &|is| Match::User(is, *user), settings.dns != Dns::Uncaptured);
    }
    for group in &settings.proxy_groups {
        // Istio leaves port 53 to the rule for users.
        proxy(rules, &|is| Match::Group(is, Group::Id(*group)), false);
    }
    owner_groups(rules);
    dns::capture(rules);
    for family in rules.each_family() {
        let local = Match::Destination(Is::So, rules.loopback(family));
        leave_out_for(rules, family, [local]);
    }
    for wanted in Family::BOTH {
        for range in &settings.outbound_ranges_excluded {
            if family(range) == wanted {
                leave_out_for(rules, wanted, [Match::Destination(Is::So, *range)]);
            }
        }
    }
    for port in &settings.outbound_ports {
        let to = Match::DestinationPort(Protocol::Tcp, Is::So, vec![*port]);
        rules.add(Table::Nat, Chain::IstioOutput, [to], Verdict::Jump(Chain::IstioRedirect));
    }
    ranges(rules);
}

fn leave_out(rules: &mut Rules<'_>, matches: impl IntoIterator<Item = Match>) {
    rules.add(Table::Nat, Chain::IstioOutput, matches, Verdict::Return);
}

fn leave_out_for(rules: &mut Rules<'_>, family: Family, matches: impl IntoIterator<Item = Match>) {
    rules.add_for([family], Table::Nat, Chain::IstioOutput, matches, Verdict::Return);
}

/// One of the proxy's own users or groups.
fn proxy(rules: &mut Rules<'_>, owner: &dyn Fn(Is) -> Match, spare_dns: bool) {
    let settings = rules.settings;
    // A service that its own workload calls: the proxy's outbound side has chosen this very pod, so
    // the connection is inbound, as it would be from elsewhere.
    let mut spared = vec![settings.tunnel_port];
    if spare_dns {
        spared.insert(0, DNS);
    }
    for family in rules.each_family() {
        let to_itself = [
            on_loopback(),
            Match::Destination(Is::Not, rules.loopback(family)),
            TCP,
            Match::DestinationPort(Protocol::Tcp, Is::Not, spared.clone()),
            owner(Is::So),
        ];
        rules.add_for(
            [family],
            Table::Nat,
            Chain::IstioOutput,
            to_itself,
            Verdict::Jump(Chain::IstioInRedirect),
        );
    }
    // A workload that talks to itself by its address is left alone, unless loopback addresses are
    // asked for; a name server that listens there is looked at below.
    if !settings.outbound_ranges.name_loopback() {
        if settings.dns == Dns::Uncaptured {
            leave_out(rules, [on_loopback(), owner(Is::Not)]);
        } else {
            let not_dns = Match::DestinationPort(Protocol::Tcp, Is::Not, vec![DNS]);
            leave_out(rules, [on_loopback(), TCP, not_dns, owner(Is::Not)]);
        }
    }
    // Whatever the proxy sends otherwise is on its way, of any protocol.
    leave_out(rules, [owner(Is::So)]);
}

fn owner_groups(rules: &mut Rules<'_>) {
    match &rules.settings.owner_groups {
        OwnerGroups::All { except } => {
            for group in except {
                leave_out(rules, [Match::Group(Is::So, group.clone())]);
            }
        }
        OwnerGroups::Only(groups) => {
            let others = groups.iter().map(|group| Match::Group(Is::Not, group.clone()));
            leave_out(rules, others);
        }
    }
}

/// The addresses that are captured, and what virtual machines send to them.
fn ranges(rules: &mut Rules<'_>) {
    let settings = rules.settings;
    let to_proxy = Verdict::Jump(Chain::IstioRedirect);
    let rerouted = &settings.interfaces_rerouted;
    match &settings.outbound_ranges {
        Ranges::All => {
            rules.add(Table::Nat, Chain::IstioOutput, [], to_proxy);
            for name in rerouted {
                let sent = [Match::In(name.clone())];
                rules.insert(Table::Nat, Chain::Prerouting, 0, sent, to_proxy);
            }
        }
        Ranges::Only(ranges) => {
            for wanted in Family::BOTH {
                for range in ranges.iter().filter(|range| family(range) == wanted) {
                    let there = Match::Destination(Is::So, *range);
                    for name in rerouted {
                        let sent = [Match::In(name.clone()), there.clone()];
                        let at = At::After(0);
                        rules.put(Table::Nat, Chain::Prerouting, at, vec![wanted], sent, to_proxy);
                    }
                    rules.add_for([wanted], Table::Nat, Chain::IstioOutput, [there], to_proxy);
                }
            }
        }
    }
}
