//! What backends should do now, and what they saw.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::observe::{Headers, SeenRequest};
use crate::scenario::Behaviour;

/// The header that says to which request of which exchange something belongs.
pub const TAG: &str = "x-bed";

/// What all backends of a side share.
#[derive(Default)]
pub struct Stage(Mutex<Scene>);

#[derive(Default)]
struct Scene {
    /// What each backend does, in the exchange that runs.
    behaviours: BTreeMap<String, Vec<Behaviour>>,
    /// How often each was asked in it.
    asked: HashMap<String, usize>,
    /// The tag of what has no tag of its own.
    tag: String,
    seen: HashMap<String, Vec<SeenRequest>>,
    /// Connections of bytes that are open.
    open: usize,
}

/// Where something that was seen is kept.
#[derive(Debug, Clone)]
pub struct Ticket {
    tag: String,
    index: usize,
}

/// A connection of bytes, while it is open.
pub struct Open<'a>(&'a Stage);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.scene().open -= 1;
    }
}

impl Stage {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another exchange begins.
    pub fn begin(&self, behaviours: &BTreeMap<String, Vec<Behaviour>>) {
        let mut scene = self.scene();
        scene.behaviours.clone_from(behaviours);
        scene.asked.clear();
    }

    /// What follows belongs to this tag, unless it says otherwise.
    pub fn tag(&self, tag: &str) {
        tag.clone_into(&mut self.scene().tag);
    }

    /// What was seen under a tag, taken away.
    pub fn take(&self, tag: &str) -> Vec<SeenRequest> {
        self.scene().seen.remove(tag).unwrap_or_default()
    }

    /// How much was seen under a tag.
    pub fn count(&self, tag: &str) -> usize {
        self.scene().seen.get(tag).map_or(0, Vec::len)
    }

    /// Forgets everything; another scenario begins.
    pub fn clear(&self) {
        let open = self.scene().open;
        *self.scene() = Scene { open, ..Scene::default() };
    }

    /// A connection of bytes begins.
    pub fn open(&self) -> Open<'_> {
        self.scene().open += 1;
        Open(self)
    }

    /// Whether connections of bytes are open.
    pub fn is_busy(&self) -> bool {
        self.scene().open > 0
    }

    /// What `backend` does with this request, counting it. A mirrored copy is not counted.
    pub fn next(&self, backend: &str, counted: bool) -> Behaviour {
        let mut scene = self.scene();
        let asked = scene.asked.entry(backend.to_owned()).or_default();
        let index = *asked;
        *asked += usize::from(counted);
        let Some(behaviours) = scene.behaviours.get(backend) else { return Behaviour::default() };
        behaviours.get(index).or(behaviours.last()).cloned().unwrap_or_default()
    }

    /// What `backend` would do, not counting.
    pub fn peek(&self, backend: &str) -> Behaviour {
        self.next(backend, false)
    }

    /// Keeps what was seen; the tag header is taken out.
    pub fn record(&self, mut seen: SeenRequest) -> Ticket {
        let mut scene = self.scene();
        let tag = take_tag(&mut seen.headers).unwrap_or_else(|| scene.tag.clone());
        let list = scene.seen.entry(tag.clone()).or_default();
        list.push(seen);
        let index = list.len() - 1;
        Ticket { tag, index }
    }

    /// Adds what arrived later.
    pub fn amend(&self, ticket: &Ticket, change: impl FnOnce(&mut SeenRequest)) {
        let mut scene = self.scene();
        if let Some(seen) =
            scene.seen.get_mut(&ticket.tag).and_then(|all| all.get_mut(ticket.index))
        {
            change(seen);
        }
    }
}

fn take_tag(headers: &mut Headers) -> Option<String> {
    let at = headers.iter().position(|(name, _)| name == TAG)?;
    Some(headers.remove(at).1)
}
