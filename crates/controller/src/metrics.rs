//! What is counted, under Istio's names where Istio has one.

mod text;

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, SystemTime},
};

use lateen_api::Kind;

pub(crate) use text::render;

/// What made the control plane look for something to send; Istio's words (`pilot_push_triggers`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PushTrigger {
    /// Endpoints and workloads.
    Endpoint,
    /// Services.
    Service,
    /// Everything that people write.
    Config,
    /// Secrets.
    Secret,
    /// The mesh's own settings.
    Global,
}

impl PushTrigger {
    const ALL: [Self; 5] =
        [Self::Endpoint, Self::Service, Self::Config, Self::Secret, Self::Global];

    /// By the kind of the object that changed.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::EndpointSlice | Kind::Pod | Kind::WorkloadEntry => Self::Endpoint,
            Kind::Service | Kind::ServiceEntry => Self::Service,
            Kind::Secret => Self::Secret,
            Kind::ConfigMap => Self::Global,
            _ => Self::Config,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Service => "service",
            Self::Config => "config",
            Self::Secret => "secret",
            Self::Global => "global",
        }
    }
}

/// What the webhooks were asked for and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// A pod came to be injected.
    InjectionAsked,
    /// It was.
    Injected,
    /// It could not be.
    InjectionFailed,
    /// It was not to be.
    NotInjected,
    /// An object was taken.
    Valid,
    /// An object was refused.
    Invalid,
}

impl Admission {
    const ALL: [Self; 6] = [
        Self::InjectionAsked,
        Self::Injected,
        Self::InjectionFailed,
        Self::NotInjected,
        Self::Valid,
        Self::Invalid,
    ];

    /// The counter's name, Istio's, and its help.
    fn counter(self) -> (&'static str, &'static str) {
        match self {
            Self::InjectionAsked => {
                ("sidecar_injection_requests_total", "Pods that came to be injected.")
            }
            Self::Injected => ("sidecar_injection_success_total", "Pods that were injected."),
            Self::InjectionFailed => {
                ("sidecar_injection_failure_total", "Pods that could not be injected.")
            }
            Self::NotInjected => {
                ("sidecar_injection_skip_total", "Pods that were not to be injected.")
            }
            Self::Valid => ("galley_validation_passed", "Objects that were taken."),
            Self::Invalid => ("galley_validation_failed", "Objects that were refused."),
        }
    }
}

/// What is sent on a stream; Istio's words (`pilot_xds_pushes`, `pilot_total_xds_rejects`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// A cut, to a proxy of ours.
    Native,
    /// Resources of a kind, to an Envoy.
    Kind(lateen_envoy::Kind),
}

impl Sent {
    /// The native stream, and a type for each kind.
    const COUNT: usize = 1 + lateen_envoy::Kind::ALL.len();

    fn all() -> impl Iterator<Item = Self> {
        std::iter::once(Self::Native).chain(lateen_envoy::Kind::ALL.map(Self::Kind))
    }

    fn index(self) -> usize {
        match self {
            Self::Native => 0,
            Self::Kind(kind) => 1 + kind.index(),
        }
    }

    fn label(self) -> &'static str {
        use lateen_envoy::Kind;
        match self {
            Self::Native => "native",
            Self::Kind(Kind::Cluster) => "cds",
            Self::Kind(Kind::Endpoints) => "eds",
            Self::Kind(Kind::Listener) => "lds",
            Self::Kind(Kind::Routes) => "rds",
            Self::Kind(Kind::VirtualHost) => "vhds",
            Self::Kind(Kind::Secret) => "sds",
        }
    }
}

/// Why a caller was not served. The labels of both services' refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No token and no certificate.
    NoCredentials,
    /// A token that is no token of ours.
    Malformed,
    /// A token that somebody else signed.
    Foreign,
    /// A token for another audience.
    WrongAudience,
    /// A token whose time is over.
    Expired,
    /// A token whose time has not come.
    NotYetValid,
    /// A certificate that identifies no workload.
    NoIdentity,
    /// A good identity that is not the workload's.
    Identity,
    /// A workload that nobody knows.
    UnknownWorkload,
    /// A certificate request whose key is too weak.
    WeakKey,
    /// A certificate request that cannot be read, or is not signed by its key.
    BadRequest,
    /// A longer lifetime than is allowed.
    Lifetime,
    /// Our own fault.
    Internal,
    /// A TLS handshake that failed or took too long.
    Handshake,
}

impl Refusal {
    const ALL: [Self; 14] = [
        Self::NoCredentials,
        Self::Malformed,
        Self::Foreign,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::NoIdentity,
        Self::Identity,
        Self::UnknownWorkload,
        Self::WeakKey,
        Self::BadRequest,
        Self::Lifetime,
        Self::Internal,
        Self::Handshake,
    ];

