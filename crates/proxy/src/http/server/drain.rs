//! The drain, as a connection's task watches it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, Stream};

use crate::worker::{DrainPhase, DrainWatch};

type Reached = Pin<Box<dyn Future<Output = DrainPhase>>>;

/// Tells a connection's task of each phase of the drain once.
///
/// The signal is shared by all workers, and asking for it takes a lock. Therefore it is asked only
/// when it has woken the task itself, and not each time that the task runs: this is what
/// [`FuturesUnordered`] is good for here.
#[derive(Debug)]
pub(super) struct Drain {
    watch: DrainWatch,
    reached: FuturesUnordered<Reached>,
}

impl Drain {
    pub(super) fn new(watch: DrainWatch) -> Self {
        let drain = Self { watch, reached: FuturesUnordered::new() };
        drain.wait_for(DrainPhase::Draining);
        drain
    }

    /// The phase that has just begun.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<DrainPhase> {
        match Pin::new(&mut self.reached).poll_next(cx) {
            Poll::Ready(Some(DrainPhase::Draining)) => {
                self.wait_for(DrainPhase::Ending);
                Poll::Ready(DrainPhase::Draining)
            }
            Poll::Ready(Some(phase)) => Poll::Ready(phase),
            // After the last phase there is nothing to wait for.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn wait_for(&self, phase: DrainPhase) {
        let mut watch = self.watch.clone();
        self.reached.push(Box::pin(async move {
            watch.reached(phase).await;
            phase
        }));
    }
}
