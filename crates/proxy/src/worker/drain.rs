//! The signal to finish: no new connections, no new requests on old ones, then the end.

use tokio::sync::watch;

/// How far a proxy is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainPhase {
    /// Serving.
    Serving,
    /// Finish what is in flight: `connection: close`, GOAWAY; idle connections are closed.
    Draining,
    /// The time is up: whatever is open is cut.
    Ending,
}

/// The side that gives the signal.
#[derive(Debug, Clone)]
pub struct DrainSignal(watch::Sender<DrainPhase>);

impl Default for DrainSignal {
    fn default() -> Self {
        Self(watch::Sender::new(DrainPhase::Serving))
    }
}

impl DrainSignal {
    /// Moves to `phase`; never back.
    pub fn advance(&self, phase: DrainPhase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            *current = phase.max(*current);
            later
        });
    }

    /// A watch of it.
    #[must_use]
    pub fn watch(&self) -> DrainWatch {
        DrainWatch(self.0.subscribe())
    }
}

/// The side that waits for the signal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DrainWatch(watch::Receiver<DrainPhase>);

impl DrainWatch {
    /// How far the proxy is.
    #[must_use]
    pub fn phase(&self) -> DrainPhase {
        *self.0.borrow()
    }

    /// Whether what is in flight should be the last.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.phase() >= DrainPhase::Draining
    }

    /// Returns once the proxy is at least as far as `phase`. Without a signalling side it is at
    /// its end. Cancel safe.
    pub async fn reached(&mut self, phase: DrainPhase) {
        // An error says that the sender is gone, which happens when the proxy has been dropped.
        let _ = self.0.wait_for(|current| *current >= phase).await;
    }
}