    /// The label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::NoCredentials => "no-credentials",
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::WrongAudience => "wrong-audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::NoIdentity => "no-identity",
            Self::Identity => "identity",
            Self::UnknownWorkload => "unknown-workload",
            Self::WeakKey => "weak-key",
            Self::BadRequest => "bad-request",
            Self::Lifetime => "lifetime",
            Self::Internal => "internal",
            Self::Handshake => "handshake",
        }
    }
}

/// All counters of the control plane.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    connections: AtomicUsize,
    services: AtomicUsize,
    virtual_services: AtomicUsize,
    triggers: [AtomicU64; PushTrigger::ALL.len()],
    pushes: [AtomicU64; Sent::COUNT],
    rejects: [AtomicU64; Sent::COUNT],
    stream_refusals: [AtomicU64; Refusal::ALL.len()],
    csrs: AtomicU64,
    certificates: AtomicU64,
    csr_refusals: [AtomicU64; Refusal::ALL.len()],
    admissions: [AtomicU64; Admission::ALL.len()],
    /// Seconds since 1970.
    root_expiry: AtomicU64,
    convergence: Histogram,
    push_time: Histogram,
    cut_bytes: Histogram,
}

impl Metrics {
    pub(crate) fn set_connections(&self, count: usize) {
        self.connections.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_objects(&self, services: usize, virtual_services: usize) {
        self.services.store(services, Ordering::Relaxed);
        self.virtual_services.store(virtual_services, Ordering::Relaxed);
    }

    pub(crate) fn pushes_triggered(&self, trigger: PushTrigger) {
        add(&self.triggers[trigger as usize]);
    }

    /// Something was sent to a proxy.
    pub(crate) fn pushed(&self, sent: Sent) {
        add(&self.pushes[sent.index()]);
    }

    /// Something was sent to every proxy that was due.
    pub(crate) fn round(&self, took: Duration) {
        self.push_time.observe(&SECONDS, took.as_secs_f64());
    }

    /// A cut was made for one proxy.
    pub(crate) fn cut_size(&self, bytes: usize) {
        self.cut_bytes.observe(&BYTES, bytes as f64);
    }

    /// A proxy acknowledged what changed so long ago.
    pub(crate) fn converged(&self, took: Duration) {
        self.convergence.observe(&SECONDS, took.as_secs_f64());
    }

    /// A proxy refused what was sent.
    pub(crate) fn rejected(&self, sent: Sent) {
        add(&self.rejects[sent.index()]);
    }

    /// A stream, or the connection for it, was refused.
    pub(crate) fn stream_refused(&self, refusal: Refusal) {
        add(&self.stream_refusals[refusal as usize]);
    }

    /// A webhook was called, or has answered.
    pub(crate) fn admission(&self, what: Admission) {
        add(&self.admissions[what as usize]);
    }

    /// A certificate was asked for.
    pub(crate) fn csr(&self) {
        add(&self.csrs);
    }

    /// A certificate was signed.
    pub(crate) fn certificate_issued(&self) {
        add(&self.certificates);
    }

    /// A certificate was refused.
    pub(crate) fn csr_refused(&self, refusal: Refusal) {
        add(&self.csr_refusals[refusal as usize]);
    }

    pub(crate) fn set_root_expiry(&self, at: SystemTime) {
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs());
        self.root_expiry.store(seconds, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

const BUCKETS: usize = 10;

/// Upper bounds in seconds. Istio's begin at 100 ms, which says nothing of a control plane that
/// needs less; Istio's own bounds are among these, so that its dashboards read on.
const SECONDS: [f64; BUCKETS] = [0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 5.0, 10.0, 30.0];

/// Upper bounds in bytes, Istio's (`pilot_xds_config_size_bytes`) with smaller ones below.
const BYTES: [f64; BUCKETS] = [
    100.0,
    1_000.0,
    4_000.0,
    10_000.0,
    100_000.0,
    1_000_000.0,
    4_000_000.0,
    10_000_000.0,
    40_000_000.0,
    100_000_000.0,
];

/// A histogram of fixed bounds. Its sum is kept in millionths.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum: AtomicU64,
}

impl Histogram {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations and sizes are positive, and 2^64 millionths are enough"
    )]
    fn observe(&self, bounds: &[f64; BUCKETS], value: f64) {
        if let Some(index) = bounds.iter().position(|bound| value <= *bound) {
            add(&self.buckets[index]);
        }
        add(&self.count);
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }
}
