//! What was computed, from which queries, and who has to be asked again when one of them changes.

use rustc_hash::{FxHashMap, FxHashSet};

use lateen_mesh::name::Name;

use crate::change::Audience;
use crate::key::Key;
use crate::scope::ScopeId;

/// Something that Link computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Task {
    /// One resource.
    Output(Audience, Name),
    /// The roots of a scope; `true`: with the routes of everything in it.
    Roots(ScopeId, bool),
}

/// A value, with the tasks that read it and the queries that it came from.
#[derive(Debug)]
struct Entry<V> {
    task: Task,
    value: V,
    fresh: bool,
    reads: Box<[u32]>,
}

/// Values of tasks by what they read. Cost of a change: one look-up for each key that it touched,
/// and one step for each task that read it.
#[derive(Debug)]
pub(crate) struct Memo<V> {
    tasks: FxHashMap<Task, u32>,
    entries: Vec<Option<Entry<V>>>,
    free: Vec<u32>,
    keys: FxHashMap<Key, u32>,
    /// By the number of the key. A key that nobody reads any more leaves its number to another.
    readers: Vec<Readers>,
    free_keys: Vec<u32>,
}

/// A key and the tasks that read it.
#[derive(Debug)]
struct Readers {
    key: Key,
    tasks: FxHashSet<u32>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self {
            tasks: FxHashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            keys: FxHashMap::default(),
            readers: Vec::new(),
            free_keys: Vec::new(),
        }
    }
}

impl<V: Clone> Memo<V> {
    /// The value and whether it still holds.
    pub fn get(&self, task: &Task) -> Option<(&V, bool)> {
        let entry = self.entries[*self.tasks.get(task)? as usize].as_ref()?;
        Some((&entry.value, entry.fresh))
    }

    /// Keeps a value that was just computed from these queries.
    pub fn put(&mut self, task: Task, value: V, reads: impl IntoIterator<Item = Key>) {
        let reads: Box<[u32]> = reads.into_iter().map(|key| self.key(key)).collect();
        let number = match self.tasks.get(&task) {
            Some(number) => *number,
            None => self.allocate(task.clone()),
        };
        let former = self.entries[number as usize].take();
        // What is read again is not forgotten in between.
        let still_read: FxHashSet<u32> = reads.iter().copied().collect();
        for key in former.into_iter().flat_map(|former| former.reads) {
            if !still_read.contains(&key) {
                self.leave(key, number);
            }
        }
        for key in &reads {
            self.readers[*key as usize].tasks.insert(number);
        }
        self.entries[number as usize] = Some(Entry { task, value, fresh: true, reads });
    }

    /// Marks everything that read one of the keys, and returns what was not marked before.
    pub fn touch<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) -> Vec<Task> {
        let mut stale = Vec::new();
        for key in keys {
            let Some(key) = self.keys.get(key) else { continue };
            for number in &self.readers[*key as usize].tasks {
                if let Some(entry) = self.entries[*number as usize].as_mut()
                    && std::mem::replace(&mut entry.fresh, false)
                {
                    stale.push(entry.task.clone());
                }
            }
        }
        stale
    }

    /// Forgets tasks.
    pub fn retain(&mut self, keep: impl Fn(&Task) -> bool) {
        let gone: Vec<Task> = self.tasks.keys().filter(|task| !keep(task)).cloned().collect();
        for task in gone {
            self.remove(&task);
        }
    }

    /// Forgets a task.
    pub fn remove(&mut self, task: &Task) {
        let Some(number) = self.tasks.remove(task) else { return };
        if let Some(entry) = self.entries[number as usize].take() {
            for key in entry.reads {
                self.leave(key, number);
            }
        }
        self.free.push(number);
    }

    fn leave(&mut self, key: u32, task: u32) {
        let readers = &mut self.readers[key as usize];
        readers.tasks.remove(&task);
        if readers.tasks.is_empty() {
            self.keys.remove(&readers.key);
            self.free_keys.push(key);
        }
    }

    fn allocate(&mut self, task: Task) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("invariant: fewer than 2^32 outputs")
        });
        self.tasks.insert(task, number);
        number
    }

    fn key(&mut self, key: Key) -> u32 {
        if let Some(number) = self.keys.get(&key) {
            return *number;
        }
        let readers = Readers { key: key.clone(), tasks: FxHashSet::default() };
        let number = match self.free_keys.pop() {
            Some(number) => {
                self.readers[number as usize] = readers;
                number
            }
            None => {
                self.readers.push(readers);
                u32::try_from(self.readers.len() - 1).expect("invariant: fewer than 2^32 keys")
            }
        };
        self.keys.insert(key, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readers_of_a_touched_key_become_stale_and_only_once() {
        let mut memo: Memo<u32> = Memo::default();
        let host = |name: &str| Key::Host(name.into());
        let mesh = || Key::Mesh(crate::node::MeshPart::Whole);
        let task = |name: &str| Task::Output(Audience::Everyone, Name::Routes(name.into()));
        memo.put(task("a"), 1, [host("a"), mesh()]);
        memo.put(task("b"), 2, [host("b"), mesh()]);
        assert_eq!(memo.touch(&[host("a"), host("c")]), [task("a")]);
        assert_eq!(memo.touch(&[host("a")]), []);
        assert_eq!(memo.get(&task("a")), Some((&1, false)));
        assert_eq!(memo.get(&task("b")), Some((&2, true)));

        memo.put(task("a"), 3, [host("c")]);
        assert_eq!(memo.touch(&[host("a"), mesh()]), [task("b")]);
        memo.retain(|kept| *kept != task("a"));
        assert_eq!(memo.get(&task("a")), None);
        assert_eq!(memo.touch(&[host("c")]), []);

        memo.retain(|_| false);
        assert!(memo.keys.is_empty(), "keys that nobody reads are forgotten");
        memo.put(task("d"), 4, [host("d")]);
        assert_eq!(memo.touch(&[host("a"), host("d")]), [task("d")]);
    }

    #[test]
    fn what_comes_and_goes_takes_no_more_room_than_what_is_there_at_once() {
        let mut memo: Memo<u32> = Memo::default();
        for number in 0..1000 {
            let host: std::sync::Arc<str> = format!("invented-{number}.com").into();
            let task = Task::Output(Audience::Everyone, Name::Routes(host.to_string()));
            let reads = || [Key::Host(host.clone()), Key::Directory];
            memo.put(task.clone(), number, reads());
            // Computed again, it reads the same, and one key less.
            memo.put(task.clone(), number, reads());
            memo.put(task.clone(), number, [Key::Directory]);
            assert!(!memo.keys.contains_key(&Key::Host(host)));
            memo.remove(&task);
        }
        assert!(memo.keys.is_empty() && memo.tasks.is_empty());
        assert_eq!((memo.readers.len(), memo.entries.len()), (2, 1), "numbers are given again");
    }
}
