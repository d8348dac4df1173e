//! What ends a connection from this side, as its task watches for it.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};

use crate::http::Entry;
use crate::http::downstream::Downstream;
use crate::worker::{DrainPhase, DrainWatch};

/// What has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// The proxy drains: finish what is in flight.
    Draining,
    /// The drain's time is up.
    Ending,
    /// The workload does not take connections like this one any more.
    Revoked,
}

type Awaited = Pin<Box<dyn Future<Output = Signal>>>;

/// Tells a connection's task of each signal once.
///
/// The signals are shared by all workers, and asking for them takes a lock. Therefore they are asked
/// only when they have woken the task themselves, and not each time that the task runs: this is what
/// [`FuturesUnordered`] is good for here.
#[derive(Debug)]
pub(super) struct Drain {
    watch: DrainWatch,
    awaited: FuturesUnordered<Awaited>,
}

impl Drain {
    pub(super) fn new(downstream: &Downstream) -> Self {
        let drain = Self { watch: downstream.ctx.drain.clone(), awaited: FuturesUnordered::new() };
        drain.wait_for(DrainPhase::Draining, Signal::Draining);
        // Only plain text can be taken at one time and not at another.
        if let Entry::Inbound { port } = downstream.entry
            && downstream.facts.tls.is_none()
        {
            let ctx = Rc::clone(&downstream.ctx);
            drain.awaited.push(Box::pin(async move {
                let refused = |plan: &lateen_engine::Plan| {
                    let inbound = plan.inbound(port);
                    inbound.and_then(|inbound| inbound.may_go_on(false)).is_err().then_some(())
                };
                ctx.revoked(refused).await;
                Signal::Revoked
            }));
        }
        drain
    }

    /// What has just begun.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        match Pin::new(&mut self.awaited).poll_next(cx) {
            Poll::Ready(Some(Signal::Draining)) => {
                self.wait_for(DrainPhase::Ending, Signal::Ending);
                Poll::Ready(Signal::Draining)
            }
            Poll::Ready(Some(signal)) => Poll::Ready(signal),
            // After the last signal there is nothing to wait for.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn wait_for(&self, phase: DrainPhase, signal: Signal) {
        let mut watch = self.watch.clone();
        self.awaited.push(Box::pin(async move {
            watch.reached(phase).await;
            signal
        }));
    }
}
