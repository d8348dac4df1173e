//! Sending a request: balance, send, and try again where the route says so.

mod attempt;
mod pick;

use std::time::{Duration, Instant};

use lateen_engine::retry::{Attempt, RetryPolicy};
use lateen_engine::route::HeaderOperations;
use lateen_engine::upstream::Carried;
use smallvec::SmallVec;

pub(super) use attempt::Received;
use attempt::{Failure, attempt};
pub(super) use pick::Destined;
use pick::pick;

use super::local::Refusal;
use super::request::InProgress;
use super::respond::{Reply, Streamed};
use super::timeout::{Deadline, within};
use crate::telemetry::{Flags, Reason};

/// Where a request goes and what holds for its way.
pub(super) struct Delivery<'p> {
    pub(super) to: Destined<'p>,
    /// What travels to the endpoint.
    pub(super) carried: Carried,
    pub(super) retries: Option<&'p RetryPolicy>,
    /// For the whole exchange.
    pub(super) timeout: Option<Duration>,
    /// To be applied in this order to the response.
    pub(super) response_headers: Option<[&'p HeaderOperations; 2]>,
}

/// Sends a request until there is a response to be passed on, or a reason why there is none.
pub(super) async fn deliver(
    exchange: &mut InProgress,
    delivery: Delivery<'_>,
) -> Result<Reply, Refusal> {
    // As in Envoy, whose router is not reached before: what came before, such as waiting for the details
    // of a destination, takes nothing of the application's time.
    let began = match delivery.timeout {
        Some(_) => exchange.ctx().clock.now(),
        None => exchange.ongoing.began,
    };
    let mut deadline =
        delivery.timeout.map(|timeout| Deadline::new(&exchange.source, timeout, began));
    if delivery.retries.is_some_and(|policy| policy.attempts() > 0) {
        exchange.source.keep();
    }
    let received = match within(&mut deadline, try_in_turn(exchange, &delivery, began)).await {
        Some(received) => received?,
        None => return Err(Refusal::new(Reason::RequestTimedOut)),
    };
    let mut response = received.response;
    for operations in delivery.response_headers.into_iter().flatten() {
        operations.apply(response.headers_mut());
    }
    Ok(Reply::Streamed(Streamed { response, lease: received.lease, deadline }))
}

async fn try_in_turn(
    exchange: &mut InProgress,
    delivery: &Delivery<'_>,
    began: Instant,
) -> Result<Received, Refusal> {
    let mut tried: SmallVec<[usize; 4]> = SmallVec::new();
    let mut retries = 0;
    loop {
        let picked = pick(exchange, delivery, &tried)?;
        tried.extend(picked.index);
        exchange.ongoing.attempts = retries + 1;
        let may_follow = delivery.retries.is_some_and(|policy| retries < policy.attempts());
        // The first attempt has all of the time.
        let left = delivery.timeout.map(|timeout| match retries {
            0 => timeout,
            _ => left(exchange, timeout, began),
        });
        let outcome = attempt(exchange, delivery, picked, may_follow, left).await;
        let ended = match &outcome {
            Ok(received) => Attempt::Response {
                status: received.response.status().as_u16(),
                headers: received.response.headers(),
            },
            Err(failure) => failure.for_policy(),
        };
        note(exchange, ended);
        if !again(exchange, delivery.retries, ended, retries) {
            // An endpoint that is not there was no attempt.
            let counts = !matches!(&outcome, Err(failure) if failure.is_unresolved());
            if counts && exceeded(delivery.retries, ended, retries) {
                exchange.ongoing.flags |= Flags::RETRY_LIMIT_EXCEEDED;
            }
            return outcome.map_err(Failure::into_refusal);
        }
        // Dropping what came resets the stream, or closes the connection.
        drop(outcome);
        retries += 1;
        if let Some(policy) = delivery.retries {
            let pause = policy.backoff(retries, exchange.ctx().random.next());
            tokio::time::sleep(pause).await;
        }
    }
}

/// What is left of the time for the whole exchange.
fn left(exchange: &InProgress, timeout: Duration, began: Instant) -> Duration {
    let deadline = Deadline::new(&exchange.source, timeout, began);
    deadline.left(exchange.ctx().clock.now()).unwrap_or(timeout)
}

/// Whether another attempt follows the one that ended like this.
fn again(
    exchange: &InProgress,
    policy: Option<&RetryPolicy>,
    ended: Attempt<'_>,
    retries: u32,
) -> bool {
    let Some(policy) = policy else { return false };
    policy.retries(ended, retries) && exchange.upgrade.is_none() && exchange.source.replayable()
}

/// Whether another attempt would have followed, had there been retries left.
fn exceeded(policy: Option<&RetryPolicy>, ended: Attempt<'_>, retries: u32) -> bool {
    let Some(policy) = policy else { return false };
    retries > 0 && !policy.retries(ended, retries) && policy.retries(ended, 0)
}

/// Tells the endpoint's shared cell how the attempt went.
fn note(exchange: &mut InProgress, ended: Attempt<'_>) {
    let Some(in_flight) = &exchange.ongoing.in_flight else { return };
    match ended {
        Attempt::Response { status, .. } if status < 500 => in_flight.cell().succeeded(),
        _ => {
            in_flight.cell().failed();
        }
    }
}
