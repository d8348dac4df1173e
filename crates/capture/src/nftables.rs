//! Rules as nftables has them: one set for both families, in tables of our own.
//!
//! [`load`] renders what `nft -f -` is to read, which the kernel takes whole or not at all.
//! [`Listing`] is what `nft list ruleset` prints; [`compare`] says how it stands to what is wanted,
//! and [`change`] what `nft` is to read so that it does.
//!
//! A table holds both families, so that a rule without an address applies to IPv6 even where the
//! settings leave that out. So does Istio's.

mod change;
mod listing;

pub use change::{change, compare};
pub use listing::Listing;

use crate::model::{At, Chain, Family, Is, Match, Rule, Table, Verdict, range};
use crate::settings::Interface;

/// Tables, in nftables' order.
const TABLES: [Table; 3] = [Table::Nat, Table::Mangle, Table::Raw];

/// The name of our table that does what iptables' table does.
#[must_use]
pub fn table_name(table: Table) -> &'static str {
    match table {
        Table::Nat => "istio-proxy-nat",
        Table::Mangle => "istio-proxy-mangle",
        Table::Raw => "istio-proxy-raw",
    }
}

/// What `nft -f -` reads where there is nothing of ours yet. Empty without rules.
#[must_use]
pub fn load(rules: &[Rule]) -> String {
    let mut text = String::new();
    for table in TABLES {
        let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.table == table).collect();
        if rules.is_empty() {
            continue;
        }
        let name = format!("inet {}", table_name(table));
        text.push_str(&format!("add table {name}\nflush table {name}\n"));
        for chain in chains(table, &rules) {
            text.push_str(&format!(
                "add chain {name} {}{}\n",
                chain.nftables(),
                hook(table, chain)
            ));
        }
        let mut counts = Counts::default();
        for rule in rules {
            let (chain, body) = (rule.chain.nftables(), body(rule));
            text.push_str(&match counts.place(rule) {
                None => format!("add rule {name} {chain} {body}\n"),
                Some(index) => format!("insert rule {name} {chain} index {index} {body}\n"),
            });
        }
    }
    text
}

/// How many rules each chain has so far.
#[derive(Default)]
struct Counts(std::collections::BTreeMap<Chain, usize>);

impl Counts {
    /// The index of the rule that this one is inserted before; `None` at the end, which cannot be
    /// said by an index.
    fn place(&mut self, rule: &Rule) -> Option<usize> {
        let count = self.0.entry(rule.chain).or_default();
        let place = match rule.at {
            At::After(before) if before < *count => Some(before),
            At::After(_) | At::End => None,
        };
        *count += 1;
        place
    }
}

/// The chains of a table that have rules, in the order in which they are made.
fn chains(table: Table, rules: &[&Rule]) -> Vec<Chain> {
    let order: &[Chain] = match table {
        Table::Nat => &[
            Chain::Prerouting,
            Chain::Output,
            Chain::IstioInbound,
            Chain::IstioRedirect,
            Chain::IstioInRedirect,
            Chain::IstioOutput,
            Chain::IstioOutputDns,
        ],
        Table::Mangle => &[
            Chain::Prerouting,
            Chain::Output,
            Chain::IstioDivert,
            Chain::IstioTproxy,
            Chain::IstioInbound,
            Chain::IstioDrop,
        ],
        Table::Raw => {
            &[Chain::Prerouting, Chain::Output, Chain::IstioInbound, Chain::IstioOutputDns]
        }
    };
    let filled = |chain: &&Chain| rules.iter().any(|rule| rule.chain == **chain);
    order.iter().filter(filled).copied().collect()
}

/// Where the kernel calls a chain.
fn hook(table: Table, chain: Chain) -> String {
    let at = match chain {
        Chain::Prerouting => "prerouting",
        Chain::Output => "output",
        _ => return String::new(),
    };
    let (kind, priority) = match (table, chain) {
        (Table::Nat, _) => ("nat", -100),
        // A packet whose mark has changed is routed anew.
        (Table::Mangle, Chain::Output) => ("route", -150),
        (Table::Mangle, _) => ("filter", -150),
        (Table::Raw, _) => ("filter", -300),
    };
    format!(" {{ type {kind} hook {at} priority {priority} ; }}")
}

