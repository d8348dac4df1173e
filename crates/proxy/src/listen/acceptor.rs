//! The thread that accepts.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, LocalSet};

use super::socket::{Inherited, accept, bind};
use super::{Accepted, Handout, Listener};

/// How often an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How long a listener rests when the process has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Connections that one listener accepts before the others have their turn.
const BURST: usize = 32;

/// What listens and what does not, for the admin endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenReport {
    /// Listeners that accept.
    pub listening: Vec<Listener>,
    /// Addresses that could not be bound, and why.
    pub failed: BTreeMap<SocketAddr, String>,
}

enum Command {
    /// The listeners that there should be.
    Set(Vec<Listener>, oneshot::Sender<()>),
    /// Copies of all listening sockets, for a successor.
    Export(oneshot::Sender<io::Result<Vec<OwnedFd>>>),
    /// Accept what waits, then close all.
    Stop(oneshot::Sender<()>),
}

/// The handle of the accepting thread. The thread ends when it is dropped.
#[derive(Debug)]
pub struct Acceptor {
    commands: mpsc::UnboundedSender<Command>,
    report: Arc<Mutex<ListenReport>>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be started.
    pub fn start(handout: Handout, inherited: Inherited) -> io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let report = Arc::new(Mutex::new(ListenReport::default()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = State {
            handout,
            inherited: Some(inherited),
            running: BTreeMap::new(),
            wanted: Vec::new(),
            report: Arc::clone(&report),
        };
        thread::Builder::new().name("lateen-accept".to_owned()).spawn(move || {
            LocalSet::new().block_on(&runtime, state.run(inbox));
        })?;
        Ok(Self { commands, report })
    }

    /// Makes `listeners` the set; returns when what can be bound is bound.
    pub async fn set(&self, listeners: Vec<Listener>) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Set(listeners, done)).is_ok() {
            // An error says that the thread has ended, which happens only while stopping.
            let _ = wait.await;
        }
    }

    /// Copies of all listening sockets.
    ///
    /// # Errors
    /// When they cannot be copied (no descriptors left), or the acceptor has stopped.
    pub async fn export(&self) -> io::Result<Vec<OwnedFd>> {
        let stopped = || io::Error::other("the acceptor has stopped");
        let (reply, sockets) = oneshot::channel();
        self.commands.send(Command::Export(reply)).map_err(|_| stopped())?;
        sockets.await.map_err(|_| stopped())?
    }

    /// Accepts what is waiting and closes every listener.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.commands.send(Command::Stop(done)).is_ok() {
            let _ = wait.await;
        }
    }

    /// What listens and what does not.
    #[must_use]
    pub fn report(&self) -> ListenReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct State {
    handout: Handout,
    /// `None` once the first set has taken what it wanted.
    inherited: Option<Inherited>,
    running: BTreeMap<SocketAddr, Running>,
    wanted: Vec<Listener>,
    report: Arc<Mutex<ListenReport>>,
}

struct Running {
    listener: Listener,
    socket: Arc<TcpListener>,
    task: JoinHandle<()>,
}

impl State {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        loop {
            let failed = self.running.len() < self.wanted.len();
            let command = tokio::select! {
                command = inbox.recv() => command,
                () = tokio::time::sleep(RETRY), if failed => {
                    self.reconcile();
                    continue;
                }
            };
            match command {
                Some(Command::Set(wanted, done)) => {
                    self.wanted = wanted;
                    self.reconcile();
                    // Who asked may not care when it is done.
                    let _ = done.send(());
                }
                Some(Command::Export(reply)) => {
                    let copies = self.running.values().map(|running| {
                        running.socket.try_clone().map(OwnedFd::from)
                    });
                    let _ = reply.send(copies.collect());
                }
                Some(Command::Stop(done)) => {
                    self.close(|_| true);
                    self.wanted.clear();
                    self.inherited = None;
                    self.publish(BTreeMap::new());
                    let _ = done.send(());
                }
                None => return,
            }
        }
    }

    /// Closes what is not wanted, binds what is.
    fn reconcile(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        self.close(|listener| wanted.binary_search(listener).is_err());
        let mut failed = BTreeMap::new();
        for listener in &wanted {
            if self.running.contains_key(&listener.bind) {
                continue;
            }
            if let Err(error) = self.open(*listener) {
                failed.insert(listener.bind, error.to_string());
            }
        }
        // Whatever the first set does not want is closed: nobody would ever accept there.
        if !wanted.is_empty() {
            self.inherited = None;
        }
        self.wanted = wanted;
        self.publish(failed);
    }

    fn open(&mut self, listener: Listener) -> io::Result<()> {
        let inherited = self.inherited.as_mut().and_then(|inherited| inherited.take(listener.bind));
        let socket = Arc::new(match inherited {
            Some(socket) => socket,
            None => bind(listener.bind)?,
        });
        let polled = AsyncFd::register(Arc::clone(&socket))?;
        let task = tokio::task::spawn_local(accept_all(polled, listener, self.handout.clone()));
        self.running.insert(listener.bind, Running { listener, socket, task });
        Ok(())
    }

    fn close(&mut self, which: impl Fn(&Listener) -> bool) {
        let handout = &self.handout;
        self.running.retain(|_, running| {
            let close = which(&running.listener);
            if close {
                running.task.abort();
                // Clients whose connections the kernel has completed are not turned away.
                while accept_one(&running.socket, running.listener, handout).is_ok() {}
            }
            !close
        });
    }

    fn publish(&self, failed: BTreeMap<SocketAddr, String>) {
        let listening = self.running.values().map(|running| running.listener).collect();
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, reason) in &failed {
            if report.failed.get(address) != Some(reason) {
                tracing::warn!(%address, %reason, "cannot listen; trying again");
            }
        }
        *report = ListenReport { listening, failed };
    }
}

async fn accept_all(socket: AsyncFd<Arc<TcpListener>>, listener: Listener, handout: Handout) {
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        for _ in 0..BURST {
            match accept_one(socket.get_ref(), listener, &handout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    break;
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %listener.bind, %error, "cannot accept");
                    tokio::time::sleep(EXHAUSTED).await;
                    break;
                }
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Errors of the one connection that was to be accepted: accept(2) asks to go on after them.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted};
    use io::ErrorKind::{NetworkDown, NetworkUnreachable, TimedOut};
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
    )
}

fn accept_one(socket: &TcpListener, listener: Listener, handout: &Handout) -> io::Result<()> {
    let (stream, remote) = accept(socket)?;
    // Beyond the limit the socket is closed, which `give` counts.
    let _ = handout.give(|slot| Accepted {
        stream,
        remote,
        local: listener.bind,
        original_destination: listener.capture.original_destination(),
        direction: listener.direction,
        at: Instant::now(),
        slot,
    });
    Ok(())
}
