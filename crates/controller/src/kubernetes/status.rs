//! What became of an object, in its status: the condition `Reconciled`, as Istio names it. The leader writes.
//!
//! An object of which there is nothing to say gets no status: a mesh without faults costs no writes. What is
//! to be said is written when it changes, at a bounded rate, and taken back when it holds no more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use lateen_api::kind::Scope;
use lateen_api::{Code, Diagnostic, Kind, ObjectRef, Severity};
use lateen_sources::Batch;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::findings::Said;
use super::{MANAGER, asked, refusal};

/// The condition's type.
const CONDITION: &str = "Reconciled";

/// The label that gives an object to a revision.
const REVISION: &str = "istio.io/rev";

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(100);

/// Before what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Bytes of a message, at most: enough for the first faults.
const LONGEST: usize = 1024;

/// Objects in one page of a list.
const PAGE: u32 = 200;

/// What is to be said of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// It is in force as it stands.
    is_good: bool,
    reason: &'static str,
    message: String,
}

/// All verdicts but those on objects of which there is nothing to say.
type Verdicts = BTreeMap<ObjectRef, Verdict>;

/// Follows what the source says of objects.
#[derive(Debug)]
pub(crate) struct Judge {
    said: watch::Sender<Arc<Said>>,
}

impl Judge {
    pub(crate) fn new() -> Self {
        Self { said: watch::Sender::default() }
    }

    /// What is said of objects that have a status, as it is and as it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Said>> {
        self.said.subscribe()
    }

    /// Takes in what a batch says.
    pub(crate) fn take(&self, batch: &Batch) {
        let mut said = Said::new();
        for diagnostic in &batch.diagnostics {
            if let Some(object) = &diagnostic.object
                && has_status(object.kind)
            {
                said.entry(object.clone()).or_default().push(diagnostic.clone());
            }
        }
        self.said.send_if_modified(|before| {
            let changed = **before != said;
            if changed {
                *before = Arc::new(said);
            }
            changed
        });
    }
}

/// What becomes of objects by all that is said of them: when they are read, and as they work together.
fn verdicts(read: &Said, found: &Said) -> Verdicts {
    let found = found.iter().filter(|(object, _)| has_status(object.kind));
    let mut said: BTreeMap<&ObjectRef, Vec<&Diagnostic>> = BTreeMap::new();
    for (object, diagnostics) in read.iter().chain(found) {
        let worth_saying = diagnostics.iter().filter(|it| it.severity != Severity::Info);
        said.entry(object).or_default().extend(worth_saying);
    }
    said.retain(|_, said| !said.is_empty());
    said.into_iter().map(|(object, said)| (object.clone(), verdict(&said))).collect()
}

/// Istio's own kinds have one.
fn has_status(kind: Kind) -> bool {
    kind.group().ends_with(".istio.io") && kind != Kind::MeshConfig
}

fn verdict(said: &[&Diagnostic]) -> Verdict {
    let errors = said.iter().filter(|it| it.severity == Severity::Error);
    let is_good = errors.count() == 0;
    let is_honoured =
        said.iter().all(|it| !matches!(it.code, Code::FieldNotHonoured | Code::KindNotHonoured));
    let reason = match (is_good, is_honoured) {
        (false, _) => "Invalid",
        (true, false) => "NotHonoured",
        (true, true) => "Warnings",
    };
    let shown = said.iter().filter(|it| is_good || it.severity == Severity::Error);
    let lines: Vec<String> = shown
        .map(|it| match it.field.as_str() {
            "" => it.message.clone(),
            field => format!("{field}: {}", it.message),
        })
        .collect();
    let mut message = lines.join("; ");
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push('…');
    }
    Verdict { is_good, reason, message }
}

/// Writes the verdicts.
pub(crate) struct Statuses {
    client: Client,
    /// This control plane's revision; empty: all objects are its business.
    revision: String,
    read: watch::Receiver<Arc<Said>>,
    found: watch::Receiver<Option<Arc<Said>>>,
    leading: watch::Receiver<bool>,
    /// What objects say of themselves, as far as it is something.
    written: Verdicts,
    /// Objects whose status may be another than it should be.
    open: BTreeSet<ObjectRef>,
}

impl Statuses {
    pub(crate) fn new(
        client: Client,
        revision: String,
        read: watch::Receiver<Arc<Said>>,
        found: watch::Receiver<Option<Arc<Said>>>,
        leading: watch::Receiver<bool>,
    ) -> Self {
        let (written, open) = (BTreeMap::new(), BTreeSet::new());
        Self { client, revision, read, found, leading, written, open }
    }

