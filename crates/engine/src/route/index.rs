//! Finding the first rule that matches without trying them all.
//!
//! Every (rule, match) pair is a *candidate*, numbered in the user's order. Candidates with an
//! exact path are found by hash, those with a prefix by a sorted list, all others are tried in
//! turn; the lowest number among those that match decides, so the order means what it says.

use rustc_hash::FxHashMap;

use super::Request;
use super::path_matcher::PathMatcher;
use super::rule::{Match, Rule};

/// Below this many candidates trying them in turn is faster.
const WORTH_AN_INDEX: usize = 8;

/// A rule and one of its matches; `None` for a rule that matches every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) rule: u32,
    pub(crate) matched: Option<u32>,
}

/// The candidates of a table.
#[derive(Debug, Default)]
pub(crate) struct Index {
    candidates: Vec<Candidate>,
    paths: Option<Paths>,
}

#[derive(Debug, Default)]
struct Paths {
    exact: FxHashMap<Box<str>, Vec<u32>>,
    /// Sorted by text.
    prefixes: Vec<Prefix>,
    /// Candidates of every other kind.
    rest: Vec<u32>,
}

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    candidates: Vec<u32>,
    /// The longest shorter prefix in the list that is a prefix of this one.
    parent: Option<u32>,
}

impl Index {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let candidates: Vec<_> = (0..)
            .zip(rules)
            .flat_map(|(rule, compiled)| {
                let every = compiled.matches.is_empty();
                let each = (0..).zip(&compiled.matches).map(|(number, _)| Some(number));
                each.chain(every.then_some(None)).map(move |matched| Candidate { rule, matched })
            })
            .collect();
        let paths = (candidates.len() >= WORTH_AN_INDEX).then(|| Paths::new(&candidates, rules));
        Self { candidates, paths }
    }

    /// All candidates in order.
    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The first candidate that matches.
    pub(crate) fn find(
        &self,
        rules: &[Rule],
        request: &Request<'_>,
        path: &str,
        port: u16,
    ) -> Option<Candidate> {
        let matches = |candidate: Candidate| {
            match_of(rules, candidate).is_none_or(|matched| matched.matches(request, path, port))
        };
        let Some(paths) = &self.paths else {
            return self.candidates.iter().copied().find(|candidate| matches(*candidate));
        };
        let mut best = u32::MAX;
        let mut lower = |numbers: &[u32]| {
            for number in numbers {
                if *number >= best {
                    return;
                }
                if matches(self.candidates[*number as usize]) {
                    best = *number;
                    return;
                }
            }
        };
        lower(paths.exact.get(path).map_or(&[], Vec::as_slice));
        for prefix in paths.prefixes_of(path) {
            lower(&prefix.candidates);
        }
        lower(&paths.rest);
        self.candidates.get(best as usize).copied()
    }
}

/// The match of a candidate.
pub(crate) fn match_of(rules: &[Rule], candidate: Candidate) -> Option<&Match> {
    let matched = candidate.matched?;
    rules.get(candidate.rule as usize)?.matches.get(matched as usize)
}

impl Paths {
    fn new(candidates: &[Candidate], rules: &[Rule]) -> Self {
        let mut paths = Self::default();
        let mut prefixes = std::collections::BTreeMap::<Box<str>, Vec<u32>>::new();
        for (number, candidate) in (0..).zip(candidates) {
            match match_of(rules, *candidate).and_then(|matched| matched.path.as_ref()) {
                Some(PathMatcher::Exact(text)) => {
                    paths.exact.entry(text.clone()).or_default().push(number);
                }
                Some(PathMatcher::Prefix(text)) => {
                    prefixes.entry(text.clone()).or_default().push(number);
                }
                _ => paths.rest.push(number),
            }
        }
        for (text, candidates) in prefixes {
            let parent = paths.longest_prefix_of(&text);
            paths.prefixes.push(Prefix { text, candidates, parent });
        }
        paths
    }

    /// Every listed prefix of a path, the longest first.
    fn prefixes_of(&self, path: &str) -> impl Iterator<Item = &Prefix> {
        let get = |number: u32| self.prefixes.get(number as usize);
        let longest = self.longest_prefix_of(path).and_then(get);
        std::iter::successors(longest, move |prefix| prefix.parent.and_then(get))
    }

    /// What sorts just before the path starts with the longest prefix of it, if there is one: so
    /// that is found among it and its ancestors.
    fn longest_prefix_of(&self, path: &str) -> Option<u32> {
        let after = self.prefixes.partition_point(|prefix| *prefix.text <= *path);
        let mut number = u32::try_from(after.checked_sub(1)?).ok();
        while let Some(prefix) = number.and_then(|number| self.prefixes.get(number as usize)) {
            if path.starts_with(&*prefix.text) {
                return number;
            }
            number = prefix.parent;
        }
        None
    }
}
