//! Workers and listeners.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use lateen_engine::Plan;

use crate::listen::{Acceptor, Handout, Inherited, ListenReport, wanted};
use crate::settings::Settings;
use crate::worker::{DrainPhase, DrainSignal, Parts, Worker};

/// What workers have after the end of a drain to write their last records.
const FAREWELL: Duration = Duration::from_secs(2);

/// The workers of a proxy and the thread that accepts for them.
#[derive(Debug)]
pub struct DataPlane {
    acceptor: Acceptor,
    handout: Handout,
    workers: Vec<Worker>,
    drain: DrainSignal,
    settings: Arc<Settings>,
}

impl DataPlane {
    /// Starts the workers; nothing is accepted before [`DataPlane::follow`].
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(parts: &Parts, inherited: Inherited) -> io::Result<Self> {
        let workers: Vec<Worker> = (0..parts.settings.workers.max(1))
            .map(|index| Worker::start(index, parts.clone()))
            .collect::<Result<_, _>>()?;
        let inboxes = workers.iter().map(|worker| (worker.inbox.clone(), worker.load.clone()));
        let handout = Handout::new(inboxes.collect(), parts.settings.limits.connections);
        Ok(Self {
            acceptor: Acceptor::start(handout.clone(), inherited)?,
            handout,
            workers,
            drain: parts.drain.clone(),
            settings: Arc::clone(&parts.settings),
        })
    }

    /// Listens where the plan says; returns when what can be bound is bound.
    pub async fn follow(&self, plan: &Plan) {
        self.acceptor.set(wanted(plan, &self.settings)).await;
    }

    /// Copies of the listening sockets, for a successor.
    ///
    /// # Errors
    /// When there are no file descriptors left.
    pub async fn export(&self) -> io::Result<Vec<OwnedFd>> {
        self.acceptor.export().await
    }

    /// What listens and what does not.
    #[must_use]
    pub fn report(&self) -> ListenReport {
        self.acceptor.report()
    }

    /// Connections that are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.handout.open()
    }

    /// Connections that were closed as they were accepted because there were too many.
    #[must_use]
    pub fn refused_connections(&self) -> usize {
        self.handout.refused()
    }

    /// Stops accepting, and tells connections to finish. Returns at once.
    pub async fn stop_accepting(&self) {
        self.acceptor.stop().await;
        self.drain.advance(DrainPhase::Draining);
    }

    /// Tells connections to finish; what is new is still served, and told the same. Returns at once.
    pub fn begin_drain(&self) {
        self.drain.advance(DrainPhase::Draining);
    }

    /// Drains: returns when every connection has ended, or was cut because the time is up.
    pub async fn drain(self) {
        self.stop_accepting().await;
        let Self { acceptor, handout, workers, drain, settings } = self;
        let limit = settings.timeouts.drain;
        // With the last sender gone a worker knows that nothing more will come.
        drop((acceptor, handout));
        let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
        let mut joined = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        let faults = match tokio::time::timeout(limit, &mut joined).await {
            Ok(faults) => faults,
            Err(_) => {
                tracing::warn!(?limit, "the drain took too long, open connections are cut");
                drain.advance(DrainPhase::Ending);
                match tokio::time::timeout(FAREWELL, joined).await {
                    Ok(faults) => faults,
                    Err(_) => {
                        tracing::error!("a worker did not end");
                        return;
                    }
                }
            }
        };
        if faults.is_ok_and(|faults| faults > 0) {
            tracing::error!("a worker ended by a fault");
        }
    }
}
