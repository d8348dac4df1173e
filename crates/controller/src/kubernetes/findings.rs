//! What there is to say about objects as they work together: a host that nobody knows, a selector that selects
//! nothing, a Secret that is not there. The leader asks for it, a little at a time.
//!
//! During a rollout much is missing for a moment. So only what has stayed the same for a while is said, and
//! taken back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lateen_api::{Diagnostic, ObjectRef};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::distribution::{Command, Distribution, Found};

/// Between two questions.
const PERIOD: Duration = Duration::from_secs(2);

/// Between two questions, when there is more to be looked at than one answer holds.
const PAUSE: Duration = Duration::from_millis(20);

/// Objects that are looked at for one answer: the thread that answers has others to serve.
const MOST: usize = 64;

/// How often it is looked at whom selectors select.
const SELECTIONS: Duration = Duration::from_secs(10);

/// How long something has to hold before it is said.
const SETTLED: Duration = Duration::from_secs(5);

/// What there is to say, by object; objects of which there is nothing are not in it.
pub(crate) type Said = BTreeMap<ObjectRef, Vec<Diagnostic>>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Findings {
    distribution: Distribution,
    leading: watch::Receiver<bool>,
    /// None until all objects were looked at.
    said: watch::Sender<Option<Arc<Said>>>,
    steady: Steady,
}

impl Findings {
    pub(crate) fn new(distribution: Distribution, leading: watch::Receiver<bool>) -> Self {
        let said = watch::Sender::default();
        Self { distribution, leading, said, steady: Steady::default() }
    }

    /// What is to be said, as it is and as it changes; `None` as long as not all is known.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Arc<Said>>> {
        self.said.subscribe()
    }

    /// Asks while this one leads, until stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut leading = self.leading.clone();
        loop {
            let begins = async { leading.wait_for(|leads| *leads).await.is_ok() };
            if stop.run_until_cancelled(begins).await != Some(true) {
                return;
            }
            if stop.run_until_cancelled(self.ask_while_leading()).await.is_none() {
                return;
            }
            self.steady = Steady::default();
            self.said.send_replace(None);
            self.distribution.tell(Command::StopFinding).await;
        }
    }

    async fn ask_while_leading(&mut self) {
        let mut selections_at: Option<Instant> = None;
        let mut complete_at: Option<Instant> = None;
        while *self.leading.borrow() {
            let now = Instant::now();
            let selections = selections_at.is_none_or(|at| now.duration_since(at) >= SELECTIONS);
            if selections {
                selections_at = Some(now);
            }
            let question = |answer| Command::Find { most: MOST, selections, answer };
            let Some(found) = self.distribution.ask(question).await else { return };
            let is_more = found.is_more;
            self.steady.take(found, now);
            if !is_more {
                complete_at.get_or_insert(now);
            }
            // What stood in statuses before this one led is not taken back for want of a look.
            let is_known = complete_at.is_some_and(|at| now.duration_since(at) >= SETTLED);
            let is_other = self.steady.settle(now);
            if is_known && (is_other || self.said.borrow().is_none()) {
                self.said.send_replace(Some(Arc::new(self.steady.said.clone())));
            }
            tokio::time::sleep(if is_more { PAUSE } else { PERIOD }).await;
        }
    }
}

/// What has stayed the same for a while.
#[derive(Debug, Default)]
struct Steady {
    /// What each object's own reading and its company say now.
    lowered: Said,
    linked: Said,
    /// Since when something else is to be said of an object than is said.
    differs: BTreeMap<ObjectRef, Differs>,
    said: Said,
}

#[derive(Debug)]
struct Differs {
    since: Instant,
    wanted: Vec<Diagnostic>,
}

impl Steady {
    /// Takes in what was found.
    fn take(&mut self, found: Found, now: Instant) {
        let mut concerned: Vec<ObjectRef> = Vec::new();
        if let Some(lowered) = found.lowered {
            let former = std::mem::replace(&mut self.lowered, lowered);
            concerned.extend(former.into_keys().chain(self.lowered.keys().cloned()));
        }
        for (object, said) in found.changed {
            concerned.push(object.clone());
            match said.is_empty() {
                true => self.linked.remove(&object),
                false => self.linked.insert(object, said),
            };
        }
        for object in concerned {
            let parts = [&self.lowered, &self.linked].into_iter();
            let wanted: Vec<Diagnostic> =
                parts.filter_map(|part| part.get(&object)).flatten().cloned().collect();
            if self.said.get(&object).map_or(&[][..], Vec::as_slice) == wanted {
                self.differs.remove(&object);
                continue;
            }
            let same = self.differs.get(&object).is_some_and(|differs| differs.wanted == wanted);
            if !same {
                self.differs.insert(object, Differs { since: now, wanted });
            }
        }
    }

    /// Says what has held for long enough; whether that is something else than before.
    fn settle(&mut self, now: Instant) -> bool {
        let settled =
            |_: &ObjectRef, differs: &mut Differs| now.duration_since(differs.since) >= SETTLED;
        let settled: Vec<_> = self.differs.extract_if(.., settled).collect();
        let is_other = !settled.is_empty();
        for (object, Differs { wanted, .. }) in settled {
            match wanted.is_empty() {
                true => self.said.remove(&object),
                false => self.said.insert(object, wanted),
            };
        }
        is_other
    }
}

#[cfg(test)]
mod tests {
    use lateen_api::{Code, Kind, Severity};

    use super::*;

    fn object() -> ObjectRef {
        ObjectRef::new(Kind::VirtualService, "shop", "web")
    }

    fn said(message: &str) -> Vec<Diagnostic> {
        vec![Diagnostic {
            severity: Severity::Warning,
            code: Code::UnknownHost,
            object: Some(object()),
            field: "spec".to_owned(),
            file: Arc::from(""),
            line: 0,
            column: 0,
            message: message.to_owned(),
        }]
    }

    fn changed(said: Vec<Diagnostic>) -> Found {
        Found { changed: vec![(object(), said)], lowered: None, is_more: false }
    }

    #[test]
    fn only_what_stays_is_said_and_taken_back() {
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let mut steady = Steady::default();
        let settle = |steady: &mut Steady, seconds: u64| {
            steady.settle(at(seconds)).then(|| steady.said.clone())
        };
        let holds = |said: Vec<Diagnostic>| Some(Said::from([(object(), said)]));
        steady.take(changed(said("a")), at(0));
        assert_eq!(settle(&mut steady, 4), None, "too early");
        steady.take(changed(said("b")), at(4));
        assert_eq!(settle(&mut steady, 6), None, "it changed");
        steady.take(changed(said("b")), at(7));
        assert_eq!(settle(&mut steady, 9), holds(said("b")), "it was found again, the same");
        assert_eq!(settle(&mut steady, 20), None, "it is said already");

        // It goes and comes back.
        steady.take(changed(Vec::new()), at(21));
        assert_eq!(settle(&mut steady, 22), None);
        steady.take(changed(said("b")), at(23));
        assert_eq!(settle(&mut steady, 60), None, "nothing else than before");

        // What lowering says comes first; both have to go.
        let lowered = Some(Said::from([(object(), said("l"))]));
        steady.take(Found { changed: Vec::new(), lowered, is_more: false }, at(60));
        assert_eq!(settle(&mut steady, 66), holds([said("l"), said("b")].concat()));
        steady.take(
            Found {
                changed: vec![(object(), Vec::new())],
                lowered: Some(Said::new()),
                is_more: false,
            },
            at(70),
        );
        assert_eq!(settle(&mut steady, 75), Some(Said::new()));
    }
}
