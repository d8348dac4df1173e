//! What was computed, from which queries and for which scopes, and who has to be asked again when something
//! changes.
//!
//! A value belongs to a subject, and to all scopes that answer alike what was asked about the scope when it was
//! computed ([`Aspects`]): one of its *variants*. For each scope no more is kept than which variant is
//! its own.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use lateen_mesh::name::Name;

use crate::change::Audience;
use crate::key::Key;
use crate::perspective::Aspects;

/// What Link computes for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject<'n> {
    /// One resource.
    Output(&'n Name),
    /// The roots of a scope; `true`: with the routes of everything in it.
    Roots(bool),
}

/// A subject for somebody, who may have to ask for it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// One resource.
    Output(Audience, Arc<Name>),
    /// Roots.
    Roots(Audience),
}

/// A subject, as it is kept.
#[derive(Debug)]
enum Kept {
    Output(Arc<Name>),
    Roots(bool),
}

/// A subject and its variants.
#[derive(Debug)]
struct Row {
    subject: Kept,
    variants: Vec<u32>,
    /// Who has which variant. Sorted.
    uses: Vec<Use>,
}

#[derive(Debug, Clone, Copy)]
struct Use {
    audience: Audience,
    variant: u32,
    /// The state of the variant in which it was theirs; [`UNSETTLED`]: it may be so no longer.
    state: u32,
}

/// No state of a variant.
const UNSETTLED: u32 = 0;

#[derive(Debug)]
struct Variant<V> {
    row: u32,
    value: V,
    fresh: bool,
    /// Counts how often it was computed.
    state: u32,
    /// How many uses name it.
    uses: u32,
    aspects: Aspects,
    reads: Box<[u32]>,
}

/// Values of subjects by what they read. Cost of a change: one look-up for each key that it touched,
/// and one step for each variant that read it and for each scope that has the variant.
#[derive(Debug)]
pub(crate) struct Memo<V> {
    outputs: FxHashMap<Arc<Name>, u32>,
    roots: [Option<u32>; 2],
    rows: Slots<Row>,
    variants: Slots<Variant<V>>,
    keys: FxHashMap<Key, u32>,
    /// By the number of the key: it and the variants that read it.
    readers: Slots<(Key, FxHashSet<u32>)>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            outputs: FxHashMap::default(),
            roots: [None; 2],
            rows: Slots::default(),
            variants: Slots::default(),
            keys: FxHashMap::default(),
            readers: Slots::default(),
        }
    }
}

impl<V: Clone + PartialEq> Memo<V> {
    /// The value that somebody has, and whether it still holds.
    pub fn get(&self, audience: Audience, subject: Subject<'_>) -> Option<(&V, bool)> {
        let row = self.rows.get(self.find(subject)?);
        let own = row.uses[row.place(audience).ok()?];
        let variant = self.variants.get(own.variant);
        Some((&variant.value, variant.fresh && variant.state == own.state))
    }

    /// Finds a value that holds and that was computed for somebody else; `hold` says whether they are alike.
    /// From now on it is this audience's as well.
    pub fn adopt(
        &mut self,
        audience: Audience,
        subject: Subject<'_>,
        hold: impl Fn(&Aspects) -> bool,
    ) -> Option<V> {
        let row = self.find(subject)?;
        let holds = |number: &&u32| {
            let variant = self.variants.get(**number);
            variant.fresh && hold(&variant.aspects)
        };
        let number = *self.rows.get(row).variants.iter().find(holds)?;
        self.assign(row, audience, number);
        Some(self.variants.get(number).value.clone())
    }

