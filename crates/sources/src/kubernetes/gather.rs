//! What all followers found, as batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use lateen_api::{Code, Diagnostic, Kind, Object, ObjectRef, Severity, Spec};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::Settings;
use super::definitions::installs;
use super::follow::{Follower, Note, Said};
use super::keep::{Known, ORIGIN, Outcome};
use super::resource::{Resource, Topic};
use super::selection::Selection;
use crate::{Batch, Change};

/// Notes on their way; whoever has more waits.
const NOTES: usize = 256;

/// See the module.
pub(super) struct Gatherer {
    client: Client,
    settings: Settings,
    followed: BTreeMap<Topic, Followed>,
    /// Numbers followers.
    next: u64,
    tasks: JoinSet<()>,
    notes: (mpsc::Sender<Note>, mpsc::Receiver<Note>),
    /// Says that hidden objects may be seen now, or the other way round.
    relist: watch::Sender<u64>,
    selection: Selection,
    /// What each definition installs, by its name; and those that the list that is being read holds.
    installed: BTreeMap<String, Resource>,
    listed: Option<BTreeMap<String, Resource>>,
    outgoing: Outgoing,
}

/// A kind that is followed.
struct Followed {
    follower: u64,
    task: tokio::task::AbortHandle,
    known: Option<Known>,
    /// It was listed to the end at least once.
    is_listed: bool,
    /// Why the server does not answer.
    failure: Option<String>,
}

/// What is to be said next.
#[derive(Default)]
struct Outgoing {
    changes: BTreeMap<ObjectRef, Change>,
    diagnostics: BTreeMap<ObjectRef, Vec<Diagnostic>>,
    /// The diagnostics are others than when a batch was made last.
    said_anew: bool,
    /// The first batch was made.
    started: bool,
}

impl Gatherer {
    pub fn new(client: Client, settings: Settings) -> Self {
        Self {
            client,
            settings,
            followed: BTreeMap::new(),
            next: 0,
            tasks: JoinSet::new(),
            notes: mpsc::channel(NOTES),
            relist: watch::Sender::new(0),
            selection: Selection::default(),
            installed: BTreeMap::new(),
            listed: None,
            outgoing: Outgoing::default(),
        }
    }

    /// Runs until nobody listens.
    pub async fn run(mut self, batches: mpsc::Sender<Batch>) {
        // What the rest depends on comes first: which kinds and which namespaces there are for the mesh.
        self.follow(Resource::definitions());
        self.follow(Resource::mesh_config(&self.settings));
        self.follow(Resource::namespaces());
        let mut is_following_all = false;
        loop {
            tokio::select! {
                biased;
                () = batches.closed() => return,
                room = batches.reserve(), if self.has_batch(is_following_all) => {
                    let Ok(room) = room else { return };
                    room.send(self.batch());
                }
                note = self.notes.1.recv() => {
                    let Some(note) = note else { return };
                    self.take(note);
                    while let Ok(note) = self.notes.1.try_recv() {
                        self.take(note);
                    }
                }
            }
            if !is_following_all && self.followed.values().all(|followed| followed.is_listed) {
                is_following_all = true;
                Resource::built_in().into_iter().for_each(|resource| self.follow(resource));
                let installed: Vec<Resource> = self.installed.values().cloned().collect();
                installed.into_iter().for_each(|resource| self.follow(resource));
            }
        }
    }

    /// The first batch waits for everything.
    fn has_batch(&self, is_following_all: bool) -> bool {
        if !self.outgoing.started {
            return is_following_all && self.followed.values().all(|each| each.is_listed);
        }
        !self.outgoing.changes.is_empty() || self.outgoing.said_anew
    }

    fn batch(&mut self) -> Batch {
        let outgoing = &mut self.outgoing;
        let (mut changes, upserts): (Vec<Change>, Vec<Change>) =
            std::mem::take(&mut outgoing.changes)
                .into_values()
                .partition(|change| matches!(change, Change::Remove(_)));
        changes.extend(upserts);
        outgoing.said_anew = false;
        let failures = self.followed.iter().filter_map(|(topic, followed)| {
            Some(unreachable(*topic, followed.failure.as_deref()?))
        });
        let diagnostics = failures.chain(outgoing.diagnostics.values().flatten().cloned());
        Batch {
            changes,
            relocated: Vec::new(),
            diagnostics: diagnostics.collect(),
            initial: !std::mem::replace(&mut outgoing.started, true),
        }
    }

