//! Which resource of a refused response is the bad one.
//!
//! Envoy refuses a response whole, and often keeps the good ones in it from being used. So they are
//! sent again without what the error names, or else by halves, until the bad ones are alone. What is
//! refused alone is held back, until it changes.

use std::collections::VecDeque;

use lateen_envoy::Kind;

use super::lane::Item;

/// A resource in the state in which it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) item: Item,
    /// [`super::table::Table::changed_at`].
    pub(super) at: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Search {
    kind: Kind,
    /// Groups that are to be tried, each in a response of its own.
    groups: VecDeque<Vec<Sent>>,
    /// What was refused alone.
    bad: Vec<Sent>,
    /// Something was accepted since the bad ones were tried together.
    is_fruitful: bool,
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The search goes on, or there is none.
    Open,
    /// Those are bad.
    HeldBack(Vec<Sent>),
}

impl Search {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, groups: VecDeque::new(), bad: Vec::new(), is_fruitful: false }
    }

    /// Whether nothing is to be tried.
    pub(super) fn is_over(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether one resource of the kind can be refused because of another one: virtual hosts share
    /// domains, listeners addresses.
    pub(super) fn may_depend(&self) -> bool {
        matches!(self.kind, Kind::VirtualHost | Kind::Listener)
    }

    /// All that is in doubt.
    pub(super) fn suspects(&self) -> impl Iterator<Item = &Sent> {
        self.groups.iter().flatten().chain(&self.bad)
    }

    /// These are tried (again).
    pub(super) fn begin(&mut self, items: Vec<Sent>) {
        if !items.is_empty() {
            self.groups.push_back(items);
        }
    }

    /// The next group, without what has changed since: that is sent anyway.
    pub(super) fn next(&mut self, is_current: impl Fn(&Sent) -> bool) -> Option<Vec<Sent>> {
        while let Some(mut group) = self.groups.pop_front() {
            group.retain(|sent| is_current(sent));
            if !group.is_empty() {
                return Some(group);
            }
        }
        None
    }

    /// A group was accepted.
    pub(super) fn accepted(&mut self) {
        self.is_fruitful = true;
    }

    /// A response with these was refused, and the error names some of them (or none).
    pub(super) fn refused(&mut self, items: Vec<Sent>, is_named: impl Fn(&Sent) -> bool) {
        if items.len() <= 1 {
            return self.bad.extend(items);
        }
        let (named, mut others): (Vec<Sent>, Vec<Sent>) = items.into_iter().partition(is_named);
        match (named.len(), others.len()) {
            (1, _) => {
                self.bad.extend(named);
                self.groups.push_front(others);
            }
            (0, _) | (_, 0) => {
                others.extend(named);
                let second = others.split_off(others.len() / 2);
                self.groups.push_front(second);
                self.groups.push_front(others);
            }
            _ => {
                self.groups.push_front(named);
                self.groups.push_front(others);
            }
        }
    }

    /// When all groups were tried: the bad ones, or once more all of them, as long as what was
    /// accepted meanwhile may have made room for them.
    pub(super) fn conclude(&mut self) -> Verdict {
        if !self.groups.is_empty() || self.bad.is_empty() {
            return Verdict::Open;
        }
        let bad = std::mem::take(&mut self.bad);
        if std::mem::take(&mut self.is_fruitful) && self.may_depend() {
            self.groups.push_back(bad);
            return Verdict::Open;
        }
        Verdict::HeldBack(bad)
    }
}

#[cfg(test)]
mod tests {
    use lateen_envoy::Part;

    use super::*;

    fn sent(numbers: impl IntoIterator<Item = u32>) -> Vec<Sent> {
        let item = |number| Item { part: Part::Scope, number };
        numbers.into_iter().map(|number| Sent { item: item(number), at: 1 }).collect()
    }

    /// Runs a search over `total` resources with a client that refuses by `is_bad`, given what it
    /// has accepted and the group. What was held back, and how many responses were refused.
    fn run(
        kind: Kind,
        total: u32,
        is_bad: impl Fn(&[u32], u32) -> bool,
        names: &[u32],
    ) -> (Vec<u32>, usize) {
        let mut search = Search::new(kind);
        let mut accepted: Vec<u32> = Vec::new();
        let mut refusals = 1;
        search.refused(sent(0..total), |sent| names.contains(&sent.item.number));
        loop {
            match search.conclude() {
                Verdict::HeldBack(bad) => {
                    let mut bad: Vec<u32> = bad.iter().map(|sent| sent.item.number).collect();
                    bad.sort_unstable();
                    let good: Vec<u32> = (0..total).filter(|n| !bad.contains(n)).collect();
                    accepted.sort_unstable();
                    assert_eq!(accepted, good);
                    return (bad, refusals);
                }
                Verdict::Open => {}
            }
            let Some(group) = search.next(|_| true) else {
                assert!(search.is_over());
                return (Vec::new(), refusals);
            };
            let numbers: Vec<u32> = group.iter().map(|sent| sent.item.number).collect();
            if numbers.iter().any(|number| is_bad(&accepted, *number)) {
                refusals += 1;
                search.refused(group, |sent| names.contains(&sent.item.number));
            } else {
                accepted.extend(numbers);
                search.accepted();
            }
        }
    }

    #[test]
    fn the_bad_ones_are_found() {
        for bad in [vec![0], vec![7], vec![3, 4], vec![0, 5, 9], (0..10).collect()] {
            let (found, _) = run(Kind::Cluster, 10, |_, number| bad.contains(&number), &[]);
            assert_eq!(found, bad);
            let (found, _) = run(Kind::VirtualHost, 10, |_, number| bad.contains(&number), &[]);
            assert_eq!(found, bad);
        }
        let (found, refusals) = run(Kind::Cluster, 1000, |_, number| number == 600, &[]);
        assert_eq!(found, [600]);
        assert!(refusals <= 11, "{refusals}");
    }

    #[test]
    fn an_error_that_names_it_saves_the_search() {
        let (found, refusals) = run(Kind::Cluster, 1000, |_, number| number == 600, &[600]);
        assert_eq!((found, refusals), (vec![600], 1));
        let (found, _) = run(Kind::Cluster, 1000, |_, number| number == 600, &[600, 60]);
        assert_eq!(found, [600]);
    }

    #[test]
    fn what_only_waited_for_another_one_is_accepted_in_the_end() {
        // The first cannot be accepted before the last.
        let depends = |accepted: &[u32], number| number == 0 && !accepted.contains(&9);
        assert!(run(Kind::VirtualHost, 10, depends, &[]).0.is_empty());
        assert!(run(Kind::Listener, 10, depends, &[0]).0.is_empty());
        assert_eq!(run(Kind::Endpoints, 10, depends, &[]).0, [0]);
    }
}
