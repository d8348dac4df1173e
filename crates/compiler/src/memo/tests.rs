use super::*;
use crate::client::Role;
use crate::perspective::Aspect;
use crate::scope::{Scope, Scopes};

fn host(name: &str) -> Key {
    Key::Host(name.into())
}

fn mesh() -> Key {
    Key::Mesh(crate::node::MeshPart::Whole)
}

fn routes(name: &str) -> Name {
    Name::Routes(name.into())
}

fn everyone(name: &str) -> Task {
    Task::Output(Audience::Everyone, Arc::new(routes(name)))
}

/// A memo for what no scope influences.
#[derive(Default)]
struct Shared(Memo<u32>);

impl Shared {
    fn put(&mut self, name: &str, value: u32, reads: &[Key]) {
        let aspects = Aspects::default();
        let name = routes(name);
        let subject = Subject::Output(&name);
        self.0.put(Audience::Everyone, subject, value, aspects, reads.iter().cloned());
    }

    fn get(&self, name: &str) -> Option<(u32, bool)> {
        let found = self.0.get(Audience::Everyone, Subject::Output(&routes(name)));
        found.map(|(value, fresh)| (*value, fresh))
    }
}

#[test]
fn only_readers_of_a_touched_key_become_stale_and_only_once() {
    let mut memo = Shared::default();
    memo.put("a", 1, &[host("a"), mesh()]);
    memo.put("b", 2, &[host("b"), mesh()]);
    assert_eq!(memo.0.touch(&[host("a"), host("c")]), [everyone("a")]);
    assert_eq!(memo.0.touch(&[host("a")]), []);
    assert_eq!((memo.get("a"), memo.get("b")), (Some((1, false)), Some((2, true))));

    memo.put("a", 3, &[host("c")]);
    assert_eq!(memo.0.touch(&[host("a"), mesh()]), [everyone("b")]);
    memo.0.remove(Audience::Everyone, Subject::Output(&routes("a")));
    assert_eq!(memo.get("a"), None);
    assert_eq!(memo.0.touch(&[host("c")]), []);

    memo.0.retain(|_| false);
    assert!(memo.0.keys.is_empty(), "keys that nobody reads are forgotten");
    memo.put("d", 4, &[host("d")]);
    assert_eq!(memo.0.touch(&[host("a"), host("d")]), [everyone("d")]);
}

#[test]
fn what_comes_and_goes_takes_no_more_room_than_what_is_there_at_once() {
    let mut memo = Shared::default();
    for number in 0..1000 {
        let name = format!("invented-{number}.com");
        let reads = [host(&name), Key::Directory];
        memo.put(&name, number, &reads);
        memo.0.touch(&[Key::Directory]);
        // Computed again, it reads the same, and one key less.
        memo.put(&name, number, &reads);
        memo.0.touch(&[Key::Directory]);
        memo.put(&name, number, &[Key::Directory]);
        assert!(!memo.0.keys.contains_key(&host(&name)));
        memo.0.remove(Audience::Everyone, Subject::Output(&routes(&name)));
    }
    let memo = memo.0;
    assert!(memo.keys.is_empty() && memo.outputs.is_empty());
    let room = [memo.readers.slots.len(), memo.rows.slots.len(), memo.variants.slots.len()];
    assert_eq!(room, [2, 1, 1], "numbers are given again");
}

/// Scopes of three namespaces, and what two of them have in common: not to be the third.
struct Three {
    memo: Memo<u32>,
    scopes: [Audience; 3],
}

impl Three {
    fn new() -> Self {
        let mut scopes = Scopes::default();
        let mut scope = |namespace: &str| {
            Audience::Scope(scopes.intern(Scope {
                role: Role::Sidecar,
                namespace: namespace.into(),
                network: "".into(),
                selectors: Box::default(),
                services: Box::default(),
                named_ports: Arc::default(),
            }))
        };
        let scopes = ["a", "b", "c"].map(&mut scope);
        Self { memo: Memo::default(), scopes }
    }

    fn aspects(namespace: &str, answer: bool) -> Aspects {
        Aspects::of([Aspect::Namespace(namespace.into(), answer)])
    }

    /// What a scope has, if need be from the other; `None`: it has to be computed.
    fn ask(&mut self, scope: usize, is_special: bool) -> Option<u32> {
        let name = routes("x");
        let subject = Subject::Output(&name);
        if let Some((value, true)) = self.memo.get(self.scopes[scope], subject) {
            return Some(*value);
        }
        let like = Self::aspects("c", is_special);
        self.memo.adopt(self.scopes[scope], subject, |aspects| *aspects == like)
    }

    fn put(&mut self, scope: usize, value: u32, is_special: bool) {
        let name = routes("x");
        let aspects = Self::aspects("c", is_special);
        let subject = Subject::Output(&name);
        self.memo.put(self.scopes[scope], subject, value, aspects, [host("x")]);
    }
}

#[test]
fn scopes_that_answer_alike_share_and_look_again_when_it_was_computed_anew() {
    let mut three = Three::new();
    let [a, b, c] = three.scopes.map(|audience| Task::Output(audience, Arc::new(routes("x"))));
    assert_eq!(three.ask(0, false), None);
    three.put(0, 1, false);
    assert_eq!(three.ask(1, false), Some(1));
    assert_eq!(three.ask(2, true), None);
    three.put(2, 2, true);
    assert_eq!(three.memo.variants.numbered().count(), 2);

    let mut stale = three.memo.touch(&[host("x")]);
    stale.sort_by_key(|task| [&a, &b, &c].iter().position(|known| *known == task));
    assert_eq!(stale, [a.clone(), b, c]);
    // Now the first scope is like the third.
    three.put(0, 3, true);
    assert_eq!(three.ask(2, true), Some(3));
    assert_eq!(three.ask(1, false), None, "what it had is another's now");
    three.put(1, 4, false);
    assert_eq!((three.ask(0, true), three.ask(1, false)), (Some(3), Some(4)));
    assert_eq!(three.memo.variants.numbered().count(), 2, "what nobody has is forgotten");

    let gone = three.scopes[1];
    three.memo.retain(|audience| audience != gone);
    assert_eq!(three.memo.variants.numbered().count(), 1);
    three.memo.retain(|_| false);
    assert!(three.memo.keys.is_empty() && three.memo.outputs.is_empty());
}
