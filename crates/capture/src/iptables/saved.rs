//! What `iptables-save` prints.
//!
//! A rule does not come back as it was given: matches are in another order, the names of matches are
//! spelled out, marks are hexadecimal, ranges lose their host bits, and what means nothing is left
//! out. [`Canonical`] is the same for both.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

/// The rules of a family, as `iptables-save` printed them. Lines that are none of it are ignored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// By table and chain.
    chains: BTreeMap<(String, String), Vec<Line>>,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// As it was printed, without its chain.
    pub(super) body: String,
    /// What it means.
    pub(super) rule: Canonical,
}

impl Saved {
    /// Reads what was printed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut saved = Self::default();
        let mut table = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('*') {
                table = name.trim().to_owned();
            } else if let Some(chain) = line.strip_prefix(':') {
                let name = chain.split_whitespace().next().unwrap_or_default();
                saved.chains.entry((table.clone(), name.to_owned())).or_default();
            } else if let Some((chain, body)) = appended(line) {
                let line = Line { body: body.to_owned(), rule: Canonical::parse(body) };
                saved.chains.entry((table.clone(), chain.to_owned())).or_default().push(line);
            }
        }
        saved
    }

    /// The rules of a chain, `None` without such a chain.
    pub(super) fn chain(&self, table: &str, chain: &str) -> Option<&[Line]> {
        self.chains.get(&(table.to_owned(), chain.to_owned())).map(Vec::as_slice)
    }
}

/// `-A CHAIN RULE`, with the counters of `iptables-save -c` before it or not.
fn appended(line: &str) -> Option<(&str, &str)> {
    let line = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    let rest = line.strip_prefix("-A ")?;
    Some(rest.split_once(' ').unwrap_or((rest, "")))
}

/// What a rule means, whoever wrote it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canonical(BTreeSet<Term>);

/// An option with its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    not: bool,
    option: String,
    value: String,
}

impl Canonical {
    /// Reads a rule, without its chain.
    pub(super) fn parse(body: &str) -> Self {
        let mut terms = BTreeSet::new();
        let mut words = body.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let not = word == "!";
            let Some(option) = (if not { words.next() } else { Some(word) }) else { break };
            let mut value = Vec::new();
            while let Some(next) = words.next_if(|next| *next != "!" && !next.starts_with('-')) {
                value.push(next);
            }
            terms.extend(term(not, option, &value.join(" ")));
        }
        Self(terms)
    }

    /// The chain or target that it leads to.
    pub(super) fn target(&self) -> Option<&str> {
        self.value("-j")
    }

    /// The value of an option that is not negated.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|term| !term.not && term.option == option)
            .map(|term| term.value.as_str())
    }
}

fn term(not: bool, option: &str, value: &str) -> Option<Term> {
    let (option, value) = match option {
        // The names of matches say nothing that their options do not.
        "-m" => return None,
        "-s" | "-d" => match range(value) {
            Some(range) if range.prefix_len() == 0 && !not => return None,
            Some(range) => (option, range.to_string()),
            None => (option, value.to_owned()),
        },
        "--to-port" => ("--to-ports", value.to_owned()),
        "--set-mark" | "--set-xmark" => ("--set-mark", mark(value)),
        "--mark" | "--tproxy-mark" => (option, mark(value)),
        "--on-ip" if value == "0.0.0.0" || value == "::" => return None,
        "--nfmask" | "--ctmask" if mark(value) == mark("0xffffffff") => return None,
        "--ctstate" | "--dports" | "--sports" => (option, sorted(value)),
        _ => (option, value.to_owned()),
    };
    Some(Term { not, option: option.to_owned(), value })
}

/// A range without host bits; a plain address is the range of itself.
fn range(text: &str) -> Option<IpNet> {
    let range =
        text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<std::net::IpAddr>().ok()?)));
    range.map(|range| range.trunc())
}

/// A mark, decimal and without a mask that masks nothing.
fn mark(text: &str) -> String {
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    match (number(value), number(mask)) {
        (Some(value), Some(u32::MAX)) => value.to_string(),
        (Some(value), Some(mask)) => format!("{value}/{mask}"),
        _ => text.to_owned(),
    }
}

fn sorted(list: &str) -> String {
    let mut entries: Vec<&str> = list.split(',').collect();
    entries.sort_unstable();
    entries.join(",")
}

#[cfg(test)]
mod tests {
    use super::Canonical;

    /// As it is given, and as the kernel's programs print it.
    #[test]
    fn a_rule_is_known_again_in_what_is_printed() {
        let cases = [
            (
                "-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
                "! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
            ),
            ("-d 127.0.0.1/8 -j RETURN", "-d 127.0.0.0/8 -j RETURN"),
            ("-d 0.0.0.0/0 -j ISTIO_REDIRECT", "-j ISTIO_REDIRECT"),
            ("-j MARK --set-mark 1337", "-j MARK --set-xmark 0x539/0xffffffff"),
            (
                "! -d ::1/128 -p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006",
                "! -d ::1/128 -p tcp -j TPROXY --on-port 15006 --on-ip :: --tproxy-mark 0x539/0xffffffff",
            ),
            (
                "-p tcp -m connmark --mark 1337 -j CONNMARK --restore-mark",
                "-p tcp -m connmark --mark 0x539 -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
            ),
            (
                "-p udp --dport 53 -d ::127.0.0.53/128 -j REDIRECT --to-port 15053",
                "-d ::7f00:35/128 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053",
            ),
            (
                "-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT",
                "-p tcp -m conntrack --ctstate ESTABLISHED,RELATED -j ISTIO_DIVERT",
            ),
        ];
        for (given, printed) in cases {
            assert_eq!(Canonical::parse(given), Canonical::parse(printed), "{given}");
        }
    }

    #[test]
    fn what_is_denied_or_masked_is_another_rule() {
        let cases = [
            ("-o lo -m owner --uid-owner 3 -j RETURN", "-o lo -m owner ! --uid-owner 3 -j RETURN"),
            ("-m mark --mark 1337 -j RETURN", "-m mark --mark 0x539/0xfff -j RETURN"),
            ("! -d 0.0.0.0/0 -j RETURN", "-j RETURN"),
        ];
        for (one, other) in cases {
            assert_ne!(Canonical::parse(one), Canonical::parse(other), "{one}");
        }
    }
}
