//! The kernel's notifications.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lateen_api::Diagnostic;
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::scan::unreadable;
use super::{Settings, SourceError};

/// Told by a scan, before it looks at something, that changes there matter from now on.
pub(super) trait Watch {
    /// Everything in the directory matters.
    fn directory(&mut self, directory: &Path);
    /// One entry of a directory matters; the rest of that directory does not.
    fn entry(&mut self, entry: &Path);
    /// Whether somebody is in the middle of writing this file.
    fn is_being_written(&mut self, file: &Path) -> bool;
}

/// For a scan that is made once.
#[derive(Debug)]
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn directory(&mut self, _directory: &Path) {}
    fn entry(&mut self, _entry: &Path) {}
    fn is_being_written(&mut self, _file: &Path) -> bool {
        false
    }
}

/// Gives a hint when something happens to what the last scan looked at.
///
/// A scan names all that matters to it anew, and every directory is then watched anew: the kernel
/// forgets a watch when its directory is removed, even if another takes its name at once.
#[derive(Debug)]
pub(super) struct Watcher {
    kernel: INotifyWatcher,
    interest: Arc<Mutex<Interest>>,
    /// Directories with a watch, the ones of former scans included until the scan ends.
    watched: HashSet<PathBuf>,
    /// Directories that this scan needs.
    needed: HashSet<PathBuf>,
    complaints: Vec<Diagnostic>,
    /// How long after its last change a file that nobody closed counts as being written.
    unfinished: Duration,
    /// Whether a file was being written when this scan asked.
    found_unfinished: bool,
}

/// What matters. While a scan is made: to the former scan or to this one.
#[derive(Debug, Default)]
struct Interest {
    directories: HashSet<PathBuf>,
    entries: HashSet<PathBuf>,
    /// Named by the scan that is being made.
    next_directories: HashSet<PathBuf>,
    next_entries: HashSet<PathBuf>,
    /// When files that were changed since they were last closed were last changed.
    writing: HashMap<PathBuf, Instant>,
}

impl Watcher {
    pub(super) fn new(
        dir: &Path,
        settings: &Settings,
        hints: Arc<Notify>,
    ) -> Result<Self, SourceError> {
        let interest: Arc<Mutex<Interest>> = Arc::default();
        let shared = interest.clone();
        let handler = move |event: notify::Result<Event>| {
            // An error says that notifications may be missing.
            if event.map_or(true, |event| lock(&shared).learn(&event)) {
                hints.notify_one();
            }
        };
        let kernel = INotifyWatcher::new(handler, notify::Config::default()).map_err(|error| {
            SourceError::Unwatchable { dir: dir.to_owned(), reason: error.to_string() }
        })?;
        Ok(Self {
            kernel,
            interest,
            watched: HashSet::new(),
            needed: HashSet::new(),
            complaints: Vec::new(),
            unfinished: settings.unfinished,
            found_unfinished: false,
        })
    }

    /// Before a scan.
    pub(super) fn begin(&mut self) {
        self.needed.clear();
        self.found_unfinished = false;
        let mut interest = lock(&self.interest);
        interest.next_directories.clear();
        interest.next_entries.clear();
    }

    /// After a scan: what it did not name does not matter any more. Answers what cannot be watched.
    pub(super) fn finish(&mut self) -> Vec<Diagnostic> {
        for stale in self.watched.difference(&self.needed) {
            // A watch on what was removed is gone already.
            let _ = self.kernel.unwatch(stale);
        }
        self.watched.retain(|directory| self.needed.contains(directory));
        let mut interest = lock(&self.interest);
        interest.directories = std::mem::take(&mut interest.next_directories);
        interest.entries = std::mem::take(&mut interest.next_entries);
        std::mem::take(&mut self.complaints)
    }

    /// Whether the last scan found a file that was being written. When it is closed there is a hint;
    /// whoever never closes it makes another look necessary.
    pub(super) fn found_unfinished(&self) -> bool {
        self.found_unfinished
    }

    fn watch(&mut self, directory: &Path) {
        if !self.needed.insert(directory.to_owned()) {
            return;
        }
        match self.kernel.watch(directory, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.watched.insert(directory.to_owned());
            }
            // Removed since it was listed; the directory that held it gives the next hint.
            Err(_) if !directory.exists() => {}
            Err(error) => {
                let reason = format!(
                    "changes here will not be noticed: {error}; the limits are in \
                     /proc/sys/fs/inotify"
                );
                self.complaints.push(unreadable(directory, &reason));
            }
        }
    }
}

impl Watch for Watcher {
    fn directory(&mut self, directory: &Path) {
        lock(&self.interest).next_directories.insert(directory.to_owned());
        self.watch(directory);
    }

