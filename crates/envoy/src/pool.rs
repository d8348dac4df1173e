//! The same bytes are kept once, whoever lowered them.

use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::encoded::Version;
use lateen_mesh::name::Name;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::lowering::Entry;

/// Interns names and bodies of resources across lowerings. What nobody else holds any more is
/// forgotten from time to time ([`Pool::sweep`]).
#[derive(Debug, Default)]
pub struct Pool {
    bodies: FxHashMap<Version, Bytes>,
    names: FxHashSet<Arc<str>>,
    model_names: FxHashSet<Arc<Name>>,
    entries: FxHashSet<Arc<Entry>>,
    sweep_at: usize,
}

/// Below so many entries nothing is swept.
const SWEEP_FLOOR: usize = 4096;

impl Pool {
    /// The bytes of that version, shared with everybody who has them.
    pub fn body(&mut self, version: Version, bytes: Vec<u8>) -> Bytes {
        self.make_room();
        self.bodies.entry(version).or_insert_with(|| bytes.into_boxed_slice().into()).clone()
    }

    /// That name, shared with everybody who has it.
    pub fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        self.make_room();
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }

    /// That name of a model resource.
    pub(crate) fn model_name(&mut self, name: Name) -> Arc<Name> {
        self.make_room();
        shared(&mut self.model_names, name)
    }

    /// That entry of a directory.
    pub(crate) fn entry(&mut self, entry: Entry) -> Arc<Entry> {
        self.make_room();
        shared(&mut self.entries, entry)
    }

    /// Forgets what nobody else holds.
    pub fn sweep(&mut self) {
        self.bodies.retain(|_, body| !body.is_unique());
        self.bodies.shrink_to_fit();
        // Entries hold names.
        sweep(&mut self.entries);
        sweep(&mut self.model_names);
        sweep(&mut self.names);
        self.sweep_at = 2 * self.len();
    }

    fn make_room(&mut self) {
        if self.len() >= self.sweep_at.max(SWEEP_FLOOR) {
            self.sweep();
        }
    }

    fn len(&self) -> usize {
        self.bodies.len() + self.names.len() + self.model_names.len() + self.entries.len()
    }
}

fn shared<T: std::hash::Hash + Eq>(known: &mut FxHashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(known) = known.get(&value) {
        return Arc::clone(known);
    }
    let value = Arc::new(value);
    known.insert(Arc::clone(&value));
    value
}

fn sweep<T: std::hash::Hash + Eq + ?Sized>(known: &mut FxHashSet<Arc<T>>) {
    known.retain(|value| Arc::strong_count(value) > 1);
    known.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_and_names_are_shared_until_nobody_has_them() {
        let mut pool = Pool::default();
        let version = Version::of(b"one");
        let one = pool.body(version, b"one".to_vec());
        let again = pool.body(version, b"one".to_vec());
        assert_eq!(one.as_ptr(), again.as_ptr());
        let name = pool.name("a");
        assert!(Arc::ptr_eq(&name, &pool.name("a")));
        pool.sweep();
        assert_eq!(pool.len(), 2);
        drop((one, again, name));
        pool.sweep();
        assert_eq!(pool.len(), 0);
    }
}
