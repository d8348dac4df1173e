//! From an accepted socket to whoever serves it.

use std::rc::Rc;

use crate::listen::Accepted;
use crate::worker::WorkerContext;

/// Serves one connection until it ends.
pub async fn connection(ctx: Rc<WorkerContext>, accepted: Accepted) {
    let _ = (ctx, accepted);
}