/// A rule apart from its place.
fn body(rule: &Rule) -> String {
    let mut matches: Vec<&Match> = rule.matches.iter().collect();
    matches.sort_by_key(|matched| rank(rule.table, matched));
    let words = matches.into_iter().map(|matched| match_words(rule.table, matched));
    words.chain([verdict(rule)]).collect::<Vec<_>>().join(" ")
}

/// The order of matches. Istio has one for its raw table, where a port comes first, and one for the
/// others.
fn rank(table: Table, matched: &Match) -> u8 {
    match matched {
        Match::SourcePort(..) | Match::DestinationPort(..) if table == Table::Raw => 0,
        Match::In(_) | Match::Out(_) => 1,
        Match::Protocol(_) => 2,
        Match::Source(..) | Match::Destination(..) => 3,
        Match::Established | Match::Invalid => 4,
        Match::SourcePort(..) | Match::DestinationPort(..) => 5,
        Match::Mark(..) | Match::ConnectionMark(_) => 6,
        Match::User(..) | Match::Group(..) => 7,
    }
}

fn not(is: Is) -> &'static str {
    match is {
        Is::So => "",
        Is::Not => "!= ",
    }
}

fn match_words(table: Table, matched: &Match) -> String {
    let owner = if table == Table::Raw { "meta " } else { "" };
    match matched {
        Match::Protocol(protocol) => format!("meta l4proto {protocol}"),
        Match::In(name) => format!("iifname {}", interface(name)),
        Match::Out(name) => format!("oifname {}", interface(name)),
        Match::Source(is, source) => address("saddr", *is, source),
        Match::Destination(is, destination) => address("daddr", *is, destination),
        Match::SourcePort(protocol, port) => format!("{protocol} sport {port}"),
        Match::DestinationPort(protocol, is, ports) => {
            let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let ports = match ports.as_slice() {
                [port] => port.clone(),
                ports => format!("{{ {} }}", ports.join(", ")),
            };
            format!("{protocol} dport {}{ports}", not(*is))
        }
        Match::User(is, id) => format!("{owner}skuid {}{id}", not(*is)),
        Match::Group(is, group) => format!("{owner}skgid {}{group}", not(*is)),
        Match::Mark(is, mark) => format!("mark {}{mark}", not(*is)),
        Match::ConnectionMark(mark) => format!("ct mark {mark}"),
        Match::Established => "ct state related,established".to_owned(),
        Match::Invalid => "meta l4proto tcp ct state invalid".to_owned(),
    }
}

fn address(field: &str, is: Is, addresses: &ipnet::IpNet) -> String {
    let family = match addresses {
        ipnet::IpNet::V4(_) => "ip",
        ipnet::IpNet::V6(_) => "ip6",
    };
    format!("{family} {field} {}{}", not(is), range(addresses))
}

/// A name as nft reads it: what is no plain word stands in quotation marks, and where iptables writes
/// `+` for any continuation, nft writes `*`.
fn interface(name: &Interface) -> String {
    let name = name.as_str();
    if let Some(stem) = name.strip_suffix('+') {
        return format!("\"{stem}*\"");
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let word = name.starts_with(|first: char| first.is_ascii_alphabetic());
    if word && name.chars().all(plain) { name.to_owned() } else { format!("\"{name}\"") }
}

fn verdict(rule: &Rule) -> String {
    match rule.verdict {
        Verdict::Return => "counter return".to_owned(),
        Verdict::Accept => "counter accept".to_owned(),
        Verdict::Drop => "counter drop".to_owned(),
        Verdict::Jump(chain) => format!("counter jump {}", chain.nftables()),
        Verdict::Redirect(port) => format!("counter redirect to :{port}"),
        Verdict::Tproxy { port, mark } => {
            let family = if rule.is_of(Family::V6) { "ip6" } else { "ip" };
            format!("tproxy {family} to :{port} meta mark set {mark} counter accept")
        }
        Verdict::SetMark(mark) => format!("counter meta mark set {mark}"),
        Verdict::SaveMark => "counter ct mark set mark".to_owned(),
        Verdict::RestoreMark => "counter meta mark set ct mark".to_owned(),
        Verdict::Zone(zone) => format!("counter ct zone set {zone}"),
    }
}
