//! The resources of one kind, numbered, so that a client's state is a set of numbers.

use std::sync::Arc;

use lateen_envoy::Resource;
use rustc_hash::FxHashMap;

use super::bits::Bits;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    numbers: FxHashMap<Arc<str>, u32>,
    free: Vec<u32>,
    /// Slots with a name and without a body.
    vacant: usize,
    changes: u64,
}

/// One number.
#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    resource: Option<Arc<Resource>>,
    changed_at: u64,
    is_free: bool,
}

/// Empty numbers that are kept before it is looked which are still in use.
const VACANT: usize = 256;

impl Table {
    /// The number of a name that is there, or that somebody asked for.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The number of a name, which stands for what is not there (yet) if need be.
    pub(super) fn reserve(&mut self, name: &str) -> u32 {
        if let Some(number) = self.find(name) {
            return number;
        }
        self.take_number(name.into())
    }

    /// A resource came or changed.
    pub(super) fn set(&mut self, resource: Arc<Resource>) -> u32 {
        let number = match self.find(&resource.name) {
            Some(number) => number,
            None => self.take_number(resource.name.clone()),
        };
        self.replace(number, Some(resource));
        number
    }

    /// A resource went; its number stays while somebody may have to be told.
    pub(super) fn remove(&mut self, name: &str) -> Option<u32> {
        let number = self.find(name)?;
        self.get(number)?;
        self.replace(number, None);
        Some(number)
    }

    /// The name behind a number.
    pub(super) fn name(&self, number: u32) -> &Arc<str> {
        &self.slots[number as usize].name
    }

    /// The resource; `None`: there is none, or there is none any more.
    pub(super) fn get(&self, number: u32) -> Option<&Arc<Resource>> {
        self.slots[number as usize].resource.as_ref()
    }

    /// Says which state of the resource this is; never the same for two, of whatever name.
    pub(super) fn changed_at(&self, number: u32) -> u64 {
        self.slots[number as usize].changed_at
    }

    /// The numbers of all that is there.
    pub(super) fn present(&self) -> impl Iterator<Item = u32> {
        self.slots.iter().zip(0_u32..).filter(|(slot, _)| slot.resource.is_some()).map(|(_, n)| n)
    }

    /// Whether so many numbers are empty that it is time to [`Self::retire`] them.
    pub(super) fn is_sparse(&self) -> bool {
        self.vacant > VACANT.max(self.slots.len() / 2)
    }

    /// Frees the empty numbers that nobody uses.
    pub(super) fn retire(&mut self, used: &Bits) {
        for (slot, number) in self.slots.iter_mut().zip(0_u32..) {
            if slot.resource.is_none() && !slot.is_free && !used.contains(number) {
                slot.is_free = true;
                self.numbers.remove(&std::mem::take(&mut slot.name));
                self.free.push(number);
                self.vacant -= 1;
            }
        }
    }

    fn take_number(&mut self, name: Arc<str>) -> u32 {
        let slot = Slot { name: name.clone(), resource: None, changed_at: 0, is_free: false };
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1)
                    .expect("invariant: memory ends before four billion resources")
            }
        };
        self.numbers.insert(name, number);
        self.vacant += 1;
        self.changes += 1;
        self.slots[number as usize].changed_at = self.changes;
        number
    }

    fn replace(&mut self, number: u32, resource: Option<Arc<Resource>>) {
        self.changes += 1;
        let slot = &mut self.slots[number as usize];
        self.vacant -= usize::from(slot.resource.is_none());
        self.vacant += usize::from(resource.is_none());
        slot.resource = resource;
        slot.changed_at = self.changes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, body: &str) -> Arc<Resource> {
        Arc::new(Resource::new(name.into(), body.to_owned()))
    }

    #[test]
    fn a_number_is_used_again_when_nobody_needs_it() {
        let mut table = Table::default();
        let (a, b) = (table.set(resource("a", "1")), table.set(resource("b", "1")));
        let asked = table.reserve("c");
        assert_eq!(table.present().collect::<Vec<_>>(), [a, b]);
        assert_eq!(table.remove("a"), Some(a));
        assert_eq!(table.remove("nobody"), None);
        assert!(table.get(a).is_none());

        let mut used = Bits::default();
        used.insert(asked);
        let before = table.changed_at(a);
        table.retire(&used);
        assert_eq!((table.find("a"), table.find("c")), (None, Some(asked)));
        assert_eq!(table.set(resource("d", "1")), a);
        assert_ne!(table.changed_at(a), before);
        assert_eq!(table.set(resource("c", "2")), asked);
        assert_eq!(&**table.name(asked), "c");
    }

    #[test]
    fn many_empty_numbers_make_it_sparse() {
        let mut table = Table::default();
        for index in 0..VACANT {
            table.reserve(&index.to_string());
        }
        assert!(!table.is_sparse());
        table.reserve("one more");
        assert!(table.is_sparse());
        table.retire(&Bits::default());
        assert!(!table.is_sparse());
        assert_eq!(table.vacant, 0);
    }
}
