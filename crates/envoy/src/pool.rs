//! The same bytes are kept once, whoever lowered them.

use std::sync::Arc;

use lateen_mesh::encoded::Version;
use lateen_mesh::name::Name;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::Resource;
use crate::lowering::{Entry, Made};

/// Interns what lowerings have in common: names, resources and what was made of which unit. What
/// nobody else holds any more is forgotten from time to time ([`Pool::sweep`]).
#[derive(Debug, Default)]
pub struct Pool {
    resources: FxHashMap<Version, Arc<Resource>>,
    names: FxHashSet<Arc<str>>,
    model_names: FxHashSet<Arc<Name>>,
    entries: FxHashSet<Arc<Entry>>,
    made: FxHashSet<Arc<Made>>,
    sweep_at: usize,
}

/// Below so many entries nothing is swept.
const SWEEP_FLOOR: usize = 4096;

impl Pool {
    /// The resource of that name and those bytes, shared with everybody who has it.
    pub fn resource(&mut self, name: &str, body: Vec<u8>) -> Arc<Resource> {
        let version = Version::of(&body);
        // The bytes of every kind hold the name.
        if let Some(known) = self.resources.get(&version).filter(|known| *known.name == *name) {
            return Arc::clone(known);
        }
        let resource = Arc::new(Resource::new(self.name(name), body.into_boxed_slice()));
        self.make_room();
        self.resources.insert(version, Arc::clone(&resource));
        resource
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

    /// What a unit makes, if others made the same.
    pub(crate) fn made(&mut self, made: Made) -> Arc<Made> {
        self.make_room();
        shared(&mut self.made, made)
    }

    /// Forgets what nobody else holds.
    pub fn sweep(&mut self) {
        // What is made holds resources, these and entries hold names.
        sweep(&mut self.made);
        self.resources.retain(|_, resource| Arc::strong_count(resource) > 1);
        self.resources.shrink_to_fit();
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
        self.resources.len()
            + self.names.len()
            + self.model_names.len()
            + self.entries.len()
            + self.made.len()
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
    fn equal_resources_and_names_are_shared_until_nobody_has_them() {
        let mut pool = Pool::default();
        let one = pool.resource("a", b"one".to_vec());
        let again = pool.resource("a", b"one".to_vec());
        assert!(Arc::ptr_eq(&one, &again));
        let other = pool.resource("a", b"two".to_vec());
        assert_ne!(one, other);
        assert!(Arc::ptr_eq(&one.name, &other.name));
        assert!(Arc::ptr_eq(&one.name, &pool.name("a")));
        pool.sweep();
        assert_eq!(pool.len(), 3);
        drop((one, again, other));
        pool.sweep();
        assert_eq!(pool.len(), 0);
    }
}
