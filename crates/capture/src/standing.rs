//! How what is there stands to what is wanted.

use std::fmt;

/// How the rules that a packet filter has stand to those that are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// They are there, and nothing else of ours.
    InPlace,
    /// There is nothing of ours.
    Absent,
    /// There is something of ours, and not this.
    Differs(Vec<Difference>),
}

/// One thing that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Table and chain.
    pub place: String,
    /// What it is.
    pub kind: Kind,
}

/// What is not as wanted in a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A rule is not there.
    Missing(String),
    /// A rule is there that should not be.
    Unexpected(String),
    /// All rules are there, in another order.
    Order,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.kind {
            Kind::Missing(rule) => write!(formatter, "{place}: missing: {rule}"),
            Kind::Unexpected(rule) => write!(formatter, "{place}: unexpected: {rule}"),
            Kind::Order => write!(formatter, "{place}: the rules stand in another order"),
        }
    }
}

/// What differs between the rules of one chain, wanted and found, each with its text.
pub(crate) fn differences<T: PartialEq>(
    place: &str,
    wanted: &[(T, String)],
    found: &[(T, String)],
) -> Vec<Difference> {
    let same = |one: &[(T, String)], other: &[(T, String)]| {
        one.iter().map(|(rule, _)| rule).eq(other.iter().map(|(rule, _)| rule))
    };
    if same(wanted, found) {
        return Vec::new();
    }
    let difference = |kind| Difference { place: place.to_owned(), kind };
    let mut rest: Vec<&(T, String)> = found.iter().collect();
    let mut differences = Vec::new();
    for (rule, text) in wanted {
        match rest.iter().position(|(other, _)| other == rule) {
            Some(at) => {
                rest.remove(at);
            }
            None => differences.push(difference(Kind::Missing(text.clone()))),
        }
    }
    let unexpected = rest.into_iter().map(|(_, text)| difference(Kind::Unexpected(text.clone())));
    differences.extend(unexpected);
    if differences.is_empty() {
        differences.push(difference(Kind::Order));
    }
    differences
}
