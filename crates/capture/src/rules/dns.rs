//! Questions to name servers.
//!
//! The agent answers them, and asks the real servers itself. Both conversations are about port 53 of
//! the same servers, over UDP; tracked as one, the answers would be given to the wrong side. So the
//! agent's own questions are tracked in zone 1 and the workload's in zone 2.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Rules, family};
use crate::model::{Chain, Family, Is, Match, Protocol, Table, Verdict};
use crate::settings::{DNS_PORT, Dns, Group};

/// The port of name servers.
const DNS: u16 = 53;
/// Where the agent's own questions are tracked.
const UPSTREAM: Verdict = Verdict::Zone(1);
/// Where the workload's are.
const DOWNSTREAM: Verdict = Verdict::Zone(2);

pub(super) fn capture(rules: &mut Rules<'_>) {
    let servers = match &rules.settings.dns {
        Dns::Uncaptured => return,
        Dns::Servers { v4, v6 } => {
            let v4 = v4.iter().map(|server| IpNet::from(Ipv4Net::from(*server)));
            let v6 = v6.iter().map(|server| IpNet::from(Ipv6Net::from(*server)));
            Some(v4.chain(v6).collect::<Vec<_>>())
        }
        Dns::All => None,
    };
    rules.add(Table::Raw, Chain::Output, [], Verdict::Jump(Chain::IstioOutputDns));
    let families: Vec<Family> = match &servers {
        Some(servers) => servers.iter().map(family).collect(),
        None => Family::BOTH.to_vec(),
    };
    let families: Vec<Family> =
        Family::BOTH.into_iter().filter(|family| families.contains(family)).collect();
    rules.add_for(
        families.clone(),
        Table::Nat,
        Chain::IstioOutput,
        [],
        Verdict::Jump(Chain::IstioOutputDns),
    );
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        redirect(rules, protocol, servers.as_deref());
    }
    proxy_zones(rules);
    rules.add_for(families, Table::Raw, Chain::Prerouting, [], Verdict::Jump(Chain::IstioInbound));
    workload_zones(rules, servers.as_deref());
}

fn question(protocol: Protocol) -> Match {
    Match::DestinationPort(protocol, Is::So, vec![DNS])
}

fn redirect(rules: &mut Rules<'_>, protocol: Protocol, servers: Option<&[IpNet]>) {
    let (table, chain, to_agent) = (Table::Nat, Chain::IstioOutputDns, Verdict::Redirect(DNS_PORT));
    let Some(servers) = servers else {
        // Only here does Istio name the protocol of nftables' rule twice, and only TCP.
        let named = (protocol == Protocol::Tcp).then_some(Match::Protocol(protocol));
        return rules.add(table, chain, named.into_iter().chain([question(protocol)]), to_agent);
    };
    for server in servers {
        let asked = [question(protocol), Match::Destination(Is::So, *server)];
        rules.add_for([family(server)], table, chain, asked, to_agent);
    }
}

/// The agent's questions to servers, and its answers to the workload.
fn proxy_zones(rules: &mut Rules<'_>) {
    let settings = rules.settings;
    let users = settings.proxy_users.iter().map(|id| Match::User(Is::So, *id));
    let groups = settings.proxy_groups.iter().map(|id| Match::Group(Is::So, Group::Id(*id)));
    for owner in users.chain(groups) {
        let asks = [question(Protocol::Udp), owner.clone()];
        rules.add(Table::Raw, Chain::IstioOutputDns, asks, UPSTREAM);
        let answers = [Match::SourcePort(Protocol::Udp, DNS_PORT), owner];
        rules.add(Table::Raw, Chain::IstioOutputDns, answers, DOWNSTREAM);
    }
}

/// The workload's questions, and the servers' answers to the agent.
fn workload_zones(rules: &mut Rules<'_>, servers: Option<&[IpNet]>) {
    let answer = Match::SourcePort(Protocol::Udp, DNS);
    let Some(servers) = servers else {
        rules.add(Table::Raw, Chain::IstioOutputDns, [question(Protocol::Udp)], DOWNSTREAM);
        return rules.add(Table::Raw, Chain::IstioInbound, [answer], UPSTREAM);
    };
    for server in servers {
        let family = [family(server)];
        let to = [question(Protocol::Udp), Match::Destination(Is::So, *server)];
        rules.add_for(family, Table::Raw, Chain::IstioOutputDns, to, DOWNSTREAM);
        let from = [answer.clone(), Match::Source(Is::So, *server)];
        rules.add_for(family, Table::Raw, Chain::IstioInbound, from, UPSTREAM);
    }
}
