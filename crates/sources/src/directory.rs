//! A directory as a source: every `*.yaml`, `*.yml` and `*.json` below it.
//!
//! The kernel's notifications only say *that* something happened; what is there is then found by
//! looking again at the whole tree, and only files that changed are read. So there is no sequence
//! of events to get wrong, and a notification that was lost costs nothing once another arrives.
//! Before a directory is listed it is watched, so that nothing slips in between. A file that is being
//! written is read when its writer closes it; until then it counts as it was.
//!
//! Names that begin with a dot or end with `~` are not read: editors' temporary files, and the
//! `..data` entries of a ConfigMap mounted by Kubernetes, whose files are reached by their symbolic
//! links. Links are followed, to files and to directories; every place that a link leads through is
//! watched.

mod links;
mod scan;
mod settle;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lateen_api::{Diagnostic, Object};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::Batch;
use crate::merge::Merge;
pub(crate) use scan::unreadable;
use scan::{Scan, Scanner};
use watch::{Unwatched, Watcher};

/// How a directory is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// For how long nothing may happen before what happened is looked at: 50 ms.
    pub quiet: Duration,
    /// After how long it is looked at in any case: 500 ms.
    pub patience: Duration,
    /// For how long after its last change a file that its writer has not closed keeps what it held:
    /// 5 s. So a shell's `generate > mesh.yaml`, which empties the file first, takes nothing away.
    pub unfinished: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(50),
            patience: Duration::from_millis(500),
            unfinished: Duration::from_secs(5),
        }
    }
}

/// Why a directory cannot be a source.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such directory, or it cannot be listed.
    #[error("cannot read the directory {dir}: {source}", dir = dir.display())]
    Unreadable {
        /// The directory.
        dir: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is a file or something else.
    #[error("{dir} is not a directory; name the directory that holds the YAML files", dir = dir.display())]
    NotADirectory {
        /// What was named.
        dir: PathBuf,
    },
    /// The kernel grants no notifications.
    #[error(
        "cannot watch {dir}: {reason}; the limits are in /proc/sys/fs/inotify",
        dir = dir.display()
    )]
    Unwatchable {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        reason: String,
    },
}

/// A directory read once.
#[derive(Debug)]
pub struct Loaded {
    /// The valid objects, by kind, namespace and name.
    pub objects: Vec<Arc<Object>>,
    /// Everything to say about the files and their objects.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a directory once.
///
/// # Errors
/// The directory is missing or cannot be listed. What is wrong below it is in the diagnostics.
pub fn load_once(dir: &Path) -> Result<Loaded, SourceError> {
    let mut merge = Merge::new();
    let scan = Scanner::new(dir).scan(&mut Unwatched)?;
    let diagnostics = scan.merge_into(&mut merge).map(|batch| batch.diagnostics);
    Ok(Loaded {
        objects: merge.objects().cloned().collect(),
        diagnostics: diagnostics.unwrap_or_default(),
    })
}

/// A directory that is followed.
#[derive(Debug)]
pub struct DirectorySource {
    batches: mpsc::Receiver<Batch>,
    follower: JoinHandle<()>,
}

impl DirectorySource {
    /// Reads the directory and follows it from then on. The first batch is ready at once. Dropping
    /// the source ends it.
    ///
    /// Runs on the current tokio runtime, and reads files on its threads for blocking work.
    ///
    /// # Errors
    /// The directory is missing or cannot be listed or watched. Should it vanish later, that is
    /// reported in a batch, the objects stay, and it is read again when it comes back.
    pub async fn open(dir: &Path, settings: Settings) -> Result<Self, SourceError> {
        let hints = Arc::new(Notify::new());
        let watcher = Watcher::new(dir, &settings, hints.clone())?;
        let state = State { scanner: Scanner::new(dir), watcher, merge: Merge::new() };
        let (state, first) = blocking(state, State::first_batch).await;
        let first = first?;
        let (sender, batches) = mpsc::channel(1);
        let follower = tokio::spawn(follow(state, first, hints, settings, sender));
        Ok(Self { batches, follower })
    }

    /// The next batch, when there is one. Changes that are made while nobody asks are taken
    /// together. Cancelling the call loses nothing.
    ///
    /// `None` when the source has ended: the runtime that it was opened on has shut down, or reading
    /// panicked.
    pub async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }
}

impl Drop for DirectorySource {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

struct State {
    scanner: Scanner,
    watcher: Watcher,
    merge: Merge,
}

impl State {
    fn first_batch(&mut self) -> Result<Batch, SourceError> {
        let scan = self.look()?;
        Ok(scan.merge_into(&mut self.merge).expect("the first scan always makes a batch"))
    }

    fn next_batch(&mut self) -> Option<Batch> {
        match self.look() {
            Ok(scan) => scan.merge_into(&mut self.merge),
            Err(error) => {
                let report = unreadable(self.scanner.root(), &error.to_string());
                self.merge.keep(vec![report])
            }
        }
    }

    fn look(&mut self) -> Result<Scan, SourceError> {
        self.watcher.begin();
        let scan = self.scanner.scan(&mut self.watcher);
        let complaints = self.watcher.finish();
        let mut scan = scan?;
        scan.diagnostics.extend(complaints);
        Ok(scan)
    }
}

/// Looks again whenever something happened and then was quiet, until nobody listens any more.
async fn follow(
    mut state: State,
    first: Batch,
    hints: Arc<Notify>,
    settings: Settings,
    batches: mpsc::Sender<Batch>,
) {
    if batches.send(first).await.is_err() {
        return;
    }
    loop {
        let settled = settle::wait(&hints, &settings);
        if state.watcher.found_unfinished() {
            // When nobody closes it in this time, it is looked at all the same.
            let _ = tokio::time::timeout(settings.unfinished, settled).await;
        } else {
            settled.await;
        }
        // Only when there is room is the tree looked at, so that a slow receiver gets the latest.
        let Ok(room) = batches.reserve().await else { return };
        let batch;
        (state, batch) = blocking(state, State::next_batch).await;
        if let Some(batch) = batch {
            room.send(batch);
        }
    }
}

/// Does work that blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    mut state: State,
    work: impl FnOnce(&mut State) -> T + Send + 'static,
) -> (State, T) {
    let task = tokio::task::spawn_blocking(move || {
        let done = work(&mut state);
        (state, done)
    });
    match task.await {
        Ok(done) => done,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        // The runtime shuts down and takes this task with it.
        Err(_) => std::future::pending().await,
    }
}
