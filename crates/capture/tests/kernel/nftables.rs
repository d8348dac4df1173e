//! `nft -f -` and `nft list ruleset`, as far as tables, chains and rules go.

use std::collections::BTreeMap;

use lateen_capture::nftables::{Listing, change, compare, load};
use lateen_capture::rules::rules;
use lateen_capture::standing::Standing;
use proptest::prelude::*;

use super::settings::any_settings;

/// A chain: its hook and its rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Chain {
    hook: Option<String>,
    rules: Vec<String>,
}

/// Chains by table and name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kernel(BTreeMap<String, BTreeMap<String, Chain>>);

impl Kernel {
    fn with_others() -> Self {
        let rules = vec!["counter packets 0 bytes 0 accept".to_owned()];
        let chain = Chain { hook: None, rules };
        Self(BTreeMap::from([("others".to_owned(), BTreeMap::from([("all".to_owned(), chain)]))]))
    }

    fn list(&self) -> String {
        let mut text = String::new();
        for (table, chains) in &self.0 {
            text.push_str(&format!("table inet {table} {{\n"));
            for (name, chain) in chains {
                text.push_str(&format!("\tchain {name} {{\n"));
                if let Some(hook) = &chain.hook {
                    text.push_str(&format!("\t\t{hook}; policy accept;\n"));
                }
                text.extend(chain.rules.iter().map(|rule| format!("\t\t{rule}\n")));
                text.push_str("\t}\n\n");
            }
            text.push_str("}\n");
        }
        text
    }

    /// Each line must be possible.
    fn load(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["add", "table", "inet", table] => {
                    self.0.entry((*table).to_owned()).or_default();
                }
                ["delete", "table", "inet", table] => {
                    self.0.remove(*table).unwrap_or_else(|| panic!("{line}"));
                }
                ["flush", "table", "inet", table] => {
                    for chain in self.0.get_mut(*table).expect("a table").values_mut() {
                        chain.rules.clear();
                    }
                }
                ["add", "chain", "inet", table, name, hook @ ..] => {
                    let hook = hook.join(" ");
                    let hook = hook.trim_matches(['{', '}', ' ', ';']).to_owned();
                    let chain =
                        Chain { hook: (!hook.is_empty()).then_some(hook), rules: Vec::new() };
                    let table = self.0.get_mut(*table).expect("a table");
                    assert!(table.insert((*name).to_owned(), chain).is_none(), "{line}");
                }
                ["add", "rule", "inet", table, chain, rule @ ..] => {
                    self.rules(table, chain).push(rule.join(" "));
                }
                ["insert", "rule", "inet", table, chain, "index", index, rule @ ..] => {
                    let rules = self.rules(table, chain);
                    let index: usize = index.parse().expect("a number");
                    assert!(index < rules.len(), "{line}: there is no such rule");
                    rules.insert(index, rule.join(" "));
                }
                _ => panic!("{line}"),
            }
        }
    }

    fn rules(&mut self, table: &str, chain: &str) -> &mut Vec<String> {
        let chains = self.0.get_mut(table).expect("a table");
        &mut chains.get_mut(chain).expect("a chain").rules
    }

    fn listing(&self) -> Listing {
        Listing::parse(&self.list())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From nothing to some settings, to others, and back to nothing.
    #[test]
    fn every_change_arrives(first in any_settings(), second in any_settings()) {
        let mut kernel = Kernel::with_others();
        let before = kernel.clone();
        let (first, second) = (rules(&first), rules(&second));
        prop_assert_eq!(compare(&first, &kernel.listing()), Standing::Absent);
        prop_assert_eq!(change(&first, &kernel.listing()), load(&first));
        for wanted in [&first, &second, &second] {
            kernel.load(&change(wanted, &kernel.listing()));
            prop_assert_eq!(compare(wanted, &kernel.listing()), Standing::InPlace);
        }
        kernel.load(&change(&[], &kernel.listing()));
        prop_assert_eq!(&kernel, &before);
    }

    /// A rule less, or one more, is noticed.
    #[test]
    fn every_tampering_is_noticed(settings in any_settings(), at in any::<prop::sample::Index>()) {
        let wanted = rules(&settings);
        let mut kernel = Kernel::with_others();
        kernel.load(&load(&wanted));
        let chains: Vec<String> = kernel.0["istio-proxy-nat"].keys().cloned().collect();
        let chain = at.get(&chains);

        let mut less = kernel.clone();
        less.rules("istio-proxy-nat", chain).pop();
        prop_assert!(matches!(compare(&wanted, &less.listing()), Standing::Differs(_)));
        kernel.rules("istio-proxy-nat", chain).insert(0, "return".to_owned());
        prop_assert!(matches!(compare(&wanted, &kernel.listing()), Standing::Differs(_)));
    }
}