    /// Keeps a value that was just computed from these queries, for somebody with these aspects; gives it
    /// back, or one that is equal and was there already.
    pub fn put(
        &mut self,
        audience: Audience,
        subject: Subject<'_>,
        value: V,
        aspects: Aspects,
        reads: impl IntoIterator<Item = Key>,
    ) -> V {
        let row = self.row(subject);
        let reads: Box<[u32]> = reads.into_iter().map(|key| self.key(key)).collect();
        let held = self.rows.get(row);
        let mut known = held.variants.iter().map(|number| &self.variants.get(*number).value);
        let value = known.find(|known| **known == value).cloned().unwrap_or(value);
        let own = held.place(audience).ok().map(|at| held.uses[at].variant);
        // What is stale is computed anew in its place: who else had it looks whether it is still theirs.
        let number = match own.filter(|own| !self.variants.get(*own).fresh) {
            Some(number) => number,
            None => {
                let number = self.variants.take(Variant {
                    row,
                    value: value.clone(),
                    fresh: false,
                    state: UNSETTLED,
                    uses: 0,
                    aspects: Aspects::default(),
                    reads: Box::default(),
                });
                self.rows.get_mut(row).variants.push(number);
                number
            }
        };
        for key in &reads {
            self.readers.get_mut(*key).1.insert(number);
        }
        let variant = self.variants.get_mut(number);
        variant.value = value.clone();
        variant.fresh = true;
        variant.state += 1;
        variant.aspects = aspects;
        let former = std::mem::replace(&mut variant.reads, reads);
        self.leave_others(&former, number);
        self.assign(row, audience, number);
        value
    }

    /// Marks everything that read one of the keys, and returns whose that was and not marked before.
    pub fn touch<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<Task> {
        let mut stale = Vec::new();
        for key in keys {
            let Some(key) = self.keys.get(key) else { continue };
            for number in &self.readers.get(*key).1 {
                let variant = self.variants.get_mut(*number);
                if !std::mem::replace(&mut variant.fresh, false) {
                    continue;
                }
                let row = self.rows.get(variant.row);
                let theirs = |each: &&Use| each.variant == *number && each.state == variant.state;
                stale.extend(row.uses.iter().filter(theirs).map(|each| row.task(each.audience)));
            }
        }
        stale
    }

    /// Marks what follows the Sidecar of some audiences. One step for each subject that anybody has.
    pub fn unsettle(&mut self, concerns: impl Fn(Audience) -> bool) -> Vec<Task> {
        let mut stale = Vec::new();
        for row in self.rows.iter_mut() {
            for at in 0..row.uses.len() {
                let Use { audience, variant, state } = row.uses[at];
                let variant = self.variants.get(variant);
                if concerns(audience) && variant.aspects.follow_sidecar() {
                    row.uses[at].state = UNSETTLED;
                    if variant.fresh && state == variant.state {
                        stale.push(row.task(audience));
                    }
                }
            }
        }
        stale
    }

    /// Forgets what these audiences have.
    pub fn retain(&mut self, keep: impl Fn(Audience) -> bool) {
        let mut gone = Vec::new();
        for (number, row) in self.rows.numbered() {
            let audiences = row.uses.iter().map(|each| each.audience);
            gone.extend(audiences.filter(|audience| !keep(*audience)).map(|each| (number, each)));
        }
        for (row, audience) in gone {
            self.drop_use(row, audience);
        }
    }

    /// Forgets what an audience has.
    pub fn remove(&mut self, audience: Audience, subject: Subject<'_>) {
        if let Some(row) = self.find(subject) {
            self.drop_use(row, audience);
        }
    }

    fn find(&self, subject: Subject<'_>) -> Option<u32> {
        match subject {
            Subject::Output(name) => self.outputs.get(name).copied(),
            Subject::Roots(whole) => self.roots[usize::from(whole)],
        }
    }

    fn row(&mut self, subject: Subject<'_>) -> u32 {
        if let Some(row) = self.find(subject) {
            return row;
        }
        let row = |subject| Row { subject, variants: Vec::new(), uses: Vec::new() };
        match subject {
            Subject::Output(name) => {
                let name = Arc::new(name.clone());
                let number = self.rows.take(row(Kept::Output(Arc::clone(&name))));
                self.outputs.insert(name, number);
                number
            }
            Subject::Roots(whole) => {
                let number = self.rows.take(row(Kept::Roots(whole)));
                self.roots[usize::from(whole)] = Some(number);
                number
            }
        }
    }

