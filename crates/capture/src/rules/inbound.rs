//! What arrives.

use super::{Rules, on_loopback, passthrough};
use crate::model::{At, Chain, Is, Match, Protocol, Table, Verdict};
use crate::settings::{Group, InboundPorts, Interface, Mode, TPROXY_OUTBOUND_MARK};

const TCP: Match = Match::Protocol(Protocol::Tcp);

/// Ports whose connections come to the proxy.
pub(super) fn ports(rules: &mut Rules<'_>) {
    let settings = rules.settings;
    if matches!(&settings.inbound_ports, InboundPorts::Only(ports) if ports.is_empty()) {
        return;
    }
    let table = match settings.mode {
        Mode::Redirect => Table::Nat,
        Mode::Tproxy => {
            transparent_chains(rules);
            Table::Mangle
        }
    };
    rules.add(table, Chain::Prerouting, [TCP], Verdict::Jump(Chain::IstioInbound));
    match &settings.inbound_ports {
        InboundPorts::All { except } => {
            for port in except {
                rules.add(table, Chain::IstioInbound, [TCP, to(*port)], Verdict::Return);
            }
            capture(rules, &[]);
        }
        InboundPorts::Only(ports) => {
            for port in ports {
                capture(rules, &[to(*port)]);
            }
        }
    }
}

fn to(port: u16) -> Match {
    Match::DestinationPort(Protocol::Tcp, Is::So, vec![port])
}

/// Connections that match come to the proxy's inbound port.
fn capture(rules: &mut Rules<'_>, which: &[Match]) {
    let matches = |more: Option<Match>| {
        [TCP].into_iter().chain(which.iter().cloned()).chain(more).collect::<Vec<_>>()
    };
    match rules.settings.mode {
        Mode::Redirect => {
            let verdict = Verdict::Jump(Chain::IstioInRedirect);
            rules.add(Table::Nat, Chain::IstioInbound, matches(None), verdict);
        }
        Mode::Tproxy => {
            rules.add(
                Table::Mangle,
                Chain::IstioInbound,
                matches(Some(Match::Established)),
                Verdict::Jump(Chain::IstioDivert),
            );
            rules.add(
                Table::Mangle,
                Chain::IstioInbound,
                matches(None),
                Verdict::Jump(Chain::IstioTproxy),
            );
        }
    }
}

/// Packets of connections that the proxy has are marked and so routed to it; new ones are given to
/// the socket that listens.
fn transparent_chains(rules: &mut Rules<'_>) {
    let (mark, port) = (rules.settings.tproxy_mark, rules.settings.inbound_port);
    rules.add(Table::Mangle, Chain::IstioDivert, [], Verdict::SetMark(mark));
    rules.add(Table::Mangle, Chain::IstioDivert, [], Verdict::Accept);
    for family in rules.each_family() {
        let elsewhere = Match::Destination(Is::Not, rules.loopback(family));
        rules.add_for(
            [family],
            Table::Mangle,
            Chain::IstioTproxy,
            [elsewhere, TCP],
            Verdict::Tproxy { port, mark },
        );
    }
}

/// The marks of TPROXY mode. The proxy dials its application from the client's address with the mark
/// set: connection tracking keeps it, so that the application's answers are routed back to the proxy.
pub(super) fn marks(rules: &mut Rules<'_>) {
    let settings = rules.settings;
    let mark = settings.tproxy_mark;
    let marked = Match::Mark(Is::So, mark);
    let (table, inbound) = (Table::Mangle, Chain::IstioInbound);
    let from_loopback = Match::In(Interface::loopback());

    rules.add(table, Chain::Prerouting, [TCP, marked.clone()], Verdict::SaveMark);
    let dialled = [TCP, on_loopback(), marked.clone()];
    rules.add(table, Chain::Output, dialled, Verdict::Return);
    let users = settings.proxy_users.iter().map(|id| Match::User(Is::So, *id));
    let groups = settings.proxy_groups.iter().map(|id| Match::Group(Is::So, Group::Id(*id)));
    for owner in users.chain(groups) {
        // From the proxy's outbound side to its own inbound side, by the pod's address.
        for family in rules.each_family() {
            let elsewhere = Match::Destination(Is::Not, rules.loopback(family));
            rules.add_for(
                [family],
                table,
                Chain::Output,
                [elsewhere, TCP, on_loopback(), owner.clone()],
                Verdict::SetMark(TPROXY_OUTBOUND_MARK),
            );
        }
    }
    rules.add(table, Chain::Output, [TCP, Match::ConnectionMark(mark)], Verdict::RestoreMark);

    // What the proxy sends to its application is not captured again,
    rules.insert(table, inbound, 0, [TCP, marked], Verdict::Return);
    for family in rules.each_family() {
        let own = [TCP, Match::Source(Is::So, passthrough(family)), from_loopback.clone()];
        rules.put(table, inbound, At::After(1), vec![family], own, Verdict::Return);
    }
    // nor what the application sends to itself.
    let to_itself = [TCP, from_loopback, Match::Mark(Is::Not, TPROXY_OUTBOUND_MARK)];
    rules.insert(table, inbound, 2, to_itself, Verdict::Return);
}
