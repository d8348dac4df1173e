//! The thread of a worker.

use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::FutureExt;
use lateen_identity::{CertificateHandle, MeshTrust};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

use super::{Clock, DrainPhase, DrainSignal, WorkerContext};
use crate::cell::EndpointCells;
use crate::config::Plans;
use crate::dns::Resolver;
use crate::listen::{Accepted, WorkerLoad};
use crate::serve;
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::tls::{GatewayConfigs, MeshServer};

/// What connections have after the drain has ended to write their last record.
const FAREWELL: Duration = Duration::from_millis(500);

/// What every worker makes its context from.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The proxy's settings.
    pub settings: Arc<Settings>,
    /// The plan in force.
    pub plans: Plans,
    /// The workload's certificate.
    pub certificate: Arc<CertificateHandle>,
    /// Roots and trust domains of the mesh.
    pub trust: Arc<MeshTrust>,
    /// TLS for connections to the workload.
    pub mesh_tls: Arc<MeshServer>,
    /// TLS of a gateway's servers.
    pub gateway_tls: Arc<GatewayConfigs>,
    /// The endpoints' cells.
    pub cells: Arc<EndpointCells>,
    /// Names.
    pub resolver: Resolver,
    /// Counts and logs.
    pub telemetry: Arc<Telemetry>,
    /// Tells when to finish.
    pub drain: DrainSignal,
    /// The time.
    pub clock: Clock,
}

/// A running worker, seen from outside.
#[derive(Debug)]
pub struct Worker {
    /// Where accepted sockets go. The worker finishes when every sender is gone.
    pub inbox: mpsc::UnboundedSender<Accepted>,
    /// How much it has to do.
    pub load: Arc<WorkerLoad>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

impl Worker {
    /// Starts a worker.
    ///
    /// # Errors
    /// When there is no thread or no runtime to be had.
    pub fn start(index: usize, parts: Parts) -> io::Result<Self> {
        let (inbox, accepted) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::Builder::new().name(format!("lateen-{index}")).spawn(move || {
            LocalSet::new().block_on(&runtime, work(index, parts, accepted));
        })?;
        Ok(Self { inbox, load: Arc::default(), thread })
    }
}

async fn work(index: usize, parts: Parts, mut inbox: mpsc::UnboundedReceiver<Accepted>) {
    let ctx = WorkerContext::new(index, &parts);
    drop(parts);
    let maintenance = tokio::task::spawn_local(Rc::clone(&ctx.telemetry).maintain());
    let connections = TaskTracker::new();
    let mut drain = ctx.drain.clone();
    loop {
        tokio::select! {
            accepted = inbox.recv() => match accepted {
                Some(accepted) => {
                    connections.spawn_local(isolated(Rc::clone(&ctx), accepted));
                }
                None => break,
            },
            () = drain.reached(DrainPhase::Ending) => break,
        }
    }
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = drain.reached(DrainPhase::Ending) => {
            // Connections see the same signal; what does not end by itself goes with the runtime.
            let _ = tokio::time::timeout(FAREWELL, connections.wait()).await;
        }
    }
    maintenance.abort();
    ctx.telemetry.flush();
}

/// Serves a connection; a panic ends it and nothing else.
async fn isolated(ctx: Rc<WorkerContext>, accepted: Accepted) {
    let remote = accepted.remote;
    if !survives(serve::connection(Rc::clone(&ctx), accepted)).await {
        ctx.telemetry.counters().panics.increment();
        tracing::error!(%remote, "a fault of the proxy ended a connection");
    }
}

/// Whether the task ended without a panic. What it held has been dropped either way; what it shares
/// with others are cells that are consistent between any two statements.
async fn survives(task: impl Future<Output = ()>) -> bool {
    AssertUnwindSafe(task).catch_unwind().await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::survives;

    #[tokio::test]
    async fn a_panic_ends_its_own_task_only() {
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let faulty = async move {
            let _held = held;
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert!(!survives(faulty).await);
        assert!(dropped.await.is_err(), "what it held is gone");
        assert!(survives(async {}).await);
    }
}
