//! What the tasks of one worker share.

use std::rc::Rc;
use std::sync::Arc;

use super::{Clock, DrainWatch, Random};
use crate::cell::EndpointCells;
use crate::settings::Settings;
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
}

impl WorkerContext {
    /// A watch of its own for a task that waits for the drain.
    #[must_use]
    pub fn drain_watch(self: &Rc<Self>) -> DrainWatch {
        self.drain.clone()
    }
}