    /// Follows the verdicts, while this one leads, until stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut led = false;
        loop {
            let open = !self.open.is_empty();
            let next = async {
                tokio::select! {
                    changed = self.read.changed() => changed.is_ok(),
                    changed = self.found.changed() => changed.is_ok(),
                    changed = self.leading.changed() => changed.is_ok(),
                    () = tokio::time::sleep(RETRY), if open => true,
                }
            };
            if stop.run_until_cancelled(next).await != Some(true) {
                return;
            }
            let leads = *self.leading.borrow_and_update();
            if !leads {
                led = false;
                continue;
            }
            let work = async {
                if !std::mem::replace(&mut led, true) {
                    // What former leaders wrote of objects that were mended since.
                    self.written.clear();
                    self.open = self.marked().await;
                }
                self.settle().await;
            };
            if stop.run_until_cancelled(work).await.is_none() {
                return;
            }
        }
    }

    /// Writes what is not as it should be.
    async fn settle(&mut self) {
        let Some(found) = self.found.borrow_and_update().clone() else { return };
        let verdicts = verdicts(&self.read.borrow_and_update(), &found);
        let differs =
            |(object, verdict): &(&ObjectRef, &Verdict)| self.written.get(object) != Some(verdict);
        let said = verdicts.iter().filter(differs).map(|(object, _)| object.clone());
        let mended = self.written.keys().filter(|object| !verdicts.contains_key(object)).cloned();
        let mut open: BTreeSet<ObjectRef> = said.chain(mended).collect();
        open.append(&mut self.open);
        for object in open {
            if !*self.leading.borrow() {
                return;
            }
            match self.write(&object, verdicts.get(&object)).await {
                Ok(()) => {
                    match verdicts.get(&object) {
                        Some(verdict) => self.written.insert(object, verdict.clone()),
                        None => self.written.remove(&object),
                    };
                }
                // It is gone.
                Err(error) if refusal(&error) == Some(404) => {
                    self.written.remove(&object);
                }
                Err(error) => {
                    tracing::info!(%object, %error, "the status is not written; it is tried again");
                    self.open.insert(object);
                }
            }
        }
    }

    /// Objects that have the condition already.
    async fn marked(&self) -> BTreeSet<ObjectRef> {
        let mut marked = BTreeSet::new();
        for kind in Kind::ALL.iter().copied().filter(|kind| has_status(*kind)) {
            let objects: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource(kind));
            let mut page = ListParams::default().limit(PAGE);
            loop {
                // A kind that is not installed, or not in this version, has no objects for us.
                let Ok(list) = asked(objects.list(&page)).await else { break };
                for object in list.items {
                    if condition(&object.data).is_some() {
                        let meta = object.metadata;
                        let namespace = meta.namespace.unwrap_or_default();
                        marked.insert(ObjectRef::new(
                            kind,
                            namespace,
                            meta.name.unwrap_or_default(),
                        ));
                    }
                }
                match list.metadata.continue_.filter(|next| !next.is_empty()) {
                    Some(next) => page = page.continue_token(&next),
                    None => break,
                }
            }
        }
        marked
    }

    /// Writes what there is to say about an object (`None`: nothing any more), unless it says so already.
    async fn write(&self, object: &ObjectRef, verdict: Option<&Verdict>) -> kube::Result<()> {
        let resource = resource(object.kind);
        let objects: Api<DynamicObject> = match object.kind.scope() {
            Scope::Namespaced => {
                Api::namespaced_with(self.client.clone(), &object.namespace, &resource)
            }
            Scope::Cluster => Api::all_with(self.client.clone(), &resource),
        };
        let found = asked(objects.get(&object.name)).await?;
        if self.is_foreign(&found) {
            return Ok(());
        }
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Some(conditions) = with_condition(&found, verdict, &now) else { return Ok(()) };
        let generation = found.metadata.generation.unwrap_or_default();
        let patch = json!({
            // Whoever changed the object meanwhile is right.
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "status": {"conditions": conditions, "observedGeneration": generation},
        });
        let parameters =
            PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        asked(objects.patch_status(&object.name, &parameters, &Patch::Merge(patch))).await?;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// Whether the object is another revision's, which says what became of it.
    fn is_foreign(&self, object: &DynamicObject) -> bool {
        let labels = object.metadata.labels.as_ref();
        let revision = labels.and_then(|labels| labels.get(REVISION));
        !self.revision.is_empty() && revision.is_some_and(|revision| *revision != self.revision)
    }
}

fn resource(kind: Kind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: kind.versions().first().copied().unwrap_or("v1").to_owned(),
        api_version: kind.api_version(),
        kind: kind.name().to_owned(),
        plural: kind.plural(),
    }
}

/// Our condition, where an object has it.
fn condition(object: &Value) -> Option<&Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == CONDITION)
}

