//! From what is there to what is wanted.

use std::collections::{BTreeMap, BTreeSet};

use super::listing::{Canonical, Chain as Found, Chains, Listing};
use super::{Counts, TABLES, body, chains, hook, load, table_name};
use crate::model::{Rule, Table};
use crate::standing::{Difference, Kind, Standing, differences};

/// How our tables stand to the rules that are wanted.
#[must_use]
pub fn compare(wanted: &[Rule], listing: &Listing) -> Standing {
    let mut all = Vec::new();
    let mut found_any = false;
    for table in TABLES {
        let name = table_name(table);
        let wanted = expected(wanted, table);
        found_any |= listing.table(name).is_some();
        match listing.table(name) {
            Some(_) if wanted.is_empty() => all.push(Difference {
                place: name.to_owned(),
                kind: Kind::Unexpected("the table itself".to_owned()),
            }),
            Some(found) => all.extend(table_differences(name, &wanted, found)),
            None => all.extend(table_differences(name, &wanted, &Chains::new())),
        }
    }
    match (all.is_empty(), found_any) {
        (true, _) => Standing::InPlace,
        (false, false) => Standing::Absent,
        (false, true) => Standing::Differs(all),
    }
}

/// What `nft -f -` reads so that of ours there is what is wanted and nothing else. It is read whole
/// or not at all: no connection sees it half done.
#[must_use]
pub fn change(wanted: &[Rule], listing: &Listing) -> String {
    let there = TABLES.into_iter().map(table_name).filter(|name| listing.table(name).is_some());
    let mut text: String = there.map(|name| format!("delete table inet {name}\n")).collect();
    text.push_str(&load(wanted));
    text
}

/// The chains of a table, as the kernel will have them.
fn expected(rules: &[Rule], table: Table) -> Chains {
    let rules: Vec<&Rule> = rules.iter().filter(|rule| rule.table == table).collect();
    let mut expected: BTreeMap<String, Found> = BTreeMap::new();
    for chain in chains(table, &rules) {
        let hook = hook(table, chain);
        let hook = hook.trim().trim_matches(['{', '}']);
        let hook = (!hook.is_empty()).then(|| Canonical::parse(hook));
        expected.insert(chain.nftables().to_owned(), Found { hook, rules: Vec::new() });
    }
    let mut counts = Counts::default();
    for rule in rules {
        let body = body(rule);
        let chain = &mut expected.entry(rule.chain.nftables().to_owned()).or_default().rules;
        let at = counts.place(rule).unwrap_or(chain.len());
        chain.insert(at, (Canonical::parse(&body), body));
    }
    expected
}

fn table_differences(name: &str, wanted: &Chains, found: &Chains) -> Vec<Difference> {
    let names: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let mut all = Vec::new();
    for chain in names {
        let place = format!("{name} {chain}");
        let (want, have) = (wanted.get(chain), found.get(chain));
        let rules =
            |chain: Option<&Found>| chain.map_or_else(Vec::new, |chain| chain.rules.clone());
        match (want, have) {
            (None, Some(_)) => {
                let kind = Kind::Unexpected("the chain itself".to_owned());
                all.push(Difference { place: place.clone(), kind });
            }
            (Some(want), Some(have)) if want.hook != have.hook => {
                let kind = Kind::Missing("the hook of the kernel".to_owned());
                all.push(Difference { place: place.clone(), kind });
            }
            _ => {}
        }
        all.extend(differences(&place, &rules(want), &rules(have)));
    }
    all
}
