//! What templates ask of the cluster.
//!
//! Templates are rendered without I/O. What they ask for and nobody knows yet is noted; the caller asks
//! the cluster and renders again, until nothing is asked any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// An object (with a name) or a list of objects (without one).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// As `apps/v1`.
    pub api_version: String,
    /// As `Deployment`.
    pub kind: String,
    /// Empty: all namespaces, or none.
    pub namespace: String,
    /// Empty: all objects.
    pub name: String,
}

/// Answers, and questions without one. Clones share both.
#[derive(Debug, Clone, Default)]
pub struct Lookup {
    known: Arc<Mutex<BTreeMap<Question, Option<Value>>>>,
    /// Without a cluster everything is answered by nothing, as Helm does it.
    offline: bool,
}

impl Lookup {
    /// Of a cluster; nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Of no cluster.
    #[must_use]
    pub fn offline() -> Self {
        Self { offline: true, ..Self::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Question, Option<Value>>> {
        // A thread that panicked left a map of whole answers.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer; an empty map where there is none.
    pub(crate) fn ask(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Value {
        let nothing = json!({});
        if self.offline {
            return nothing;
        }
        let question = Question {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        self.known().entry(question).or_default().clone().unwrap_or(nothing)
    }

    /// The questions that nobody has answered.
    #[must_use]
    pub fn open(&self) -> Vec<Question> {
        let known = self.known();
        let open = known.iter().filter(|(_, answer)| answer.is_none());
        open.map(|(question, _)| question.clone()).collect()
    }

    /// Answers a question; an empty map says that there is nothing.
    pub fn answer(&self, question: Question, answer: Value) {
        self.known().insert(question, Some(answer));
    }
}
