//! The same bytes are kept once, whoever lowered them.

use std::sync::Arc;

use bytes::Bytes;
use lateen_mesh::encoded::Version;
use rustc_hash::{FxHashMap, FxHashSet};

/// Interns names and bodies of resources across lowerings. What nobody else holds any more is
/// forgotten from time to time ([`Pool::sweep`]).
#[derive(Debug, Default)]
pub struct Pool {
    bodies: FxHashMap<Version, Bytes>,
    names: FxHashSet<Arc<str>>,
    sweep_at: usize,
}

/// Below so many entries nothing is swept.
const SWEEP_FLOOR: usize = 4096;

impl Pool {
    /// Those bytes, shared with everybody who has them, and their version.
    pub fn body(&mut self, bytes: Vec<u8>) -> (Version, Bytes) {
        let version = Version::of(&bytes);
        self.make_room();
        let body = self.bodies.entry(version).or_insert_with(|| bytes.into_boxed_slice().into());
        (version, body.clone())
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

    /// Forgets what nobody else holds.
    pub fn sweep(&mut self) {
        self.bodies.retain(|_, body| !body.is_unique());
        self.names.retain(|name| Arc::strong_count(name) > 1);
        self.bodies.shrink_to_fit();
        self.names.shrink_to_fit();
        self.sweep_at = 2 * self.len();
    }

    fn make_room(&mut self) {
        if self.len() >= self.sweep_at.max(SWEEP_FLOOR) {
            self.sweep();
        }
    }

    fn len(&self) -> usize {
        self.bodies.len() + self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_and_names_are_shared_until_nobody_has_them() {
        let mut pool = Pool::default();
        let (version, one) = pool.body(b"one".to_vec());
        let (same, again) = pool.body(b"one".to_vec());
        assert_eq!(version, same);
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