    /// From now on an audience has this variant.
    fn assign(&mut self, row: u32, audience: Audience, number: u32) {
        let variant = self.variants.get_mut(number);
        variant.uses += 1;
        let own = Use { audience, variant: number, state: variant.state };
        let held = self.rows.get_mut(row);
        match held.place(audience) {
            Ok(at) => {
                let former = std::mem::replace(&mut held.uses[at], own).variant;
                self.leave_variant(former);
            }
            Err(at) => held.uses.insert(at, own),
        }
    }

    fn drop_use(&mut self, row: u32, audience: Audience) {
        let held = self.rows.get_mut(row);
        let Ok(at) = held.place(audience) else { return };
        let own = held.uses.remove(at);
        self.leave_variant(own.variant);
        let held = self.rows.get(row);
        if held.uses.is_empty() {
            match &held.subject {
                Kept::Output(name) => drop(self.outputs.remove(name)),
                Kept::Roots(whole) => self.roots[usize::from(*whole)] = None,
            }
            self.rows.free(row);
        }
    }

    /// One use less. A variant goes with its last one.
    fn leave_variant(&mut self, number: u32) {
        let variant = self.variants.get_mut(number);
        variant.uses -= 1;
        if variant.uses > 0 {
            return;
        }
        let Variant { row, reads, .. } = self.variants.free(number);
        self.rows.get_mut(row).variants.retain(|other| *other != number);
        for key in reads {
            self.leave_key(key, number);
        }
    }

    /// A variant reads something else now.
    fn leave_others(&mut self, former: &[u32], number: u32) {
        let still_read: FxHashSet<u32> = self.variants.get(number).reads.iter().copied().collect();
        for key in former.iter().filter(|key| !still_read.contains(key)) {
            self.leave_key(*key, number);
        }
    }

    /// A key that nobody reads any more leaves its number to another.
    fn leave_key(&mut self, key: u32, variant: u32) {
        let (_, variants) = self.readers.get_mut(key);
        variants.remove(&variant);
        if variants.is_empty() {
            let (key, _) = self.readers.free(key);
            self.keys.remove(&key);
        }
    }

    fn key(&mut self, key: Key) -> u32 {
        if let Some(number) = self.keys.get(&key) {
            return *number;
        }
        let number = self.readers.take((key.clone(), FxHashSet::default()));
        self.keys.insert(key, number);
        number
    }
}

impl Row {
    /// Where the use of an audience stands, or would.
    fn place(&self, audience: Audience) -> Result<usize, usize> {
        self.uses.binary_search_by_key(&audience, |each| each.audience)
    }

    fn task(&self, audience: Audience) -> Task {
        match &self.subject {
            Kept::Output(name) => Task::Output(audience, Arc::clone(name)),
            Kept::Roots(_) => Task::Roots(audience),
        }
    }
}

/// Things by number; numbers are given again.
#[derive(Debug)]
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

/// Why there is something under a number.
const HELD: &str = "invariant: who knows the number of something holds it";

impl<T> Slots<T> {
    fn get(&self, number: u32) -> &T {
        self.slots[number as usize].as_ref().expect(HELD)
    }

    fn get_mut(&mut self, number: u32) -> &mut T {
        self.slots[number as usize].as_mut().expect(HELD)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten()
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &T)> {
        let numbered = (0_u32..).zip(&self.slots);
        numbered.filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    /// Gives something a number.
    fn take(&mut self, thing: T) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let last = u32::try_from(self.slots.len() - 1);
            last.expect("invariant: memory ends before 2^32 of them")
        });
        self.slots[number as usize] = Some(thing);
        number
    }

    fn free(&mut self, number: u32) -> T {
        self.free.push(number);
        self.slots[number as usize].take().expect(HELD)
    }
}

#[cfg(test)]
mod tests;
