//! A cluster as a source: the API server's objects, followed by list and watch.
//!
//! ```text
//! follow (one task a kind): pages, then a watch ──notes──→ gather (one task) ──batches──→ receiver
//!   wire, prune: JSON, cut down while it is read             keep: what is known of each object
//! ```
//!
//! * **Nothing is lost, nothing that exists is removed.** Whenever a watch breaks off it is resumed
//!   where it was. Where the API server does not know that place any more (`410 Gone`) everything is
//!   listed anew, and only what a *complete* list does not hold any more counts as gone. While the
//!   server is away or stalls, what was known stays in force.
//! * **Little is kept.** A value is cut down to what `lateen-api` reads while it is parsed
//!   (`prune`); of each object only its name and a hash of that stay (`keep`).
//! * **The first batch is everything**: it waits for the list of every kind. Kinds of Istio's are
//!   followed where their definition is installed, whenever that happens (`definitions`).
//! * MeshConfig's `discoverySelectors` say which namespaces belong to the mesh ([`selection`]); objects
//!   of others do not exist for it.
//! * An object that cannot be taken is reported, and its last good version stays, as everywhere.

mod definitions;
mod follow;
mod gather;
mod keep;
mod prune;
mod resource;
pub mod selection;
mod wire;

use std::time::Duration;

use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::Batch;
use gather::Gatherer;

/// How a cluster is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace whose ConfigMap holds the mesh's settings: `istio-system`.
    pub root_namespace: String,
    /// The control plane's revision: with one, that ConfigMap is `istio-<revision>` instead of `istio`.
    pub revision: String,
    /// Objects in one page of a list: 500.
    pub page: usize,
    /// How long the API server may take to answer: 30 s.
    pub answer: Duration,
    /// How long a watch may say nothing before it counts as stalled and is resumed: 90 s. The server
    /// sends a bookmark about every minute.
    pub idle: Duration,
    /// How long a watch is asked for: 5 min, as Kubernetes' own clients do.
    pub watch: Duration,
    /// The longest wait between two attempts: 5 s, so that a server that comes back is heard soon.
    pub patience: Duration,
}

impl Settings {
    /// The defaults for a control plane.
    pub fn new(root_namespace: impl Into<String>, revision: impl Into<String>) -> Self {
        Self {
            root_namespace: root_namespace.into(),
            revision: revision.into(),
            page: 500,
            answer: Duration::from_secs(30),
            idle: Duration::from_secs(90),
            watch: Duration::from_secs(300),
            patience: Duration::from_secs(5),
        }
    }

    /// The ConfigMap with the mesh's settings (Istio's `istio`, `istio-<revision>`).
    fn mesh_config(&self) -> String {
        match self.revision.as_str() {
            "" | "default" => "istio".to_owned(),
            revision => format!("istio-{revision}"),
        }
    }
}

/// A cluster that is followed.
#[derive(Debug)]
pub struct KubernetesSource {
    batches: mpsc::Receiver<Batch>,
    gatherer: JoinHandle<()>,
}

impl KubernetesSource {
    /// Follows a cluster from now on, on the current tokio runtime. Until the API server has listed
    /// everything there is no batch: what keeps it from doing so is logged, and tried again. Dropping the
    /// source ends it.
    #[must_use]
    pub fn open(client: Client, settings: Settings) -> Self {
        let (sender, batches) = mpsc::channel(1);
        let gatherer = tokio::spawn(Gatherer::new(client, settings).run(sender));
        Self { batches, gatherer }
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

impl Drop for KubernetesSource {
    fn drop(&mut self) {
        self.gatherer.abort();
    }
}