/// The conditions of an object with ours as it should be, others as they are. Nothing where it is so already.
fn with_condition(
    object: &DynamicObject,
    verdict: Option<&Verdict>,
    now: &str,
) -> Option<Vec<Value>> {
    let before = condition(&object.data);
    let good = Verdict { is_good: true, reason: "Accepted", message: String::new() };
    let verdict = match (verdict, before) {
        (Some(verdict), _) => verdict,
        (None, Some(_)) => &good,
        (None, None) => return None,
    };
    let status = if verdict.is_good { "True" } else { "False" };
    let same = |key: &str, value: &str| {
        before.is_some_and(|before| before[key].as_str().unwrap_or_default() == value)
    };
    if same("status", status) && same("reason", verdict.reason) && same("message", &verdict.message)
    {
        return None;
    }
    let since = before.filter(|before| before["status"] == status);
    let since = since.and_then(|before| before["lastTransitionTime"].as_str()).unwrap_or(now);
    let others = object.data["status"]["conditions"].as_array().into_iter().flatten();
    let mut conditions: Vec<Value> =
        others.filter(|condition| condition["type"] != CONDITION).cloned().collect();
    conditions.push(json!({
        "type": CONDITION,
        "status": status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": since,
    }));
    Some(conditions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnostic(severity: Severity, code: Code, field: &str) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            object: Some(ObjectRef::new(Kind::Gateway, "shop", "front")),
            field: field.to_owned(),
            file: Arc::from("kubernetes"),
            line: 0,
            column: 0,
            message: "so it is".to_owned(),
        }
    }

    #[test]
    fn errors_come_before_warnings() {
        let bad = diagnostic(Severity::Error, Code::BadValue, "spec.a");
        let warning = diagnostic(Severity::Warning, Code::NoEffect, "");
        let pending = diagnostic(Severity::Warning, Code::FieldNotHonoured, "spec.b");
        for (said, is_good, reason, message) in [
            (vec![&warning, &bad], false, "Invalid", "spec.a: so it is"),
            (vec![&warning], true, "Warnings", "so it is"),
            (vec![&pending, &warning], true, "NotHonoured", "spec.b: so it is; so it is"),
        ] {
            let message = message.to_owned();
            assert_eq!(verdict(&said), Verdict { is_good, reason, message });
        }
    }

    fn object(conditions: &Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "front"},
            "status": {"conditions": conditions},
        }))
        .expect("an object")
    }

    #[test]
    fn only_transitions_are_written() {
        let bad = Verdict { is_good: false, reason: "Invalid", message: "why".to_owned() };
        let other = json!({"type": "Healthy", "status": "True"});
        let ours = |status: &str, reason: &str, message: &str, since: &str| {
            json!({"type": CONDITION, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": since})
        };
        let none = object(&json!([other]));
        assert_eq!(with_condition(&none, None, "2"), None, "nothing was and is to be said");
        let written = with_condition(&none, Some(&bad), "2");
        assert_eq!(written, Some(vec![other.clone(), ours("False", "Invalid", "why", "2")]));

        let marked = object(&json!([ours("False", "Invalid", "why", "1"), other]));
        assert_eq!(with_condition(&marked, Some(&bad), "2"), None, "it says so already");
        let worse = Verdict { message: "more".to_owned(), ..bad };
        let written = with_condition(&marked, Some(&worse), "2");
        assert_eq!(written, Some(vec![other.clone(), ours("False", "Invalid", "more", "1")]));
        let mended = with_condition(&marked, None, "2");
        assert_eq!(mended, Some(vec![other, ours("True", "Accepted", "", "2")]));
    }

    #[test]
    fn verdicts_are_on_objects_of_the_mesh() {
        let judge = Judge::new();
        let read = judge.subscribe();
        let mut foreign = diagnostic(Severity::Error, Code::BadValue, "spec");
        foreign.object = Some(ObjectRef::new(Kind::Service, "shop", "web"));
        let diagnostics = vec![foreign, diagnostic(Severity::Error, Code::BadValue, "spec")];
        judge.take(&Batch { diagnostics, ..Batch::default() });
        let names: Vec<String> = read.borrow().keys().map(ToString::to_string).collect();
        assert_eq!(names, ["Gateway shop/front"]);

        // What is found joins it; what is found of kinds without a status does not.
        let service = ObjectRef::new(Kind::Service, "shop", "web");
        let gateway = ObjectRef::new(Kind::Gateway, "shop", "front");
        let route = ObjectRef::new(Kind::VirtualService, "shop", "web");
        let warning = vec![diagnostic(Severity::Warning, Code::SelectsNothing, "spec")];
        let found = [gateway.clone(), route.clone(), service].map(|it| (it, warning.clone()));
        let all = verdicts(&read.borrow(), &Said::from(found));
        let reasons: Vec<_> = all.iter().map(|(object, it)| (object, it.reason)).collect();
        assert_eq!(reasons, [(&route, "Warnings"), (&gateway, "Invalid")]);
    }
}
