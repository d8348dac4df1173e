//! Time limits of an exchange.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::upload::Source;

/// A limit that counts from when the request has been received completely, as Envoy's timeouts do:
/// a slow sender does not use up the time of the application.
#[derive(Debug)]
pub(super) struct Deadline {
    source: Rc<Source>,
    limit: Duration,
    /// It counts from here at the earliest.
    earliest: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub(super) fn new(source: &Rc<Source>, limit: Duration, earliest: Instant) -> Self {
        Self { source: Rc::clone(source), limit, earliest, timer: None }
    }

    /// Ready when the time is up.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            None => {
                let completed = ready!(self.source.poll_completed(cx));
                let due = completed.max(self.earliest) + self.limit;
                self.timer.insert(Box::pin(tokio::time::sleep_until(due.into())))
            }
        };
        timer.as_mut().poll(cx)
    }

    /// When the time is up, if that is known already.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let due = self.source.completed()?.max(self.earliest) + self.limit;
        Some(due.saturating_duration_since(now))
    }
}

/// What `work` gives, or `None` when the time is up before.
pub(super) async fn within<F: Future>(
    deadline: &mut Option<Deadline>,
    work: F,
) -> Option<F::Output> {
    let Some(deadline) = deadline else { return Some(work.await) };
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        deadline.poll(cx).map(|()| None)
    })
    .await
}
