//! Name resolution, off the workers.
//!
//! A name is looked up when somebody dials it, and again in the background when its answer has run
//! out while it is still dialled. On failure the last answer is kept. The number of names is
//! bounded; the one that was not used for longest goes first.

mod lookup;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use lookup::{Found, Lookup, system};

/// Names that are kept at most; Istio's bound for its own cache of dynamic names.
const NAMES: usize = 1024;

/// An answer is believed at least this long, so that a time to live of 0 costs no look-up for each
/// connection.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long an answer that has run out is still given at once, while a new one is looked up. After
/// that who asks waits for the new one.
const STALE: Duration = Duration::from_secs(60);

/// How long a failure is remembered before the next look-up.
const FAILED: Duration = Duration::from_secs(2);

/// Why a name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be resolved: {reason}")]
pub struct Unresolved {
    /// The name.
    pub name: Arc<str>,
    /// What the resolver said.
    pub reason: Arc<str>,
}

/// The addresses of a name, at least one.
pub type Addresses = Arc<[IpAddr]>;

/// Resolves names. Clones share what is known.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
    /// The runtime on which names are looked up.
    runtime: Handle,
}

struct Shared {
    lookup: Lookup,
    names: Mutex<FxHashMap<Arc<str>, Name>>,
}

/// What is known of one name.
struct Name {
    answer: Option<Answer>,
    failure: Option<(Unresolved, Instant)>,
    looking: bool,
    waiting: Vec<oneshot::Sender<Result<Addresses, Unresolved>>>,
    used: Instant,
}

#[derive(Clone)]
struct Answer {
    addresses: Addresses,
    until: Instant,
}

impl Resolver {
    /// Looks names up with `lookup` on `runtime`.
    #[must_use]
    pub fn new(lookup: Lookup, runtime: Handle) -> Self {
        Self { shared: Arc::new(Shared { lookup, names: Mutex::default() }), runtime }
    }

    /// The addresses of `name`. An address in letters is its own answer.
    ///
    /// # Errors
    /// When there is no address, and none is known from before.
    pub async fn resolve(&self, name: &Arc<str>) -> Result<Addresses, Unresolved> {
        if let Ok(address) = name.parse::<IpAddr>() {
            return Ok(Arc::new([address]));
        }
        match self.ask(name) {
            Step::Known(outcome) => outcome,
            Step::Wait(answer) => answer.await.unwrap_or_else(|_| {
                Err(Unresolved {
                    name: Arc::clone(name),
                    reason: "the resolver has stopped".into(),
                })
            }),
        }
    }

    fn ask(&self, name: &Arc<str>) -> Step {
        let now = Instant::now();
        let mut names = self.shared.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains_key(name) && names.len() >= NAMES {
            evict(&mut names);
        }
        let entry = names.entry(Arc::clone(name)).or_insert_with(|| Name::new(now));
        entry.used = now;
        let known = entry.answer.clone();
        if let Some(answer) = &known
            && now < answer.until
        {
            return Step::Known(Ok(Arc::clone(&answer.addresses)));
        }
        if let Some((failure, until)) = &entry.failure
            && now < *until
        {
            let last = known.map(|answer| answer.addresses).ok_or_else(|| failure.clone());
            return Step::Known(last);
        }
        if !entry.looking {
            entry.looking = true;
            self.look_up(Arc::clone(name));
        }
        match known {
            Some(answer) if now < answer.until + STALE => Step::Known(Ok(answer.addresses)),
            _ => {
                let (sender, receiver) = oneshot::channel();
                entry.waiting.push(sender);
                Step::Wait(receiver)
            }
        }
    }

    fn look_up(&self, name: Arc<str>) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let found = (shared.lookup)(Arc::clone(&name)).await;
            shared.finish(&name, found);
        });
    }

    /// How many names are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.names.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no name is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").field("names", &self.len()).finish_non_exhaustive()
    }
}

enum Step {
    Known(Result<Addresses, Unresolved>),
    Wait(oneshot::Receiver<Result<Addresses, Unresolved>>),
}

impl Name {
    fn new(now: Instant) -> Self {
        Self { answer: None, failure: None, looking: false, waiting: Vec::new(), used: now }
    }
}

impl Shared {
    fn finish(&self, name: &Arc<str>, found: Result<Found, String>) {
        let now = Instant::now();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = names.get_mut(name) else { return };
        entry.looking = false;
        let outcome = match found {
            Ok(found) if !found.addresses.is_empty() => {
                let addresses: Addresses = found.addresses.into();
                let until = now + found.lifetime.max(SHORTEST);
                entry.answer = Some(Answer { addresses: Arc::clone(&addresses), until });
                entry.failure = None;
                Ok(addresses)
            }
            other => {
                let reason = other.err().unwrap_or_else(|| "it has no address".to_owned());
                let failure = Unresolved { name: Arc::clone(name), reason: reason.into() };
                entry.failure = Some((failure.clone(), now + FAILED));
                let last = entry.answer.as_ref().map(|answer| Arc::clone(&answer.addresses));
                tracing::debug!(%name, reason = %failure.reason, kept = last.is_some(),
                    "name not resolved");
                last.ok_or(failure)
            }
        };
        for waiting in entry.waiting.drain(..) {
            // Who asked may have given up.
            let _ = waiting.send(outcome.clone());
        }
    }
}

/// Drops the name that was not used for longest; those that are being looked up stay.
fn evict(names: &mut FxHashMap<Arc<str>, Name>) {
    let oldest = names
        .iter()
        .filter(|(_, entry)| !entry.looking)
        .min_by_key(|(_, entry)| entry.used)
        .map(|(name, _)| Arc::clone(name));
    if let Some(name) = oldest {
        names.remove(&name);
    }
}
