//! The same decisions, with every step that led there.
//!
//! Each decision is written once, over a `Trace`. The fast path's trace is `Untraced`, which
//! compiles to nothing and lets the decision use its indexes; explaining uses a recording trace,
//! which makes it walk every candidate in order instead. A property test holds both to the same
//! answer.

use crate::origin::Origin;

/// One step of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was looked at: `directory`, `route`, `policy`, …
    pub what: What,
    /// The object and field that it came from.
    pub origin: Origin,
    /// Whether it applied.
    pub matched: bool,
    /// Why, or why not.
    pub why: String,
}

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// An entry of the directory, by address, authority or server name.
    Directory,
    /// The policy for what the registry does not know.
    OutboundPolicy,
    /// An HTTP, TCP or TLS rule, or one of its matches.
    Route,
    /// The choice among the backends of a rule.
    Backend,
    /// An endpoint, and whether it may be picked.
    Endpoint,
    /// TLS towards an endpoint.
    UpstreamTls,
    /// Whether a failed attempt is tried again.
    Retry,
    /// A port of a workload, and its mutual TLS mode.
    Inbound,
    /// An authorization policy or one of its rules.
    Policy,
    /// A server of a gateway, or one of its virtual hosts.
    Server,
}

impl What {
    /// The name as explanations print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::OutboundPolicy => "outbound policy",
            Self::Route => "route",
            Self::Backend => "backend",
            Self::Endpoint => "endpoint",
            Self::UpstreamTls => "upstream tls",
            Self::Retry => "retry",
            Self::Inbound => "inbound",
            Self::Policy => "policy",
            Self::Server => "server",
        }
    }
}

/// A decision, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained<D> {
    /// What was decided: always what the fast path decides.
    pub decision: D,
    /// In the order in which they were taken.
    pub steps: Vec<Step>,
    /// Where backends are drawn by weight: each that can be, the one of the decision among them.
    /// To see what becomes of another, explain again with its random number.
    pub draws: Vec<Drawn>,
}

/// A backend that can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Drawn {
    /// A random number that falls on it.
    pub random: u64,
    /// Its part of the weights of all.
    pub weight: u64,
}

/// Where the steps of a decision go.
pub(crate) trait Trace {
    /// Whether every candidate is to be walked in order, instead of by index.
    const RECORDS: bool;

    /// A step; `why` is only made when it is recorded.
    fn step(&mut self, what: What, origin: &Origin, matched: bool, why: impl FnOnce() -> String);

    /// Notes what a draw is made from.
    fn drawn(&mut self, _: impl FnOnce() -> Vec<Drawn>) {}
}

/// Records nothing, costs nothing.
pub(crate) struct Untraced;

impl Trace for Untraced {
    const RECORDS: bool = false;

    fn step(&mut self, _: What, _: &Origin, _: bool, _: impl FnOnce() -> String) {}
}

/// Records every step.
#[derive(Default)]
pub(crate) struct Recorder {
    steps: Vec<Step>,
    draws: Vec<Drawn>,
}

impl Trace for Recorder {
    const RECORDS: bool = true;

    fn step(&mut self, what: What, origin: &Origin, matched: bool, why: impl FnOnce() -> String) {
        self.steps.push(Step { what, origin: origin.clone(), matched, why: why() });
    }

    fn drawn(&mut self, draws: impl FnOnce() -> Vec<Drawn>) {
        self.draws = draws();
    }
}

/// Runs a decision under a recorder.
pub(crate) fn explain<D>(decide: impl FnOnce(&mut Recorder) -> D) -> Explained<D> {
    let mut recorder = Recorder::default();
    let decision = decide(&mut recorder);
    let Recorder { steps, draws } = recorder;
    Explained { decision, steps, draws }
}
