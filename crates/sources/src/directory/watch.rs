//! The kernel's notifications.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lateen_api::Diagnostic;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::SourceError;
use super::scan::unreadable;

/// Told by a scan, before it looks at something, that changes there matter from now on.
pub(super) trait Watch {
    /// Everything in the directory matters.
    fn directory(&mut self, directory: &Path);
    /// One entry of a directory matters; the rest of that directory does not.
    fn entry(&mut self, entry: &Path);
}

/// For a scan that is made once.
#[derive(Debug)]
pub(super) struct Unwatched;

impl Watch for Unwatched {
    fn directory(&mut self, _directory: &Path) {}
    fn entry(&mut self, _entry: &Path) {}
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
}

/// What matters. While a scan is made: to the former scan or to this one.
#[derive(Debug, Default)]
struct Interest {
    directories: HashSet<PathBuf>,
    entries: HashSet<PathBuf>,
    /// Named by the scan that is being made.
    next_directories: HashSet<PathBuf>,
    next_entries: HashSet<PathBuf>,
}

impl Watcher {
    pub(super) fn new(dir: &Path, hints: Arc<Notify>) -> Result<Self, SourceError> {
        let interest: Arc<Mutex<Interest>> = Arc::default();
        let shared = interest.clone();
        let handler = move |event: notify::Result<Event>| {
            // An error says that notifications may be missing.
            if event.map_or(true, |event| lock(&shared).concerns(&event)) {
                hints.notify_one();
            }
        };
        let kernel = INotifyWatcher::new(handler, notify::Config::default()).map_err(|error| {
            SourceError::Unwatchable { dir: dir.to_owned(), reason: error.to_string() }
        })?;
        let (watched, needed) = Default::default();
        Ok(Self { kernel, interest, watched, needed, complaints: Vec::new() })
    }

    /// Before a scan.
    pub(super) fn begin(&mut self) {
        self.needed.clear();
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
        lock(&self.interest).next_entries.insert(entry.to_owned());
        if let Some(directory) = entry.parent() {
            self.watch(directory);
        }
    }
}

impl Interest {
    fn concerns(&self, event: &Event) -> bool {
        let looked_at = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
            EventKind::Access(_) => true,
            _ => false,
        };
        event.need_rescan() || !looked_at && event.paths.iter().any(|path| self.includes(path))
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
