//! From an accepted socket to whoever serves it.
//!
//! One function for each direction asks the plan what must be looked at, looks, has the plan decide,
//! takes TLS off where it ends here, and then serves HTTP or relays bytes. Nothing is decided here;
//! nothing is dialled before mutual TLS and policy have passed.

mod account;
mod arrival;
mod forward;
mod gateway;
mod inbound;
mod outbound;

use std::rc::Rc;

use lateen_engine::Origin;
use lateen_engine::authorize::Verdict;

use crate::connection::Direction;
use crate::listen::Accepted;
use crate::telemetry::Reason;
use crate::worker::WorkerContext;

use arrival::Arrival;

/// Serves one connection until it ends.
pub async fn connection(ctx: Rc<WorkerContext>, accepted: Accepted) {
    let direction = accepted.direction;
    let _open = Open::new(&ctx, direction);
    // Held until the end: it counts the connection for the hand-out.
    let (arrival, _slot) = match Arrival::new(&ctx, accepted) {
        Ok(arrival) => arrival,
        Err(error) => {
            tracing::debug!(%error, "an accepted connection was gone before it was served");
            return;
        }
    };
    match direction {
        Direction::Outbound => outbound::serve(arrival).await,
        Direction::Inbound => inbound::serve(arrival).await,
        Direction::Gateway => gateway::serve(arrival).await,
    }
}

/// Counts an open connection, also when a fault ends it.
struct Open {
    ctx: Rc<WorkerContext>,
    direction: Direction,
}

impl Open {
    fn new(ctx: &Rc<WorkerContext>, direction: Direction) -> Self {
        ctx.telemetry.counters().opened(direction);
        Self { ctx: Rc::clone(ctx), direction }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ctx.telemetry.counters().closed(self.direction);
    }
}

/// Why a connection is closed by us.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    /// What decided it.
    origin: Option<Origin>,
    /// More for logs; may be empty.
    detail: String,
}

impl Refused {
    fn because(reason: Reason) -> Self {
        Self { reason, origin: None, detail: String::new() }
    }

    /// By an authorization policy, or because none allows.
    fn denied(verdict: &Verdict<'_>) -> Self {
        Self {
            reason: Reason::AuthorizationDenied,
            origin: Some(verdict.origin().clone()),
            detail: verdict.detail(),
        }
    }
}

impl From<lateen_engine::Refusal<'_>> for Refused {
    fn from(refusal: lateen_engine::Refusal<'_>) -> Self {
        Self {
            reason: refusal.reason.into(),
            origin: Some(refusal.origin.clone()),
            detail: refusal.detail.to_owned(),
        }
    }
}
