//! Who wants which resource.

use std::{collections::VecDeque, sync::Arc};

use lateen_compiler::Audience;
use lateen_mesh::name::Name;
use rustc_hash::FxHashMap;

/// Who is told when an output may have changed: a native connection, or a part that is lowered for
/// Envoys. Both are numbered from one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Watcher(pub(crate) u64);

/// A resource as those who share its bytes see it: a name, for everyone or for one scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TopicId(u32);

/// All topics that somebody has to do with. A topic exists while it is held.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    /// Numbers of names: a name is kept once, whoever it is for.
    numbers: FxHashMap<Arc<Name>, u32>,
    named: Vec<Option<Named>>,
    free_numbers: Vec<u32>,
    slots: Vec<Option<Topic>>,
    free: Vec<TopicId>,
    /// Those that were let go, oldest first; some may be held again by now.
    spare: VecDeque<(Audience, Arc<Name>)>,
}

/// The topics of one name.
#[derive(Debug)]
struct Named {
    name: Arc<Name>,
    text: Arc<str>,
    /// Sorted.
    topics: Vec<(Audience, TopicId)>,
}

#[derive(Debug)]
struct Topic {
    audience: Audience,
    number: u32,
    holders: u32,
    watchers: Vec<Watcher>,
}

impl Topics {
    /// The topic, if anybody holds it.
    pub(crate) fn find(&self, audience: Audience, name: &Name) -> Option<TopicId> {
        let named = self.named[*self.numbers.get(name)? as usize].as_ref()?;
        Some(named.topics[named.place(audience).ok()?].1)
    }

    /// The topic, held once more than before.
    pub(crate) fn hold(&mut self, audience: Audience, name: &Name) -> TopicId {
        let number = self.number(name);
        let named = self.named[number as usize].as_mut().expect("invariant: it has the number");
        let place = match named.place(audience) {
            Ok(at) => {
                let id = named.topics[at].1;
                self.topic_mut(id).holders += 1;
                return id;
            }
            Err(place) => place,
        };
        let topic = Topic { audience, number, holders: 1, watchers: Vec::new() };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let index = u32::try_from(self.slots.len() - 1);
            TopicId(index.expect("invariant: memory ends before four billion topics"))
        });
        self.slots[id.0 as usize] = Some(topic);
        named.topics.insert(place, (audience, id));
        id
    }

    /// Held once less; forgotten with the last holder.
    pub(crate) fn release(&mut self, id: TopicId) {
        let topic = self.topic_mut(id);
        topic.holders -= 1;
        if topic.holders > 0 {
            return;
        }
        debug_assert!(topic.watchers.is_empty(), "who watches a topic holds it");
        if let Some(topic) = self.slots[id.0 as usize].take() {
            self.strike(topic.audience, topic.number);
        }
        self.free.push(id);
    }

    /// Takes a topic from those of its name.
    fn strike(&mut self, audience: Audience, number: u32) {
        let slot = &mut self.named[number as usize];
        let Some(named) = slot else { return };
        if let Ok(at) = named.place(audience) {
            named.topics.remove(at);
        }
        self.spare.push_back((audience, named.name.clone()));
        if named.topics.is_empty()
            && let Some(named) = slot.take()
        {
            self.numbers.remove(&named.name);
            self.free_numbers.push(number);
        }
    }

    /// The number of a name, given if need be.
    fn number(&mut self, name: &Name) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.free_numbers.pop().unwrap_or_else(|| {
            self.named.push(None);
            let index = u32::try_from(self.named.len() - 1);
            index.expect("invariant: memory ends before four billion names")
        });
        let (name, text) = (Arc::new(name.clone()), name.to_string().into());
        self.numbers.insert(name.clone(), number);
        self.named[number as usize] = Some(Named { name, text, topics: Vec::new() });
        number
    }

    /// A topic that nobody has held for long, while more than `limit` of them are let go.
    pub(crate) fn retire(&mut self, limit: usize) -> Option<(Audience, Arc<Name>)> {
        while self.spare.len() > limit {
            let (audience, name) = self.spare.pop_front()?;
            if self.find(audience, &name).is_none() {
                return Some((audience, name));
            }
        }
        None
    }

    /// From now on the watcher is told when the topic's output may have changed.
    pub(crate) fn watch(&mut self, id: TopicId, watcher: Watcher) {
        let watchers = &mut self.topic_mut(id).watchers;
        if watchers.is_empty() {
            // Most topics have one watcher.
            watchers.reserve_exact(1);
        }
        watchers.push(watcher);
    }

    /// No more.
    pub(crate) fn unwatch(&mut self, id: TopicId, watcher: Watcher) {
        let watchers = &mut self.topic_mut(id).watchers;
        if let Some(position) = watchers.iter().position(|other| *other == watcher) {
            watchers.swap_remove(position);
        }
    }

    /// Those who want the topic.
    pub(crate) fn watchers(&self, id: TopicId) -> &[Watcher] {
        &self.topic(id).watchers
    }

    /// The topic's name.
    pub(crate) fn name(&self, id: TopicId) -> &Arc<Name> {
        &self.named(id).name
    }

    /// The topic's name as it is on the wire.
    pub(crate) fn text(&self, id: TopicId) -> &Arc<str> {
        &self.named(id).text
    }

    /// How many topics there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    fn named(&self, id: TopicId) -> &Named {
        let named = self.named[self.topic(id).number as usize].as_ref();
        named.expect("invariant: a name has its number while there is a topic of it")
    }

    fn topic(&self, id: TopicId) -> &Topic {
        self.slots[id.0 as usize].as_ref().expect("invariant: a topic exists while it is held")
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        self.slots[id.0 as usize].as_mut().expect("invariant: a topic exists while it is held")
    }
}

impl Named {
    /// Where the topic of an audience stands, or would.
    fn place(&self, audience: Audience) -> Result<usize, usize> {
        self.topics.binary_search_by_key(&audience, |(known, _)| *known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_forgotten_with_its_last_holder_and_retired_later() {
        let mut topics = Topics::default();
        let name = |host: &str| Name::Routes(host.to_owned());
        let first = topics.hold(Audience::Everyone, &name("a"));
        assert_eq!(topics.hold(Audience::Everyone, &name("a")), first);
        topics.release(first);
        assert_eq!(topics.find(Audience::Everyone, &name("a")), Some(first));
        topics.release(first);
        assert_eq!(topics.find(Audience::Everyone, &name("a")), None);
        assert_eq!(topics.retire(1), None);

        // Its place is taken by another one; what is held again is not retired.
        assert_eq!(topics.hold(Audience::Everyone, &name("b")), first);
        topics.release(first);
        topics.hold(Audience::Everyone, &name("a"));
        assert_eq!(topics.retire(0), Some((Audience::Everyone, Arc::new(name("b")))));
        assert_eq!(topics.retire(0), None);
    }
}
