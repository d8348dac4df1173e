//! What several files say, as one set of objects.
//!
//! * An object that is rejected keeps the version that was good before; the others in its file are
//!   taken as they are now.
//! * Where a file cannot be read far enough to say which objects it holds, all its former ones stay.
//! * An object that stands in several files counts where the path is the first in order; the others
//!   are reported.
//! * Only a difference in meaning is a change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use lateen_api::{Code, Diagnostic, Object, ObjectRef, Parsed, Severity};

use crate::{Batch, Change};

/// What there is to say about a file now.
#[derive(Debug)]
pub enum FileReport {
    /// It holds what it held.
    Unchanged,
    /// It was read.
    Read(Parsed),
    /// It is there but cannot be read.
    Unreadable(Diagnostic),
}

/// The objects in force and what is known of each file.
#[derive(Debug, Default)]
pub struct Merge {
    files: BTreeMap<PathBuf, FileState>,
    objects: BTreeMap<ObjectRef, Arc<Object>>,
    diagnostics: Vec<Diagnostic>,
    started: bool,
}

#[derive(Debug, Default)]
struct FileState {
    /// In the order of the file; those that only stay from before come last.
    objects: Vec<Arc<Object>>,
    rejected: Vec<ObjectRef>,
    diagnostics: Vec<Diagnostic>,
}

impl Merge {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The objects in force.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.values()
    }

    /// Takes in what a scan found: a report for every file that is there, the directories that could
    /// not be listed, and what is to be said about the scan itself. A file without a report is gone,
    /// unless it stood in one of these directories. `None` when nothing changed.
    pub fn apply(
        &mut self,
        reports: BTreeMap<PathBuf, FileReport>,
        unlisted: &[PathBuf],
        about_the_scan: Vec<Diagnostic>,
    ) -> Option<Batch> {
        let mut before = std::mem::take(&mut self.files);
        for (path, report) in reports {
            let former = before.remove(&path).unwrap_or_default();
            self.files.insert(path, former.updated(report));
        }
        before.retain(|path, _| unlisted.iter().any(|directory| path.starts_with(directory)));
        self.files.append(&mut before);
        self.settle(about_the_scan)
    }

    /// Keeps everything as it is, and says why: the scan could not be made.
    pub fn keep(&mut self, about_the_scan: Vec<Diagnostic>) -> Option<Batch> {
        self.settle(about_the_scan)
    }

    fn settle(&mut self, about_the_scan: Vec<Diagnostic>) -> Option<Batch> {
        let mut diagnostics = about_the_scan;
        let objects = self.in_force(&mut diagnostics);
        let (changes, relocated) = difference(&self.objects, &objects);
        self.objects = objects;

        let initial = !std::mem::replace(&mut self.started, true);
        let silent = changes.is_empty() && relocated.is_empty() && diagnostics == self.diagnostics;
        self.diagnostics.clone_from(&diagnostics);
        (initial || !silent).then_some(Batch { changes, relocated, diagnostics, initial })
    }

    /// The objects of all files, each once, and what is to be said about them.
    fn in_force(&self, diagnostics: &mut Vec<Diagnostic>) -> BTreeMap<ObjectRef, Arc<Object>> {
        let mut objects: BTreeMap<ObjectRef, Arc<Object>> = BTreeMap::new();
        for file in self.files.values() {
            diagnostics.extend(file.diagnostics.iter().cloned());
            for object in &file.objects {
                let reference = object.reference();
                match objects.get(&reference) {
                    Some(first) => diagnostics.push(conflict(reference, object, first)),
                    None => {
                        objects.insert(reference, object.clone());
                    }
                }
            }
        }
        // An object that was moved to another file, and is rejected there, has no former version in
        // that file.
        for reference in self.files.values().flat_map(|file| &file.rejected) {
            if let Some(former) = self.objects.get(reference) {
                objects.entry(reference.clone()).or_insert_with(|| former.clone());
            }
        }
        objects
    }
}

impl FileState {
    fn updated(self, report: FileReport) -> Self {
        match report {
            FileReport::Unchanged => self,
            FileReport::Unreadable(diagnostic) => Self { diagnostics: vec![diagnostic], ..self },
            FileReport::Read(parsed) => self.replaced_by(parsed),
        }
    }

    fn replaced_by(self, parsed: Parsed) -> Self {
        let Parsed { objects, rejected, diagnostics } = parsed;
        let mut objects: Vec<Arc<Object>> = objects.into_iter().map(Arc::new).collect();
        let present: BTreeSet<ObjectRef> = objects.iter().map(|it| it.reference()).collect();
        let unknown_loss =
            diagnostics.iter().any(|it| it.severity == Severity::Error && it.object.is_none());
        objects.extend(self.objects.into_iter().filter(|former| {
            let reference = former.reference();
            !present.contains(&reference) && (unknown_loss || rejected.contains(&reference))
        }));
        Self { objects, rejected, diagnostics }
    }
}

/// Removals first, then what is new or means something else; and what only stands elsewhere.
fn difference(
    before: &BTreeMap<ObjectRef, Arc<Object>>,
    after: &BTreeMap<ObjectRef, Arc<Object>>,
) -> (Vec<Change>, Vec<Arc<Object>>) {
    let gone = before.keys().filter(|reference| !after.contains_key(reference));
    let mut changes: Vec<Change> = gone.cloned().map(Change::Remove).collect();
    let mut relocated = Vec::new();
    for (reference, object) in after {
        match before.get(reference) {
            Some(former) if Arc::ptr_eq(former, object) => {}
            Some(former) if former.same_meaning(object) => relocated.push(object.clone()),
            _ => changes.push(Change::Upsert(object.clone())),
        }
    }
    (changes, relocated)
}

fn conflict(reference: ObjectRef, object: &Object, first: &Object) -> Diagnostic {
    let position = object.origin.position;
    Diagnostic {
        severity: Severity::Error,
        code: Code::DuplicateObject,
        message: format!(
            "the same object stands in {}:{}, and that one counts",
            first.origin.file, first.origin.position.line
        ),
        object: Some(reference),
        field: "metadata.name".to_owned(),
        file: object.origin.file.clone(),
        line: position.line,
        column: position.column,
    }
}

#[cfg(test)]
mod tests;
