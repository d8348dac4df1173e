//! From what is there to what is wanted.

use std::collections::BTreeMap;

use super::saved::{Canonical, Line, Saved};
use super::{body, chains, line, of};
use crate::model::{At, Chain, Family, Rule, Table};
use crate::settings::TPROXY_OUTBOUND_MARK;
use crate::standing::{Difference, Standing, differences};

/// Our chains of iptables.
const CHAINS: [Chain; 8] = [
    Chain::IstioInbound,
    Chain::IstioRedirect,
    Chain::IstioInRedirect,
    Chain::IstioOutput,
    Chain::IstioOutputDns,
    Chain::IstioDivert,
    Chain::IstioTproxy,
    Chain::IstioDrop,
];

/// The chains that others have rules in, too.
const BUILT_IN: [Chain; 2] = [Chain::Prerouting, Chain::Output];

/// How the rules of a family stand to those that are wanted. Rules of others in the chains that the
/// kernel has anyway do not count; `known` is as for [`change`].
#[must_use]
pub fn compare(known: &[Rule], wanted: &[Rule], family: Family, saved: &Saved) -> Standing {
    let mut found_any = false;
    let mut all: Vec<Difference> = Vec::new();
    for table in Table::ALL {
        let rules = by_chain(wanted, table, family);
        let known = by_chain(known, table, family);
        let led_to = chains(&of(wanted, table, family).collect::<Vec<_>>());
        for chain in BUILT_IN.into_iter().chain(CHAINS) {
            let wanted = rules.get(&chain).map_or(&[][..], Vec::as_slice);
            let known = known.get(&chain).map_or(&[][..], Vec::as_slice);
            let found = own(saved, table, chain, known);
            let there =
                !chain.is_built_in() && saved.chain(table.name(), chain.iptables()).is_some();
            found_any |= there || !found.is_empty();
            let place = format!("{} {}", table.name(), chain.iptables());
            let found: Vec<(Canonical, String)> =
                found.into_iter().map(|line| (line.rule.clone(), line.body.clone())).collect();
            if there && !led_to.contains(&chain) && found.is_empty() {
                let kind = crate::standing::Kind::Unexpected("the chain itself".to_owned());
                all.push(Difference { place: place.clone(), kind });
            }
            all.extend(differences(&place, wanted, &found));
        }
    }
    match (all.is_empty(), found_any) {
        (true, true) => Standing::InPlace,
        // Nothing is wanted, and nothing is there.
        (true, false) if of_family(wanted, family) == 0 => Standing::InPlace,
        (_, false) => Standing::Absent,
        (false, true) => Standing::Differs(all),
    }
}

fn of_family(rules: &[Rule], family: Family) -> usize {
    rules.iter().filter(|rule| rule.is_of(family)).count()
}

/// What `iptables-restore --noflush` reads so that of ours there is what is wanted and nothing else;
/// empty where there is nothing to be done. `known` are rules that count as ours in the chains that
/// the kernel has anyway, besides those that lead to our chains: the ones that the settings ask for,
/// so those that are wanted at the least.
///
/// Each table changes at once: no connection sees it half done.
#[must_use]
pub fn change(known: &[Rule], wanted: &[Rule], family: Family, saved: &Saved) -> String {
    let mut text = String::new();
    for table in Table::ALL {
        let lines = table_change(known, wanted, table, family, saved);
        if !lines.is_empty() {
            text.push_str(&format!("* {}\n{}\nCOMMIT\n", table.name(), lines.join("\n")));
        }
    }
    text
}

fn table_change(
    known: &[Rule],
    wanted: &[Rule],
    table: Table,
    family: Family,
    saved: &Saved,
) -> Vec<String> {
    let rules: Vec<&Rule> = of(wanted, table, family).collect();
    let made = chains(&rules);
    let there: Vec<Chain> = CHAINS
        .into_iter()
        .filter(|chain| saved.chain(table.name(), chain.iptables()).is_some())
        .collect();
    let mut lines = Vec::new();
    let known = by_chain(known, table, family);
    for chain in BUILT_IN {
        let known = known.get(&chain).map_or(&[][..], Vec::as_slice);
        for rule in own(saved, table, chain, known) {
            lines.push(format!("-D {} {}", chain.iptables(), rule.body));
        }
    }
    lines.extend(there.iter().map(|chain| format!("-F {}", chain.iptables())));
    let gone = there.iter().filter(|chain| !made.contains(chain));
    lines.extend(gone.map(|chain| format!("-X {}", chain.iptables())));
    let new = made.iter().filter(|chain| !there.contains(chain));
    lines.extend(new.map(|chain| format!("-N {}", chain.iptables())));
    lines.extend(rules.into_iter().map(line));
    lines
}

/// The rules of each chain of a table, in the order in which the kernel will have them.
fn by_chain(
    rules: &[Rule],
    table: Table,
    family: Family,
) -> BTreeMap<Chain, Vec<(Canonical, String)>> {
    let mut chains: BTreeMap<Chain, Vec<(Canonical, String)>> = BTreeMap::new();
    for rule in of(rules, table, family) {
        let body = body(rule);
        let chain = chains.entry(rule.chain).or_default();
        let at = match rule.at {
            At::End => chain.len(),
            At::After(before) => before.min(chain.len()),
        };
        chain.insert(at, (Canonical::parse(&body), body));
    }
    chains
}

/// The rules of a chain that are ours: all of our chains; of the others those that lead to our
/// chains, those that are known, and those that only TPROXY mode has.
fn own<'s>(
    saved: &'s Saved,
    table: Table,
    chain: Chain,
    known: &[(Canonical, String)],
) -> Vec<&'s Line> {
    let lines = saved.chain(table.name(), chain.iptables()).unwrap_or_default().iter();
    let outbound_mark = TPROXY_OUTBOUND_MARK.to_string();
    lines
        .filter(|line| {
            let leads_to_ours = line
                .rule
                .target()
                .is_some_and(|target| CHAINS.iter().any(|chain| chain.iptables() == target));
            !chain.is_built_in()
                || leads_to_ours
                || known.iter().any(|(rule, _)| *rule == line.rule)
                || line.rule.value("--set-mark") == Some(&outbound_mark)
        })
        .collect()
}
