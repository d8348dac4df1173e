//! One kind, listed and then watched for as long as somebody wants to know.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, Instant};

use kube::Client;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::Settings;
use super::resource::Resource;
use super::wire::{self, Event, Failure, Watch};

/// What a follower found.
#[derive(Debug)]
pub(super) struct Note {
    /// Who found it.
    pub follower: u64,
    pub said: Said,
}

/// See [`Note`].
#[derive(Debug)]
pub(super) enum Said {
    /// A list begins.
    Listing,
    /// A part of the list.
    Page(Vec<Value>),
    /// The list is complete: what was not in it is gone.
    Listed,
    /// An object is new or changed.
    Applied(Value),
    /// An object is gone.
    Deleted(Value),
    /// The server does not answer; it is asked again.
    Failed(String),
    /// The server answers again.
    Recovered,
}

/// The wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A watch that ends sooner counts as one that failed, so that a server that ends them at once is not
/// asked without a pause.
const SHORT: Duration = Duration::from_secs(1);

/// Nobody listens any more.
struct Unheard;

/// See the module.
pub(super) struct Follower {
    pub id: u64,
    pub client: Client,
    pub resource: Resource,
    pub settings: Settings,
    pub notes: mpsc::Sender<Note>,
    /// When it changes everything is listed anew.
    pub relist: watch::Receiver<u64>,
    /// Failures in a row.
    pub failures: u32,
}

impl Follower {
    /// Runs until nobody listens.
    pub async fn run(mut self) {
        loop {
            self.relist.borrow_and_update();
            let listed = match self.list().await {
                Ok(version) => Ok(version),
                Err(Stopped::Failed(failure)) => Err(failure),
                Err(Stopped::Unheard) => return,
            };
            let went_on = match listed {
                Ok(version) => self.watch(version).await,
                Err(failure) => self.failed(&failure).await,
            };
            if went_on.is_err() {
                return;
            }
        }
    }

    /// Lists everything; gives the version of the list.
    async fn list(&mut self) -> Result<String, Stopped> {
        self.say(Said::Listing).await?;
        let mut from: Option<String> = None;
        loop {
            let Settings { page, answer, .. } = self.settings;
            let listed =
                wire::page(&self.client, &self.resource, page, from.as_deref(), answer).await?;
            self.say(Said::Page(listed.items)).await?;
            match listed.next {
                Some(next) => from = Some(next),
                None => {
                    self.recovered().await?;
                    self.say(Said::Listed).await?;
                    return Ok(listed.version);
                }
            }
        }
    }

    /// Watches, again and again, until everything has to be listed anew.
    async fn watch(&mut self, mut version: String) -> Result<(), Unheard> {
        loop {
            let began = Instant::now();
            let mut relist = self.relist.clone();
            let watched = tokio::select! {
                watched = self.watch_once(&mut version) => watched,
                // Whoever could ask for it is gone when this fails, and then nobody listens.
                asked = relist.changed() => return asked.map_err(|_| Unheard),
            };
            match watched {
                Ok(()) if began.elapsed() >= SHORT => {}
                Ok(()) => self.pause().await,
                Err(Stopped::Unheard) => return Err(Unheard),
                Err(Stopped::Failed(Failure::Gone)) => return Ok(()),
                Err(Stopped::Failed(failure)) => self.failed(&failure).await?,
            }
        }
    }

    /// Watches until the server ends it; `version` is then where it ended.
    async fn watch_once(&mut self, version: &mut String) -> Result<(), Stopped> {
        let Settings { watch, answer, idle, .. } = self.settings;
        // Watches that began together do not end together.
        let length = watch.mul_f64(1.0 - jitter() / 5.0);
        let mut watch = Watch::open(&self.client, &self.resource, version, length, answer).await?;
        self.recovered().await?;
        while let Some(event) = watch.next(idle).await? {
            let (Event::Applied(object) | Event::Deleted(object) | Event::Bookmark(object)) =
                &event;
            if let Some(now) = object["metadata"]["resourceVersion"].as_str() {
                now.clone_into(version);
            }
            match event {
                Event::Applied(object) => self.say(Said::Applied(object)).await?,
                Event::Deleted(object) => self.say(Said::Deleted(object)).await?,
                Event::Bookmark(_) => {}
            }
        }
        Ok(())
    }

    async fn failed(&mut self, failure: &Failure) -> Result<(), Unheard> {
        let (topic, reason) = (self.resource.topic, failure.to_string());
        // The first may be the end of any connection; it is worth a word when it does not pass.
        if self.failures == 1 {
            tracing::warn!(%topic, "{reason}; what was known stays, and it is tried again");
        }
        if self.failures >= 1 {
            self.say(Said::Failed(reason)).await?;
        }
        self.failures += 1;
        self.pause().await;
        Ok(())
    }

    async fn recovered(&mut self) -> Result<(), Unheard> {
        if std::mem::take(&mut self.failures) > 1 {
            tracing::info!(topic = %self.resource.topic, "the API server answers again");
            self.say(Said::Recovered).await?;
        }
        Ok(())
    }

    async fn pause(&self) {
        let doublings = self.failures.saturating_sub(1).min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(self.settings.patience);
        tokio::time::sleep(wait.mul_f64(0.5 + jitter() / 2.0)).await;
    }

    async fn say(&self, said: Said) -> Result<(), Unheard> {
        let note = Note { follower: self.id, said };
        self.notes.send(note).await.map_err(|_| Unheard)
    }
}

/// Why listing or watching did not end by itself.
enum Stopped {
    Failed(Failure),
    Unheard,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Unheard> for Stopped {
    fn from(Unheard: Unheard) -> Self {
        Self::Unheard
    }
}

/// Between 0 and 1. The standard library's hasher keys are the randomness at hand; nothing is decided
/// by it.
fn jitter() -> f64 {
    let random = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(random % 1001).unwrap_or_default()) / 1000.0
}