    fn entry(&mut self, entry: &Path) {
        let directory = entry.parent().unwrap_or(entry);
        // The directory may be moved away with what is in it.
        let places = [entry.to_owned(), directory.to_owned()];
        lock(&self.interest).next_entries.extend(places);
        self.watch(directory);
    }

    fn is_being_written(&mut self, file: &Path) -> bool {
        let writing = &mut lock(&self.interest).writing;
        let unfinished = writing.get(file).is_some_and(|last| last.elapsed() < self.unfinished);
        if !unfinished {
            writing.remove(file);
        }
        self.found_unfinished |= unfinished;
        unfinished
    }
}

impl Interest {
    /// Takes an event in, and answers whether it may have changed what a scan finds.
    fn learn(&mut self, event: &Event) -> bool {
        if event.need_rescan() {
            // The event that says that a file was closed may be among those that were lost.
            self.writing.clear();
            return true;
        }
        let mut concerned = false;
        for path in &event.paths {
            if !self.includes(path) {
                continue;
            }
            match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Modify(ModifyKind::Name(_))
                | EventKind::Remove(_) => {
                    self.writing.remove(path);
                }
                // Our own reading, for one.
                EventKind::Access(_) => continue,
                EventKind::Modify(ModifyKind::Data(_)) => {
                    self.writing.insert(path.clone(), Instant::now());
                }
                _ => {}
            }
            concerned = true;
        }
        concerned
    }

    fn includes(&self, path: &Path) -> bool {
        let named = |directories: &HashSet<PathBuf>, entries: &HashSet<PathBuf>| {
            entries.contains(path)
                || directories.contains(path)
                || path.parent().is_some_and(|parent| directories.contains(parent))
                    && !is_temporary(path)
        };
        named(&self.directories, &self.entries) || named(&self.next_directories, &self.next_entries)
    }
}

/// Whether a name is an editor's, of a file that comes and goes while another is written. The
/// entries with two dots, by which Kubernetes swaps a ConfigMap, are not.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.ends_with(b"~") || name.starts_with(b".") && !name.starts_with(b"..")
}

fn lock(interest: &Mutex<Interest>) -> MutexGuard<'_, Interest> {
    // Every change to it is a single step, so it is whole even after a panic elsewhere.
    interest.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    use super::*;

    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
    const CHANGED: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));

    fn interest() -> Interest {
        Interest {
            directories: ["/root".into(), "/root/sub".into()].into(),
            entries: ["/elsewhere/a.yaml".into()].into(),
            next_directories: ["/root/new".into()].into(),
            next_entries: ["/elsewhere/link".into()].into(),
            ..Interest::default()
        }
    }

    fn event(kind: EventKind, path: &str) -> Event {
        Event::new(kind).add_path(path.into())
    }

    #[test]
    fn tells_what_may_matter() {
        for (kind, path, expected) in [
            (CHANGED, "/root/a.yaml", true),
            (CLOSED, "/root/sub/a.yaml", true),
            (EventKind::Create(CreateKind::Folder), "/root/dir", true),
            (EventKind::Create(CreateKind::File), "/root/new/a.yaml", true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), "/root/..data", true),
            (EventKind::Remove(RemoveKind::Other), "/root/sub", true),
            (CHANGED, "/elsewhere/a.yaml", true),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), "/elsewhere/link", true),
            (CHANGED, "/elsewhere/b.yaml", false),
            (CHANGED, "/root/.a.yaml.swp", false),
            (CHANGED, "/root/a.yaml~", false),
            (CHANGED, "/root/deep/er/a.yaml", false),
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), "/root/a.yaml", false),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), "/root/a.yaml", false),
        ] {
            assert_eq!(interest().learn(&event(kind, path)), expected, "{kind:?} {path}");
        }
    }

    #[test]
    fn knows_which_files_are_being_written() {
        let path = Path::new("/root/a.yaml");
        let rescan = Event::new(EventKind::Other).set_flag(Flag::Rescan);
        for end in [
            event(CLOSED, "/root/a.yaml"),
            event(EventKind::Remove(RemoveKind::File), "/root/a.yaml"),
            event(EventKind::Modify(ModifyKind::Name(RenameMode::To)), "/root/a.yaml"),
            // Events were lost, the end of writing perhaps among them.
            rescan,
        ] {
            let mut interest = interest();
            assert!(interest.learn(&event(CHANGED, "/root/a.yaml")));
            assert!(interest.writing.contains_key(path));
            assert!(interest.learn(&end));
            assert!(interest.writing.is_empty(), "{end:?}");
        }
    }
}
