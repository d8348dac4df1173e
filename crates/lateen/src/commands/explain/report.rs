//! The answer of `lateen explain`.

use lateen_engine::{DestinationKey, Origin, Step};
use lateen_proxy::telemetry::Reason;
use serde::Serialize;

/// Everything that was found out about a request.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The route that was taken; absent when none was.
    pub route: Option<Route>,
    /// Addresses of the endpoints that the request may be sent to, sorted, over all backends of the
    /// route.
    pub endpoints: Vec<String>,
    /// What becomes of it: where it may be drawn to several places, the first refusal.
    #[serde(flatten)]
    pub answer: Answer,
    /// Every step, in the order in which it was taken.
    pub decisions: Vec<Decision>,
}

/// A route.
#[derive(Debug, Serialize)]
pub struct Route {
    /// Name, as the access log has it.
    pub name: String,
    /// What is done: `forward`, `redirect`, `respond`, `passthrough`, `refuse`, `tcp`.
    pub action: &'static str,
    /// The object and field that decided.
    pub decided_by: String,
    /// Every backend that may be drawn.
    pub backends: Vec<Backend>,
}

/// A backend of a route.
#[derive(Debug, Serialize)]
pub struct Backend {
    /// As Istio names the cluster: `outbound|80|v1|reviews.shop.svc.cluster.local`.
    pub destination: String,
    /// Its part of the route's weights.
    pub weight: u64,
    /// The endpoints that it may pick.
    pub endpoints: Vec<Endpoint>,
    /// What becomes of a request that is drawn to it: the first refusal of its endpoints.
    #[serde(flatten)]
    pub answer: Answer,
}

/// An endpoint of a backend.
#[derive(Debug, Serialize)]
pub struct Endpoint {
    /// Address, as the access log has it.
    pub address: String,
    /// The workload, `cluster/namespace/name`; for what is no workload its address.
    pub workload: String,
    /// What becomes of a request that is sent to it.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// Whether it is served.
    pub verdict: Verdict,
    /// Stable code of the reason for which the mesh answers by itself.
    pub reason: Option<&'static str>,
}

/// Whether a request is served, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it reaches an application, or gets the answer that a route gives.
    pub allowed: bool,
    /// Status that the caller gets from the mesh; absent where an application answers, or the
    /// connection is closed.
    pub status: Option<u16>,
    /// The object and field that decided.
    pub decided_by: String,
}

/// One step of a decision.
#[derive(Debug, Serialize)]
pub struct Decision {
    /// Whose proxy took it.
    pub at: String,
    /// What was looked at.
    pub what: &'static str,
    /// The object and field.
    pub object: String,
    /// Whether it applied.
    pub matched: bool,
    /// Why, or why not.
    pub why: String,
}

impl Answer {
    /// An application answers.
    pub fn served(origin: &Origin) -> Self {
        Self::new(true, None, origin, None)
    }

    /// A route answers.
    pub fn answered(status: u16, origin: &Origin, reason: Reason) -> Self {
        Self::new(true, Some(status), origin, Some(reason))
    }

    /// The mesh refuses it; without a status it closes the connection.
    pub fn refused(status: Option<u16>, origin: &Origin, reason: Reason) -> Self {
        Self::new(false, status, origin, Some(reason))
    }

    fn new(allowed: bool, status: Option<u16>, origin: &Origin, reason: Option<Reason>) -> Self {
        Self {
            verdict: Verdict { allowed, status, decided_by: origin.to_string() },
            reason: reason.map(Reason::code),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.verdict.allowed, self.verdict.status) {
            (true, None) => f.write_str("served")?,
            (true, Some(status)) => write!(f, "answered with {status}")?,
            (false, Some(status)) => write!(f, "refused with {status}")?,
            (false, None) => f.write_str("refused: the connection is closed")?,
        }
        write!(f, ", by {}", self.verdict.decided_by)?;
        self.reason.map_or(Ok(()), |reason| write!(f, " ({reason})"))
    }
}

impl Route {
    /// A route without backends so far.
    pub fn new(name: &str, action: &'static str, rule: &Origin) -> Self {
        let decided_by = rule.to_string();
        Self { name: name.to_owned(), action, decided_by, backends: Vec::new() }
    }
}

impl Backend {
    /// The only backend so far. Its answer is the first refusal of its endpoints, or else
    /// `otherwise`.
    pub fn new(destination: &DestinationKey, endpoints: Vec<Endpoint>, otherwise: Answer) -> Self {
        let mut answers = endpoints.iter().map(|endpoint| &endpoint.answer);
        let refusal = answers.find(|answer| !answer.verdict.allowed).cloned();
        let answer = refusal.unwrap_or(otherwise);
        Self { destination: destination.to_string(), weight: 1, endpoints, answer }
    }
}

/// What becomes of a request, and by which route.
#[derive(Debug)]
pub struct Outcome {
    pub route: Option<Route>,
    pub answer: Answer,
}

impl From<Answer> for Outcome {
    fn from(answer: Answer) -> Self {
        Self { route: None, answer }
    }
}

impl Outcome {
    /// By this route, to this backend.
    pub fn to(mut route: Route, backend: Backend) -> Self {
        let answer = backend.answer.clone();
        route.backends.push(backend);
        Self { route: Some(route), answer }
    }

    /// The backend has this part of the route's weights.
    #[must_use]
    pub fn weighing(mut self, weight: u64) -> Self {
        for backend in self.route.iter_mut().flat_map(|route| &mut route.backends) {
            backend.weight = weight;
        }
        self
    }

    /// Either this or that, as the same route draws.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        if self.answer.verdict.allowed && !other.answer.verdict.allowed {
            self.answer = other.answer;
        }
        match (&mut self.route, other.route) {
            (Some(route), Some(other)) => route.backends.extend(other.backends),
            (route @ None, other) => *route = other,
            (Some(_), None) => {}
        }
        self
    }
}

/// The steps that were taken so far.
#[derive(Debug, Default)]
pub struct Steps(Vec<Decision>);

impl Steps {
    /// Adds the steps that the proxy of a workload took.
    pub fn add(&mut self, at: &str, steps: impl IntoIterator<Item = Step>) {
        self.0.extend(steps.into_iter().map(|step| Decision {
            at: at.to_owned(),
            what: step.what.name(),
            object: step.origin.to_string(),
            matched: step.matched,
            why: step.why,
        }));
    }
}

impl Report {
    pub fn new(outcome: Outcome, steps: Steps) -> Self {
        let Outcome { route, answer } = outcome;
        let backends = route.iter().flat_map(|route| &route.backends);
        let mut endpoints: Vec<String> = backends
            .flat_map(|backend| &backend.endpoints)
            .map(|endpoint| endpoint.address.clone())
            .collect();
        endpoints.sort();
        endpoints.dedup();
        Self { route, endpoints, answer, decisions: steps.0 }
    }
}
