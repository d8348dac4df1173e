//! Sets and counts of mostly one thing: sorted, and with no room for more than they hold.
//!
//! A mesh has several of them for each endpoint. A B-tree would keep room for eleven in each.

use std::slice::Iter;

/// A set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Few<T>(Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Few<T> {
    pub fn insert(&mut self, value: T) {
        if let Err(at) = self.0.binary_search(&value) {
            self.0.reserve_exact(1);
            self.0.insert(at, value);
        }
    }

    pub fn remove(&mut self, value: &T) {
        if let Ok(at) = self.0.binary_search(value) {
            self.0.remove(at);
            self.0.shrink_to_fit();
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> Iter<'_, T> {
        self.0.iter()
    }
}

impl<'s, T> IntoIterator for &'s Few<T> {
    type Item = &'s T;
    type IntoIter = Iter<'s, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// How often each of a few things is there.
#[derive(Debug)]
pub(super) struct Counted<T>(Vec<(T, usize)>);

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Clone> Counted<T> {
    /// Once more, or once less; whether the thing came or went by that.
    pub fn change(&mut self, thing: &T, more: bool) -> bool {
        match (self.0.binary_search_by(|(known, _)| known.cmp(thing)), more) {
            (Ok(at), true) => {
                self.0[at].1 += 1;
                false
            }
            (Ok(at), false) => {
                self.0[at].1 -= 1;
                let is_gone = self.0[at].1 == 0;
                if is_gone {
                    self.0.remove(at);
                    self.0.shrink_to_fit();
                }
                is_gone
            }
            (Err(at), true) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (thing.clone(), 1));
                true
            }
            (Err(_), false) => false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The things, in order.
    pub fn things(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(thing, _)| thing)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_few_things_are_a_set(steps in prop::collection::vec((0..8_u8, any::<bool>()), 0..64)) {
            let (mut few, mut set) = (Few::default(), BTreeSet::new());
            for (thing, more) in steps {
                if more {
                    few.insert(thing);
                    set.insert(thing);
                } else {
                    few.remove(&thing);
                    set.remove(&thing);
                }
                prop_assert!(few.iter().eq(&set));
                prop_assert_eq!(few.is_empty(), set.is_empty());
            }
        }

        #[test]
        fn things_are_counted(steps in prop::collection::vec((0..4_u8, any::<bool>()), 0..64)) {
            let (mut counted, mut counts) = (Counted::default(), BTreeMap::<u8, usize>::new());
            for (thing, more) in steps {
                let before = counts.get(&thing).copied().unwrap_or_default();
                let after = if more { before + 1 } else { before.saturating_sub(1) };
                prop_assert_eq!(counted.change(&thing, more), (before == 0) != (after == 0));
                if after == 0 {
                    counts.remove(&thing);
                } else {
                    counts.insert(thing, after);
                }
                prop_assert!(counted.things().eq(counts.keys()));
                prop_assert_eq!(counted.is_empty(), counts.is_empty());
            }
        }
    }
}
