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
    ids: FxHashMap<(Audience, Name), TopicId>,
    slots: Vec<Option<Topic>>,
    free: Vec<TopicId>,
    /// Those that were let go, oldest first; some may be held again by now.
    spare: VecDeque<(Audience, Name)>,
}

#[derive(Debug)]
struct Topic {
    audience: Audience,
    name: Name,
    text: Arc<str>,
    holders: u32,
    watchers: Vec<Watcher>,
}

impl Topics {
    /// The topic, if anybody holds it.
    pub(crate) fn find(&self, audience: Audience, name: &Name) -> Option<TopicId> {
        // A tuple key cannot be borrowed in parts; names are short.
        self.ids.get(&(audience, name.clone())).copied()
    }

    /// The topic, held once more than before.
    pub(crate) fn hold(&mut self, audience: Audience, name: &Name) -> TopicId {
        if let Some(id) = self.find(audience, name) {
            self.topic_mut(id).holders += 1;
            return id;
        }
        let topic = Topic {
            audience,
            name: name.clone(),
            text: name.to_string().into(),
            holders: 1,
            watchers: Vec::new(),
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let index = u32::try_from(self.slots.len() - 1);
            TopicId(index.expect("invariant: memory ends before four billion topics"))
        });
        self.slots[id.0 as usize] = Some(topic);
        self.ids.insert((audience, name.clone()), id);
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
            let key = (topic.audience, topic.name);
            self.ids.remove(&key);
            self.spare.push_back(key);
        }
        self.free.push(id);
    }

    /// A topic that nobody has held for long, while more than `limit` of them are let go.
    pub(crate) fn retire(&mut self, limit: usize) -> Option<(Audience, Name)> {
        while self.spare.len() > limit {
            let key = self.spare.pop_front()?;
            if !self.ids.contains_key(&key) {
                return Some(key);
            }
        }
        None
    }

    /// From now on the watcher is told when the topic's output may have changed.
    pub(crate) fn watch(&mut self, id: TopicId, watcher: Watcher) {
        self.topic_mut(id).watchers.push(watcher);
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
    pub(crate) fn name(&self, id: TopicId) -> &Name {
        &self.topic(id).name
    }

    /// The topic's name as it is on the wire.
    pub(crate) fn text(&self, id: TopicId) -> &Arc<str> {
        &self.topic(id).text
    }

    /// How many topics there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    fn topic(&self, id: TopicId) -> &Topic {
        self.slots[id.0 as usize].as_ref().expect("invariant: a topic exists while it is held")
    }

    fn topic_mut(&mut self, id: TopicId) -> &mut Topic {
        self.slots[id.0 as usize].as_mut().expect("invariant: a topic exists while it is held")
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
        assert_eq!(topics.retire(0), Some((Audience::Everyone, name("b"))));
        assert_eq!(topics.retire(0), None);
    }
}
