//! What the tasks of one worker share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::Plan;

use super::{Clock, DrainWatch, Random};
use crate::cell::EndpointCells;
use crate::config::{NeedError, Plans};
use crate::http::Pools;
use crate::settings::Settings;
use crate::telemetry::Shard;
use crate::upstream::Dialer;

/// What the tasks of one worker share. Lives in an [`Rc`]: it never leaves its thread, and nothing
/// in it locks on the path of a request.
#[derive(Debug)]
pub struct WorkerContext {
    /// Which worker, from 0.
    pub index: usize,
    /// The proxy's settings.
    pub settings: Arc<Settings>,
    /// Dials endpoints.
    pub dialer: Dialer,
    /// The endpoints' shared cells, for those that this worker has no reference to yet.
    pub cells: Arc<EndpointCells>,
    /// Whether and how the proxy is going down.
    pub drain: DrainWatch,
    /// Random numbers for decisions.
    pub random: Random,
    /// The time.
    pub clock: Clock,
    /// The plan in force, for all workers; see [`WorkerContext::plan`].
    pub plans: Plans,
    /// This worker's part of the telemetry.
    pub telemetry: Rc<Shard>,
    /// Connections to endpoints that carry HTTP.
    pub pools: Pools,
    /// The plan that was last seen here, and its version.
    pub plan_seen: PlanSeen,
}

/// A worker's own reference to the plan: following it costs one load of a number that seldom
/// changes, and taking it counts without atomics.
#[derive(Debug, Default)]
pub struct PlanSeen(RefCell<Option<(u64, Rc<Arc<Plan>>)>>);

impl WorkerContext {
    /// A watch of its own for a task that waits for the drain.
    #[must_use]
    pub fn drain_watch(self: &Rc<Self>) -> DrainWatch {
        self.drain.clone()
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> Rc<Arc<Plan>> {
        let version = self.plans.version();
        let mut seen = self.plan_seen.0.borrow_mut();
        if let Some((seen, plan)) = &*seen
            && *seen == version
        {
            return Rc::clone(plan);
        }
        let plan = Rc::new(self.plans.current());
        *seen = Some((version, Rc::clone(&plan)));
        plan
    }

    /// Waits until the details of a directory entry are in the plan.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn need(&self, host: &str) -> Result<(), NeedError> {
        self.plans.need(host, self.settings.timeouts.details).await
    }
}