    fn follow(&mut self, resource: Resource) {
        let topic = resource.topic;
        self.next += 1;
        let follower = Follower {
            id: self.next,
            client: self.client.clone(),
            resource,
            settings: self.settings.clone(),
            notes: self.notes.0.clone(),
            relist: self.relist.subscribe(),
            failures: 0,
        };
        let task = self.tasks.spawn(follower.run());
        let known = match topic {
            Topic::Definitions => None,
            Topic::Objects(kind) => Some(Known::new(kind)),
        };
        let followed =
            Followed { follower: self.next, task, known, is_listed: false, failure: None };
        self.followed.insert(topic, followed);
    }

    fn take(&mut self, note: Note) {
        // Notes of a follower that was stopped may still be on their way.
        let from = self.followed.iter().find(|(_, each)| each.follower == note.follower);
        match from.map(|(topic, _)| *topic) {
            Some(Topic::Definitions) => self.take_definition(note.said),
            Some(topic) => self.take_objects(topic, note.said),
            None => {}
        }
    }

    fn take_objects(&mut self, topic: Topic, said: Said) {
        let Some(followed) = self.followed.get_mut(&topic) else { return };
        if let Some(known) = &mut followed.known {
            match said {
                Said::Listing => known.begin_list(),
                Said::Page(items) => {
                    items.into_iter().for_each(|item| self.take_object(topic, item));
                }
                Said::Applied(item) => self.take_object(topic, item),
                Said::Deleted(item) => {
                    if let Some(outcome) = known.remove(&item) {
                        self.settle(outcome);
                    }
                }
                Said::Listed => {
                    followed.is_listed = true;
                    for (object, in_force) in known.end_list() {
                        self.settle(Outcome::Gone(object, in_force));
                    }
                }
                other => self.take_health(topic, other),
            }
        }
    }

    fn take_object(&mut self, topic: Topic, item: Value) {
        let selection = &self.selection;
        let known = self.followed.get_mut(&topic).and_then(|each| each.known.as_mut());
        // Namespaces themselves, and the mesh's settings, are seen in any case.
        let is_always_seen = matches!(topic, Topic::Objects(Kind::Namespace | Kind::ConfigMap));
        let outcome = known.and_then(|known| {
            known.take(item, |namespace| is_always_seen || selection.sees(namespace))
        });
        if let Some(outcome) = outcome {
            self.settle(outcome);
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Same => {}
            Outcome::Taken(object, diagnostics) => {
                self.select(&object.reference(), Some(&object));
                self.outgoing.say(object.reference(), diagnostics);
                let change = Change::Upsert(Arc::from(object));
                self.outgoing.changes.insert(change.reference(), change);
            }
            Outcome::Rejected(object, diagnostics) => self.outgoing.say(object, diagnostics),
            Outcome::Gone(object, in_force) => {
                self.select(&object, None);
                self.outgoing.say(object.clone(), Vec::new());
                if in_force {
                    self.outgoing.changes.insert(object.clone(), Change::Remove(object));
                }
            }
        }
    }

    /// Takes in what decides on the namespaces of the mesh.
    fn select(&mut self, reference: &ObjectRef, object: Option<&Object>) {
        let is_other = match reference.kind {
            Kind::Namespace => {
                let labels = object.map(|object| &object.meta.labels);
                self.selection.set_namespace(&reference.name, labels)
            }
            Kind::ConfigMap => {
                let selectors = match object.map(|object| &object.spec) {
                    Some(Spec::MeshConfig(mesh)) => mesh.discovery_selectors.clone(),
                    _ => Vec::new(),
                };
                self.selection.set_selectors(selectors)
            }
            _ => false,
        };
        if is_other && self.followed.len() > 3 {
            tracing::info!("other namespaces belong to the mesh now; everything is listed anew");
            self.relist.send_modify(|times| *times += 1);
        }
    }

