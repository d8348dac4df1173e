//! What `nft list ruleset` prints.
//!
//! A rule does not come back as it was given: counters have counted, what goes without saying is left
//! out, marks are hexadecimal, single addresses have no length. [`Canonical`] is the same for both.

use std::collections::BTreeMap;

use ipnet::IpNet;

/// Our tables, as `nft list ruleset inet` printed them. Those of others are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    tables: BTreeMap<String, Chains>,
}

/// Chains by name.
pub(super) type Chains = BTreeMap<String, Chain>;

/// A chain that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Where the kernel calls it, if it does by itself.
    pub(super) hook: Option<Canonical>,
    /// Its rules, each with its text.
    pub(super) rules: Vec<(Canonical, String)>,
}

impl Listing {
    /// Reads what was printed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        let mut open: Vec<String> = Vec::new();
        for line in text.lines().map(str::trim) {
            if let Some(head) = line.strip_suffix('{') {
                open.push(head.trim().to_owned());
                listing.opened(&open);
            } else if line == "}" {
                open.pop();
            } else if !line.is_empty() {
                listing.said(&open, line);
            }
        }
        listing
    }

    /// A table's chains, `None` without such a table.
    pub(super) fn table(&self, name: &str) -> Option<&Chains> {
        self.tables.get(name)
    }

    fn opened(&mut self, open: &[String]) {
        match open {
            [table] => {
                if let Some(name) = table.strip_prefix("table inet ") {
                    self.tables.entry(name.to_owned()).or_default();
                }
            }
            [_, _] => {
                self.chain(open);
            }
            _ => {}
        }
    }

    fn said(&mut self, open: &[String], line: &str) {
        let Some(chain) = self.chain(open) else { return };
        let canonical = Canonical::parse(line);
        if line.starts_with("type ") {
            chain.hook = Some(canonical);
        } else {
            chain.rules.push((canonical, line.to_owned()));
        }
    }

    /// The chain that is open.
    fn chain(&mut self, open: &[String]) -> Option<&mut Chain> {
        let [table, chain] = open else { return None };
        let table = self.tables.get_mut(table.strip_prefix("table inet ")?)?;
        Some(table.entry(chain.strip_prefix("chain ")?.to_owned()).or_default())
    }
}

/// What a rule, or a hook, means, whoever wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canonical(Vec<String>);

impl Canonical {
    /// Reads a rule apart from its place, or a hook without its braces.
    pub(super) fn parse(text: &str) -> Self {
        let text = text.replace(';', " ").replace('"', "");
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut canonical = Vec::new();
        let mut index = 0;
        while let Some(word) = words.get(index) {
            let rest = &words[index + 1..];
            index += 1;
            match (*word, rest) {
                // It says that a field of no protocol comes, which the field says, too.
                ("meta", _) => {}
                ("counter", ["packets", _, "bytes", _, ..]) => index += 4,
                ("counter", _) => {}
                // What nft adds where nothing is said.
                ("policy", ["accept", ..]) => index += 1,
                ("l4proto", [protocol, rest @ ..]) => {
                    let port = |pair: &[&str]| pair[0] == *protocol && pair[1].ends_with("port");
                    if !rest.windows(2).any(port) {
                        canonical.extend([(*word).to_owned(), (*protocol).to_owned()]);
                    }
                    index += 1;
                }
                // Every address is in it.
                ("ip" | "ip6", [_, range, ..]) if *range == "0.0.0.0/0" || *range == "::/0" => {
                    canonical.push(format!("nfproto {word}"));
                    index += 2;
                }
                ("{", _) => {
                    let end = rest.iter().position(|word| *word == "}").unwrap_or(rest.len());
                    let mut members: Vec<&str> =
                        rest[..end].iter().map(|member| member.trim_end_matches(',')).collect();
                    members.sort_unstable();
                    canonical.push(members.join(","));
                    index += end + 1;
                }
                _ => canonical.push(plain(word)),
            }
        }
        Self(canonical)
    }
}

/// One word.
fn plain(word: &str) -> String {
    if let Some(number) =
        word.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok())
    {
        return number.to_string();
    }
    let range =
        word.parse::<IpNet>().or_else(|_| word.parse::<std::net::IpAddr>().map(IpNet::from));
    if let Ok(range) = range {
        return range.trunc().to_string();
    }
    let mut members: Vec<&str> = word.split(',').collect();
    members.sort_unstable();
    members.join(",")
}

#[cfg(test)]
mod tests {
    use super::Canonical;

    /// As it is given, and as nft prints it.
    #[test]
    fn a_rule_is_known_again_in_what_is_printed() {
        let cases = [
            (
                "meta l4proto tcp tcp dport 15008 counter return",
                "tcp dport 15008 counter packets 3 bytes 180 return",
            ),
            (
                "meta l4proto tcp counter redirect to :15001",
                "meta l4proto tcp counter packets 0 bytes 0 redirect to :15001",
            ),
            (
                "oifname lo meta l4proto tcp ip daddr != 127.0.0.1/32 tcp dport != { 53, 15008 } skuid 3 counter jump istio-in-redirect",
                "oifname \"lo\" ip daddr != 127.0.0.1 tcp dport != { 15008, 53 } meta skuid 3 counter packets 0 bytes 0 jump istio-in-redirect",
            ),
            (
                "ip daddr 127.0.0.1/8 counter return",
                "ip daddr 127.0.0.0/8 counter packets 0 bytes 0 return",
            ),
            (
                "meta l4proto tcp ct state related,established counter jump istio-divert",
                "meta l4proto tcp ct state established,related counter packets 0 bytes 0 jump istio-divert",
            ),
            (
                "mark != 1338 counter return",
                "meta mark != 0x0000053a counter packets 0 bytes 0 return",
            ),
            (
                "type nat hook output priority -100 ;",
                "type nat hook output priority -100; policy accept;",
            ),
        ];
        for (given, printed) in cases {
            assert_eq!(Canonical::parse(given), Canonical::parse(printed), "{given}");
        }
    }

    #[test]
    fn what_says_something_else_is_another_rule() {
        let cases = [
            ("meta l4proto tcp counter return", "counter return"),
            ("meta l4proto tcp udp dport 53 counter return", "udp dport 53 counter return"),
            ("skuid 3 counter return", "skuid != 3 counter return"),
            (
                "type nat hook output priority -100 ;",
                "type nat hook output priority -100; policy drop;",
            ),
        ];
        for (one, other) in cases {
            assert_ne!(Canonical::parse(one), Canonical::parse(other), "{one}");
        }
    }
}
