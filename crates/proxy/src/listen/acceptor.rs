//! The thread that accepts.
//!
//! It waits for all listening sockets at once and does nothing but accept and hand out, so it polls
//! them itself: a runtime of its own would register every accepted socket only for the worker to
//! register it again.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use tokio::sync::oneshot;

use super::socket::{Inherited, accept, bind, bind_transparent};
use super::{Accepted, Capture, Handout, Listener};

/// How often an address that could not be bound is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// How long accepting rests when the process has no file descriptor left.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Connections that one listener accepts before the others have their turn.
const BURST: usize = 32;

/// The token of the event that announces a command; listeners count from 1.
const COMMAND: u64 = 0;

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
    /// `None` only while it is being dropped.
    commands: Option<Sender<Command>>,
    wake: Arc<OwnedFd>,
    report: Arc<Mutex<ListenReport>>,
}

impl Acceptor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started, or there are no file descriptors left.
    pub fn start(handout: Handout, inherited: Inherited) -> io::Result<Self> {
        let (commands, inbox) = channel();
        let report = Arc::new(Mutex::new(ListenReport::default()));
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(COMMAND);
        epoll::add(&poll, &wake, data, epoll::EventFlags::IN)?;
        let state = State {
            poll,
            wake: Arc::clone(&wake),
            inbox,
            handout,
            inherited: Some(inherited),
            running: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: COMMAND + 1,
            wanted: Vec::new(),
            report: Arc::clone(&report),
        };
        thread::Builder::new().name("lateen-accept".to_owned()).spawn(move || state.run())?;
        Ok(Self { commands: Some(commands), wake, report })
    }

    /// Makes `listeners`, sorted, the set; returns when what can be bound is bound.
    pub async fn set(&self, listeners: Vec<Listener>) {
        let (done, wait) = oneshot::channel();
        self.send(Command::Set(listeners, done));
        // An error says that the thread has ended, which happens only while stopping.
        let _ = wait.await;
    }

    /// Copies of all listening sockets.
    ///
    /// # Errors
    /// When they cannot be copied (no descriptors left), or the acceptor has stopped.
    pub async fn export(&self) -> io::Result<Vec<OwnedFd>> {
        let (reply, sockets) = oneshot::channel();
        self.send(Command::Export(reply));
        sockets.await.map_err(|_| io::Error::other("the acceptor has stopped"))?
    }

    /// Accepts what is waiting and closes every listener.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        self.send(Command::Stop(done));
        let _ = wait.await;
    }

    /// What listens and what does not.
    #[must_use]
    pub fn report(&self) -> ListenReport {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Without a receiver the thread has ended, and with it the channel of the answer.
            let _ = commands.send(command);
        }
        self.wake();
    }

    fn wake(&self) {
        // The counter cannot overflow: it is read at every wake-up.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        self.commands = None;
        self.wake();
    }
}

struct State {
    poll: OwnedFd,
    wake: Arc<OwnedFd>,
    inbox: Receiver<Command>,
    handout: Handout,
    /// `None` once the first set has taken what it wanted.
    inherited: Option<Inherited>,
    running: BTreeMap<SocketAddr, Running>,
    tokens: BTreeMap<u64, SocketAddr>,
    next_token: u64,
    wanted: Vec<Listener>,
    report: Arc<Mutex<ListenReport>>,
}

struct Running {
    listener: Listener,
    socket: TcpListener,
    token: u64,
}

/// Whether the thread goes on.
enum Next {
    Continue,
    End,
}

impl State {
    fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        let mut tried = Instant::now();
        loop {
            let failed = self.running.len() < self.wanted.len();
            let timeout = failed.then(|| RETRY.saturating_sub(tried.elapsed()));
            let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.poll, buffer, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for connections; accepting has stopped");
                    return;
                }
            }
            for event in &events {
                if event.data.u64() == COMMAND {
                    if matches!(self.obey(), Next::End) {
                        return;
                    }
                } else {
                    self.accept_burst(event.data.u64());
                }
            }
            if failed && tried.elapsed() >= RETRY {
                self.reconcile();
                tried = Instant::now();
            }
        }
    }

    fn obey(&mut self) -> Next {
        let mut count = [0; 8];
        // Nothing to read says that an earlier read took this one's count too.
        let _ = rustix::io::read(&self.wake, &mut count);
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Set(wanted, done)) => {
                    self.wanted = wanted;
                    self.reconcile();
                    // Who asked may not care when it is done.
                    let _ = done.send(());
                }
                Ok(Command::Export(reply)) => {
                    let copies = self
                        .running
                        .values()
                        .map(|running| running.socket.try_clone().map(OwnedFd::from));
                    let _ = reply.send(copies.collect());
                }
                Ok(Command::Stop(done)) => {
                    self.wanted.clear();
                    self.close(|_| true);
                    self.inherited = None;
                    self.publish(BTreeMap::new());
                    let _ = done.send(());
                }
                Err(TryRecvError::Empty) => return Next::Continue,
                Err(TryRecvError::Disconnected) => return Next::End,
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
        let socket = match inherited {
            Some(socket) => socket,
            None if listener.capture == Capture::Transparent => bind_transparent(listener.bind)?,
            None => bind(listener.bind)?,
        };
        let token = self.next_token;
        self.next_token += 1;
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.poll, &socket, data, epoll::EventFlags::IN)?;
        self.tokens.insert(token, listener.bind);
        self.running.insert(listener.bind, Running { listener, socket, token });
        Ok(())
    }

    fn close(&mut self, which: impl Fn(&Listener) -> bool) {
        let Self { running, tokens, handout, poll, .. } = self;
        running.retain(|_, running| {
            let close = which(&running.listener);
            if close {
                tokens.remove(&running.token);
                // Clients whose connections the kernel has completed are not turned away.
                while accept_one(running, handout).is_ok() {}
                // A copy of the socket in another process would keep it in the set.
                if let Err(error) = epoll::delete(poll.as_fd(), &running.socket) {
                    tracing::warn!(address = %running.listener.bind, %error, "listener not forgotten");
                }
            }
            !close
        });
    }

    fn accept_burst(&self, token: u64) {
        let Some(running) = self.tokens.get(&token).and_then(|bind| self.running.get(bind)) else {
            return;
        };
        for _ in 0..BURST {
            match accept_one(running, &self.handout) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    tracing::warn!(address = %running.listener.bind, %error, "cannot accept");
                    thread::sleep(EXHAUSTED);
                    return;
                }
            }
        }
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

fn accept_one(running: &Running, handout: &Handout) -> io::Result<()> {
    let (stream, remote) = accept(&running.socket)?;
    let listener = &running.listener;
    let local = match listener.capture {
        Capture::Address(_) => Ok(listener.bind),
        Capture::Own | Capture::Redirected | Capture::Transparent => stream.local_addr(),
    };
    let original = listener.capture.original_destination(&stream);
    // Neither can be asked for once the client has gone again.
    let (Ok(local), Ok(original_destination)) = (local, original) else { return Ok(()) };
    // Beyond the limit the socket is closed, which `give` counts.
    let _ = handout.give(|slot| Accepted {
        stream,
        remote,
        local,
        original_destination,
        direction: listener.direction,
        at: Instant::now(),
        slot,
    });
    Ok(())
}