    fn take_definition(&mut self, said: Said) {
        match said {
            Said::Listing => self.listed = Some(BTreeMap::new()),
            Said::Page(items) => {
                for item in &items {
                    if let (Some(name), Some(resource)) = (name_of(item), installs(item)) {
                        let listed = self.listed.get_or_insert_default();
                        listed.insert(name.to_owned(), resource);
                    }
                }
            }
            Said::Listed => {
                let installed = self.listed.take().unwrap_or_default();
                let names: Vec<String> =
                    self.installed.keys().chain(installed.keys()).cloned().collect();
                for name in names {
                    self.install(&name, installed.get(&name).cloned());
                }
                if let Some(followed) = self.followed.get_mut(&Topic::Definitions) {
                    followed.is_listed = true;
                }
            }
            Said::Applied(item) => {
                if let Some(name) = name_of(&item) {
                    self.install(name, installs(&item));
                }
            }
            Said::Deleted(item) => {
                if let Some(name) = name_of(&item) {
                    self.install(name, None);
                }
            }
            health => self.take_health(Topic::Definitions, health),
        }
    }

    /// Takes in what a definition installs now.
    fn install(&mut self, name: &str, resource: Option<Resource>) {
        if self.installed.get(name) == resource.as_ref() {
            return;
        }
        // Before the namespaces are known nothing else is followed.
        let is_following_all = self.followed.contains_key(&Topic::Objects(Kind::Service));
        if let Some(former) = self.installed.remove(name) {
            let same = resource.as_ref().is_some_and(|resource| resource.topic == former.topic);
            if !same {
                tracing::info!(kind = %former.topic, "a kind is not installed any more");
            }
            self.unfollow(former.topic, same);
        }
        if let Some(resource) = resource {
            self.installed.insert(name.to_owned(), resource.clone());
            if is_following_all {
                tracing::info!(kind = %resource.topic, path = resource.path, "a kind is followed");
                self.follow_again(resource);
            }
        }
    }

    /// Stops following; what is known goes too, unless it is kept for who follows next.
    fn unfollow(&mut self, topic: Topic, keep: bool) {
        let Some(followed) = self.followed.get_mut(&topic) else { return };
        followed.task.abort();
        if keep {
            return;
        }
        let gone = followed.known.as_mut().map(Known::forget).unwrap_or_default();
        self.followed.remove(&topic);
        for object in gone {
            self.settle(Outcome::Gone(object, true));
        }
        self.outgoing.forget(topic);
    }

    /// Follows, where another path of the same kind may have been followed before: its objects are the same.
    fn follow_again(&mut self, resource: Resource) {
        let topic = resource.topic;
        let known = self.followed.remove(&topic).and_then(|former| former.known);
        self.follow(resource);
        if let (Some(known), Some(followed)) = (known, self.followed.get_mut(&topic)) {
            followed.known = Some(known);
        }
    }

    fn take_health(&mut self, topic: Topic, said: Said) {
        let failure = match said {
            Said::Failed(failure) => Some(failure),
            _ => None,
        };
        if let Some(followed) = self.followed.get_mut(&topic) {
            self.outgoing.said_anew |= followed.failure != failure;
            followed.failure = failure;
        }
    }
}

impl Outgoing {
    /// Takes in all that there is to say about an object.
    fn say(&mut self, object: ObjectRef, diagnostics: Vec<Diagnostic>) {
        if diagnostics.is_empty() {
            self.said_anew |= self.diagnostics.remove(&object).is_some();
        } else {
            let before = self.diagnostics.get(&object);
            self.said_anew |= before != Some(&diagnostics);
            self.diagnostics.insert(object, diagnostics);
        }
    }

    /// Takes back what there was to say about a kind's objects.
    fn forget(&mut self, topic: Topic) {
        let before = self.diagnostics.len();
        self.diagnostics.retain(|object, _| Topic::Objects(object.kind) != topic);
        self.said_anew |= self.diagnostics.len() != before;
    }
}

fn name_of(item: &Value) -> Option<&str> {
    item["metadata"]["name"].as_str()
}

/// Something to say about a kind as a whole.
fn unreachable(topic: Topic, reason: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::Unreadable,
        object: None,
        field: String::new(),
        file: Arc::from(ORIGIN),
        line: 0,
        column: 0,
        message: format!("changes of {topic} are not heard of; what was known stays: {reason}"),
    }
}
