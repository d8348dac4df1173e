//! The client of the native stream: cuts become plans.
//!
//! [`Client`] runs on the configuration thread. It keeps one delta xDS stream to the control plane,
//! puts responses together into cuts, has the engine compile them, and swaps the plan in: a cut is
//! seen whole or not at all (`store`). What the engine refuses is answered with a NACK, and the
//! last good plan stays. Without a control plane the proxy runs on what it has.
//!
//! Workers see [`Plans`]: the plan in force, and [`Plans::need`] for the details of a destination
//! that was not used before.

mod client;
mod credentials;
mod demand;
mod in_force;
mod node;
mod store;
mod usage;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use lateen_engine::Plan;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use client::Client;
pub use credentials::Credentials;
pub use node::node_id;

use crate::handover::Resource;
use crate::telemetry::Reason;
use demand::Demand;
use in_force::InForce;

/// When details are asked for again that the control plane does not know, though its directory has the host.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The plan in force, and what workers may ask of it. Clones share everything.
#[derive(Debug, Clone)]
pub struct Plans {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    plan: ArcSwap<Plan>,
    /// Counts the plans; grows with each, after the plan is there.
    version: AtomicU64,
    /// The plan that the number stands for, for those who wait: what they find in it, a worker that asks for
    /// the number finds, too.
    changed: watch::Sender<Arc<Plan>>,
    /// The number of the last plan that admits other connections than the one before.
    admission: watch::Sender<u64>,
    ready: watch::Sender<bool>,
    status: Mutex<Status>,
    resources: InForce,
    demand: Demand,
}

/// Why the details of a destination are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeedError {
    /// The control plane did not send them in time.
    #[error("the control plane did not send the details in time")]
    TimedOut,
    /// The control plane is away.
    #[error("the control plane is away")]
    Disconnected,
    /// The control plane knows no such host.
    #[error("the control plane knows no such host")]
    Unknown,
    /// Too many destinations are waited for already.
    #[error("too many destinations are waited for already")]
    Overloaded,
}

impl NeedError {
    /// The reason of the answer.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            // The host went while its details were waited for.
            Self::TimedOut | Self::Unknown => Reason::DetailsTimedOut,
            Self::Disconnected => Reason::ControlPlaneAway,
            Self::Overloaded => Reason::TooManyPendingDetails,
        }
    }
}

/// How the proxy stands with its control plane.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Whether there is a stream.
    pub connected: bool,
    /// When that last changed; `None`: it never has.
    pub since: Option<Instant>,
    /// Streams that were opened.
    pub connections: u64,
    /// Why the last stream ended, or did not come about.
    pub last_error: Option<String>,
    /// Number of the last cut that was applied, as the control plane counts.
    pub cut: Option<u64>,
    /// Cuts that were applied.
    pub applied: u64,
    /// Cuts that were refused.
    pub rejected: u64,
    /// Why the last cut was refused; `None` once a later one has been applied.
    pub rejection: Option<String>,
    /// Directory entries whose details are subscribed to.
    pub subscriptions: usize,
}

impl Plans {
    /// An empty plan, and the other end for the client.
    fn new() -> (Self, mpsc::Receiver<String>) {
        let (demand, wanted) = Demand::new();
        let shared = Shared {
            plan: ArcSwap::from_pointee(Plan::default()),
            version: AtomicU64::new(0),
            changed: watch::Sender::default(),
            admission: watch::Sender::new(0),
            ready: watch::Sender::new(false),
            status: Mutex::default(),
            resources: InForce::default(),
            demand,
        };
        (Self { shared: Arc::new(shared) }, wanted)
    }

    /// A plan that never changes, without a control plane: for tests of what stands on it.
    #[must_use]
    pub fn fixed(plan: Arc<Plan>) -> Self {
        Self::asking(plan).0
    }

    /// The same, and where the entries whose details are asked for come out.
    #[must_use]
    pub fn asking(plan: Arc<Plan>) -> (Self, mpsc::Receiver<String>) {
        let (plans, wanted) = Self::new();
        plans.swap(plan);
        (plans, wanted)
    }

