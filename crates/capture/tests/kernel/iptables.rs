//! `iptables-restore --noflush` and `iptables-save`, as far as chains and rules go.

use std::collections::BTreeMap;

use lateen_capture::iptables::{Saved, change, compare, restore};
use lateen_capture::model::{Family, Rule};
use lateen_capture::rules::rules;
use lateen_capture::standing::Standing;
use proptest::prelude::*;

use super::known;
use super::settings::any_settings;

/// Rules by table and chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kernel(BTreeMap<(String, String), Vec<String>>);

impl Kernel {
    /// With rules of others in the chains that are there from the start.
    fn with_others() -> Self {
        let mut chains = BTreeMap::new();
        for (table, chain) in [
            ("mangle", "PREROUTING"),
            ("mangle", "OUTPUT"),
            ("nat", "PREROUTING"),
            ("nat", "OUTPUT"),
            ("raw", "PREROUTING"),
            ("raw", "OUTPUT"),
            ("nat", "OTHERS"),
        ] {
            let rules = vec!["-p tcp -m tcp --dport 9 -j ACCEPT".to_owned()];
            chains.insert((table.to_owned(), chain.to_owned()), rules);
        }
        Self(chains)
    }

    fn save(&self) -> String {
        let mut text = String::new();
        for table in ["mangle", "nat", "raw"] {
            let chains: Vec<_> = self.0.iter().filter(|((of, _), _)| of == table).collect();
            text.push_str(&format!("*{table}\n"));
            for ((_, chain), _) in &chains {
                text.push_str(&format!(":{chain} - [0:0]\n"));
            }
            for ((_, chain), rules) in chains {
                text.extend(rules.iter().map(|rule| format!("-A {chain} {rule}\n")));
            }
            text.push_str("COMMIT\n");
        }
        text
    }

    /// Each line must be possible.
    fn restore(&mut self, text: &str) {
        let mut table = String::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("* ") {
                table = name.to_owned();
            } else if line != "COMMIT" {
                self.line(&table, line);
            }
        }
        self.no_loose_ends();
    }

    fn line(&mut self, table: &str, line: &str) {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("a command and a chain");
        let (command, chain) = (word(), word());
        let rest = words.next().unwrap_or_default().to_owned();
        let key = (table.to_owned(), chain.to_owned());
        if command == "-N" {
            assert!(self.0.insert(key, Vec::new()).is_none(), "{line}: it is there");
            return;
        }
        let rules = self.0.get_mut(&key).unwrap_or_else(|| panic!("{line}: no such chain"));
        match command {
            "-A" => rules.push(rest),
            "-I" => {
                let (number, rule) = rest.split_once(' ').expect("a rule");
                rules.insert(number.parse::<usize>().expect("a number") - 1, rule.to_owned());
            }
            "-D" => {
                let at = rules.iter().position(|rule| *rule == rest);
                rules.remove(at.unwrap_or_else(|| panic!("{line}: no such rule")));
            }
            "-F" => rules.clear(),
            "-X" => {
                assert!(rules.is_empty(), "{line}: it has rules");
                self.0.remove(&key);
            }
            _ => panic!("{line}"),
        }
    }

    /// No rule leads to a chain that is not there.
    fn no_loose_ends(&self) {
        for ((table, _), rules) in &self.0 {
            for rule in rules {
                let target = rule.split_once("-j ").expect("a target").1;
                let target = target.split(' ').next().expect("a word");
                let ours = target.starts_with("ISTIO_");
                assert!(
                    !ours || self.0.contains_key(&(table.clone(), target.to_owned())),
                    "{rule}"
                );
            }
        }
    }

    fn standing(&self, known: &[Rule], wanted: &[Rule], family: Family) -> Standing {
        compare(known, wanted, family, &Saved::parse(&self.save()))
    }

    fn change(&mut self, known: &[Rule], wanted: &[Rule], family: Family) {
        let text = change(known, wanted, family, &Saved::parse(&self.save()));
        self.restore(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From nothing to some settings, to others, and back to nothing.
    #[test]
    fn every_change_arrives(first in any_settings(), second in any_settings()) {
        for family in Family::BOTH {
            let mut kernel = Kernel::with_others();
            let before = kernel.clone();
            let (wanted, ours) = (rules(&first), known(&first));
            let none = restore(&wanted, family).is_empty();
            let standing = if none { Standing::InPlace } else { Standing::Absent };
            prop_assert_eq!(kernel.standing(&ours, &wanted, family), standing);

            kernel.change(&ours, &wanted, family);
            prop_assert_eq!(kernel.standing(&ours, &wanted, family), Standing::InPlace);
            let applied = kernel.clone();
            kernel.change(&ours, &wanted, family);
            prop_assert_eq!(&kernel, &applied);

            // Both settings are known, since rules in the kernel's chains have no name on them.
            let mut both = known(&second);
            both.extend(ours);
            kernel.change(&both, &rules(&second), family);
            prop_assert_eq!(
                kernel.standing(&known(&second), &rules(&second), family),
                Standing::InPlace
            );
            kernel.change(&both, &[], family);
            prop_assert_eq!(&kernel, &before);
        }
    }

    /// Where there is nothing, a change is what Istio's tool would restore.
    #[test]
    fn a_change_from_nothing_is_plain(settings in any_settings()) {
        let wanted = rules(&settings);
        for family in Family::BOTH {
            let plain = restore(&wanted, family);
            prop_assert_eq!(change(&wanted, &wanted, family, &Saved::default()), plain);
        }
    }

    /// A rule less, or one more, is noticed.
    #[test]
    fn every_tampering_is_noticed(settings in any_settings(), at in any::<prop::sample::Index>()) {
        let wanted = rules(&settings);
        let mut kernel = Kernel::with_others();
        kernel.change(&wanted, &wanted, Family::V4);
        let ours: Vec<(String, String)> = kernel
            .0
            .iter()
            .filter(|((_, chain), rules)| chain.starts_with("ISTIO_") && !rules.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        let chain = at.get(&ours).clone();

        let mut less = kernel.clone();
        less.0.get_mut(&chain).expect("a chain").pop();
        prop_assert!(matches!(less.standing(&wanted, &wanted, Family::V4), Standing::Differs(_)));
        let mut more = kernel;
        more.0.get_mut(&chain).expect("a chain").insert(0, "-j RETURN".to_owned());
        prop_assert!(matches!(more.standing(&wanted, &wanted, Family::V4), Standing::Differs(_)));
    }
}
