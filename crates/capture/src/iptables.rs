//! Rules as iptables has them: one set for each family, kept in tables.
//!
//! [`restore`] renders what `iptables-restore --noflush` is to read, table by table, each of which the
//! kernel takes whole or not at all. [`Saved`] is what `iptables-save` prints; [`compare`] says how it
//! stands to what is wanted, and [`change`] what `iptables-restore` is to read so that it does.

mod change;
mod saved;

use std::collections::BTreeSet;

pub use change::{change, compare};
pub use saved::Saved;

use crate::model::{At, Chain, Family, Is, Match, Protocol, Rule, Table, Verdict};

/// The program that prints the rules of a family.
#[must_use]
pub fn save_program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-save",
        Family::V6 => "ip6tables-save",
    }
}

/// The program that reads the rules of a family.
#[must_use]
pub fn restore_program(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-restore",
        Family::V6 => "ip6tables-restore",
    }
}

/// What `iptables-restore --noflush` reads where there is nothing of ours yet. Empty without rules.
#[must_use]
pub fn restore(rules: &[Rule], family: Family) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let own: Vec<&Rule> = of(rules, table, family).collect();
        if own.is_empty() {
            continue;
        }
        text.push_str(&format!("* {}\n", table.name()));
        for chain in chains(&own) {
            text.push_str(&format!("-N {}\n", chain.iptables()));
        }
        for rule in own {
            text.push_str(&line(rule));
            text.push('\n');
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// The programs that are run where there is nothing of ours yet, and what they read, a line each, as
/// Istio's tool tells it: both families are looked at before, the captured ones after.
#[must_use]
pub fn transcript(rules: &[Rule], ipv6: bool) -> Vec<String> {
    let mut lines: Vec<String> = Family::BOTH.map(|family| save_program(family).to_owned()).into();
    for family in Family::BOTH {
        lines.extend(restore(rules, family).lines().map(str::to_owned));
    }
    lines.push(save_program(Family::V4).to_owned());
    if ipv6 {
        lines.push(save_program(Family::V6).to_owned());
    }
    lines
}

fn of(rules: &[Rule], table: Table, family: Family) -> impl Iterator<Item = &Rule> {
    rules.iter().filter(move |rule| rule.table == table && rule.is_of(family))
}

/// The chains to be made: those with rules, as they come first, and then those that are only led to.
fn chains(rules: &[&Rule]) -> Vec<Chain> {
    let filled = rules.iter().map(|rule| rule.chain);
    let led_to = rules.iter().filter_map(|rule| match rule.verdict {
        Verdict::Jump(chain) => Some(chain),
        _ => None,
    });
    let mut seen = BTreeSet::new();
    filled.chain(led_to).filter(|chain| !chain.is_built_in() && seen.insert(*chain)).collect()
}

/// A rule as a line that puts it into its chain.
fn line(rule: &Rule) -> String {
    let chain = rule.chain.iptables();
    let place = match rule.at {
        At::End => format!("-A {chain}"),
        At::After(before) => format!("-I {chain} {}", before + 1),
    };
    format!("{place} {}", body(rule))
}

/// What the line says apart from the place.
fn body(rule: &Rule) -> String {
    let mut words = Vec::new();
    let mut named = false;
    for matched in &rule.matches {
        if let Match::Protocol(protocol)
        | Match::SourcePort(protocol, _)
        | Match::DestinationPort(protocol, ..) = matched
            && !named
        {
            words.push(format!("-p {protocol}"));
            named = true;
        }
        words.extend(match_words(matched));
    }
    words.push(target(rule));
    words.join(" ")
}

fn not(is: Is) -> &'static str {
    match is {
        Is::So => "",
        Is::Not => "! ",
    }
}

fn match_words(matched: &Match) -> Option<String> {
    Some(match matched {
        Match::Protocol(_) => return None,
        Match::In(name) => format!("-i {}", name.as_str()),
        Match::Out(name) => format!("-o {}", name.as_str()),
        Match::Source(is, range) => format!("{}-s {}", not(*is), crate::model::range(range)),
        Match::Destination(is, range) => format!("{}-d {}", not(*is), crate::model::range(range)),
        Match::SourcePort(_, port) => format!("--sport {port}"),
        Match::DestinationPort(_, is, ports) => match ports.as_slice() {
            [port] => format!("{}--dport {port}", not(*is)),
            ports => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                format!("-m multiport {}--dports {}", not(*is), ports.join(","))
            }
        },
        Match::User(is, id) => format!("-m owner {}--uid-owner {id}", not(*is)),
        Match::Group(is, group) => format!("-m owner {}--gid-owner {group}", not(*is)),
        Match::Mark(is, mark) => format!("-m mark {}--mark {mark}", not(*is)),
        Match::ConnectionMark(mark) => format!("-m connmark --mark {mark}"),
        Match::Established => "-m conntrack --ctstate RELATED,ESTABLISHED".to_owned(),
        Match::Invalid => "-m conntrack --ctstate INVALID".to_owned(),
    })
}

fn target(rule: &Rule) -> String {
    match rule.verdict {
        Verdict::Return => "-j RETURN".to_owned(),
        Verdict::Accept => "-j ACCEPT".to_owned(),
        Verdict::Drop => "-j DROP".to_owned(),
        Verdict::Jump(chain) => format!("-j {}", chain.iptables()),
        Verdict::Redirect(port) => {
            // iptables takes any beginning of an option, and Istio shortens it for UDP.
            let plural = if rule.protocol() == Some(Protocol::Udp) { "" } else { "s" };
            format!("-j REDIRECT --to-port{plural} {port}")
        }
        Verdict::Tproxy { port, mark } => {
            format!("-j TPROXY --tproxy-mark {mark}/0xffffffff --on-port {port}")
        }
        Verdict::SetMark(mark) => format!("-j MARK --set-mark {mark}"),
        Verdict::SaveMark => "-j CONNMARK --save-mark".to_owned(),
        Verdict::RestoreMark => "-j CONNMARK --restore-mark".to_owned(),
        Verdict::Zone(zone) => format!("-j CT --zone {zone}"),
    }
}
