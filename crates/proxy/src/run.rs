//! Starting and stopping a proxy.
//!
//! [`Proxy::start`] starts the configuration thread; everything else follows from there. Workers and
//! listeners ([`DataPlane`]) start once there is somebody to trust, a certificate and a
//! configuration. A drain stops the listeners, lets what is in flight finish within its limit and
//! ends the threads. A successor that takes over causes the same, except that its copies of the
//! listening sockets stay open.

mod data_plane;
mod supervisor;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

pub use data_plane::DataPlane;

use crate::admin::LogLevel;
use crate::handover::{HandoverError, Predecessor};
use crate::settings::Settings;
use supervisor::Supervisor;

/// A proxy that has not started.
pub struct Proxy {
    settings: Settings,
    log_level: Option<Arc<LogLevel>>,
}

/// How far a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Waits for configuration and certificate.
    Starting,
    /// Serves.
    Serving,
    /// Takes nothing new.
    Draining,
    /// Has ended.
    Ended,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread, a runtime or a file descriptor is not to be had.
    #[error("the system gave no {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// There is a predecessor, and it does not hand over.
    #[error("the running proxy did not hand over: {0}")]
    Handover(#[from] HandoverError),
}

impl StartError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// What a proxy is asked to do while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Finish what is in flight and take nothing new; stay.
    Drain,
    /// The same, and then end.
    Quit,
}

impl Proxy {
    /// A proxy with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, log_level: None }
    }

    /// What the admin endpoint `/logging` reads and sets the log's level with.
    #[must_use]
    pub fn log_level(mut self, level: Arc<LogLevel>) -> Self {
        self.log_level = Some(level);
        self
    }

    /// Takes over from a predecessor, if the settings name a socket and there is one, and starts.
    /// Blocks until a predecessor has answered, which it does at once.
    ///
    /// # Errors
    /// When the system has no threads left, or the predecessor does not hand over.
    pub fn start(self) -> Result<Running, StartError> {
        raise_descriptor_limit();
        let predecessor = match &self.settings.handover {
            Some(path) => Predecessor::find(path)?,
            None => None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::system("runtime"))?;
        let (orders, inbox) = mpsc::unbounded_channel();
        let state = watch::Sender::new(State::Starting);
        let watching = state.subscribe();
        let supervisor = {
            // What it holds registers with the runtime.
            let _entered = runtime.enter();
            Supervisor::new(self, predecessor, orders.clone(), state)?
        };
        let thread = thread::Builder::new()
            .name("lateen-config".to_owned())
            .spawn(move || runtime.block_on(supervisor.run(inbox)))
            .map_err(StartError::system("thread"))?;
        Ok(Running { orders, state: watching, thread })
    }
}

/// Every connection takes a descriptor or two: the soft limit, which shells set low for old programs'
/// sake, is raised to the hard one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, ?limit, "the limit of open files stays low");
    }
}

/// A running proxy. Dropping it leaves it running.
#[derive(Debug)]
pub struct Running {
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<State>,
    thread: JoinHandle<()>,
}

impl Running {
    /// How far it is.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// A watch of how far it is.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Finishes what is in flight, within the limit, and ends.
    pub fn quit(&self) {
        // Without a receiver it has ended already.
        let _ = self.orders.send(Order::Quit);
    }

    /// Returns when it has ended: after [`Running::quit`], or when a successor has taken over.
    pub fn wait(self) {
        if self.thread.join().is_err() {
            tracing::error!("the configuration thread ended by a fault");
        }
    }

    /// Returns when it has ended; SIGTERM and SIGINT make it quit. A second signal is the system's:
    /// it ends the process at once.
    ///
    /// # Errors
    /// When signals cannot be listened to.
    pub fn wait_for_signals(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut state = self.watch();
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            tokio::select! {
                _ = terminate.recv() => self.quit(),
                _ = interrupt.recv() => self.quit(),
                // An error says that the thread has ended.
                _ = state.wait_for(|state| *state == State::Ended) => return Ok(()),
            }
            tokio::select! {
                _ = terminate.recv() => std::process::exit(143),
                _ = interrupt.recv() => std::process::exit(130),
                _ = state.wait_for(|state| *state == State::Ended) => Ok::<_, io::Error>(()),
            }
        })?;
        self.wait();
        Ok(())
    }
}