    /// Like [`Plans::fixed`], with what it was compiled from.
    #[cfg(test)]
    pub(crate) fn fixed_with(plan: Arc<Plan>, resources: Vec<Resource>) -> Self {
        let (plans, _) = Self::new();
        let resources = store::received(resources);
        plans.shared.resources.change(&lateen_xds::cut::Cut { resources, ..Default::default() });
        plans.swap(plan);
        plans
    }

    /// The plan in force.
    #[must_use]
    pub fn current(&self) -> Arc<Plan> {
        self.shared.plan.load_full()
    }

    /// Grows with each plan: a worker that keeps a reference to one compares this, which is a load
    /// of a number that hardly ever changes, and takes [`Plans::current`] when it differs.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// The plan in force as soon as [`Plans::version`] tells that it is, for those who wait for the next.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Arc<Plan>> {
        self.shared.changed.subscribe()
    }

    /// The version of the last plan that admits other connections to the workload than the one
    /// before did, for open connections that may not go on.
    #[must_use]
    pub fn admission(&self) -> watch::Receiver<u64> {
        self.shared.admission.subscribe()
    }

    /// Puts another plan in force, as a cut does: for tests of what stands on it.
    pub fn replace(&self, plan: Arc<Plan>) {
        self.swap(plan);
    }

    /// Whether a first cut has been applied.
    #[must_use]
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.shared.ready.subscribe()
    }

    /// How the proxy stands with its control plane.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.lock_status().clone()
    }

    /// The resources in force, in the order of their names: what a successor starts with and what
    /// the admin endpoint shows.
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        self.shared.resources.copy()
    }

    /// Waits until the details of a directory entry are in the plan, no longer than `limit`. Then
    /// the decision that needed them is made again.
    ///
    /// # Errors
    /// When they do not come. While the control plane is away for good, that is said at once.
    pub async fn need(&self, host: &str, limit: Duration) -> Result<(), NeedError> {
        let mut changed = self.changed();
        if changed.borrow().has_details(host) {
            return Ok(());
        }
        if self.away_for_good(limit) {
            return Err(NeedError::Disconnected);
        }
        let mut wait = self.shared.demand.ask(host).ok_or(NeedError::Overloaded)?;
        let settled = async {
            loop {
                if changed.borrow_and_update().has_details(host) {
                    return Ok(());
                }
                if wait.is_unknown() {
                    if !self.current().knows(host) {
                        return Err(NeedError::Unknown);
                    }
                    // The answer is of another moment than the directory.
                    tokio::time::sleep(ASK_AGAIN).await;
                    wait = self.shared.demand.ask(host).ok_or(NeedError::Overloaded)?;
                    continue;
                }
                if changed.changed().await.is_err() {
                    return Err(NeedError::Disconnected);
                }
            }
        };
        match tokio::time::timeout(limit, settled).await {
            Ok(answer) => answer,
            Err(_) if self.shared.lock_status().connected => Err(NeedError::TimedOut),
            Err(_) => Err(NeedError::Disconnected),
        }
    }

    /// Whether the control plane has been away for longer than a request would wait.
    fn away_for_good(&self, limit: Duration) -> bool {
        let status = self.shared.lock_status();
        !status.connected && status.since.is_some_and(|since| since.elapsed() > limit)
    }

    fn swap(&self, plan: Arc<Plan>) {
        let admits_alike = plan.admits_as(&self.shared.plan.load());
        self.shared.plan.store(plan);
        self.shared.ready.send_replace(true);
        self.announce();
        if !admits_alike {
            self.shared.admission.send_replace(self.version());
        }
    }

    /// Wakes those who wait for a change.
    fn announce(&self) {
        self.shared.version.fetch_add(1, Ordering::AcqRel);
        self.shared.changed.send_replace(self.current());
    }
}

impl Shared {
    fn lock_status(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy that holds no more memory than its length: bodies of a response are parts of one buffer,
/// which any of them would keep.
fn compact(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
