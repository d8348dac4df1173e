//! Who gets what: the one thread that owns the compiler and the state of every connection.
//!
//! Everything that changes what a client should have comes in as a [`Command`], in order: a batch
//! of changed objects, a stream that opens, a subscription, an answer. Commands that are there
//! already are handled before anything is sent, so that under a storm batches grow by themselves,
//! while a change that comes alone goes out at once. A cut is made from one state of the compiler,
//! for each connection whose client has answered the last one.
//!
//! - [`topics`]: which connections want which resource.
//! - [`view`]: what one client wants, what it has, and the difference.
//! - [`distributor`]: the state, and what each command does to it.
//! - [`connection`], [`delivery`]: one client's stream, and cuts on their way to it.
//! - [`envoy`]: the same for Envoys, who get resources of their own kinds instead of cuts.
//! - [`admission`]: who is served as which workload.
//! - [`inventory`]: what the control plane itself reads from the objects.

mod admission;
mod connection;
mod delivery;
mod distributor;
mod envoy;
mod inventory;
mod topics;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use lateen_api::{Diagnostic, ObjectRef};
use lateen_compiler::{Change, Compiler};
use lateen_envoy::Kind;
use lateen_xds::server::{Event, Outlet};
use tokio::sync::{mpsc, oneshot, watch};
use tonic::Status;

use crate::{metrics::Metrics, node::NodeId, status::ProxyStatus};
pub(crate) use admission::Caller;
use distributor::Distributor;
pub(crate) use envoy::{Beside, Request};

/// Numbers a stream, for as long as the control plane runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// Objects that changed together.
#[derive(Debug)]
pub(crate) struct Intake {
    /// What changed.
    pub(crate) changes: Vec<Change>,
    /// All that there is to say about what was read, now.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// When it was noticed.
    pub(crate) at: Instant,
}

/// A stream that wants to be served.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Who it is.
    pub(crate) caller: Caller,
    /// Which workload it says it is.
    pub(crate) node: NodeId,
    /// The program that it runs, as it says.
    pub(crate) version: String,
    /// What it asks for first.
    pub(crate) wants: Wants,
    /// Where its responses go.
    pub(crate) outlet: Outlet,
}

/// How much of its scope a native stream takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CutsOf {
    /// The directory at once, the routes of hosts as they are asked for.
    Scope,
    /// All of it at once.
    WholeScope,
    /// Only what its workload is: settings, inbound side and a gateway's listeners, without what these
    /// name. For an agent, which stands beside its proxy and is none.
    Workload,
}

/// What a stream asks for first.
#[derive(Debug)]
pub(crate) enum Wants {
    /// The native stream's cuts.
    Cuts {
        /// How much of its scope it takes.
        of: CutsOf,
        /// What it subscribes to.
        subscribe: Vec<String>,
        /// What it has: name and version.
        known: Vec<(String, String)>,
    },
    /// Resources of Envoy's kinds.
    Kinds {
        /// The first one.
        kind: Kind,
        /// What it asks of that one.
        request: Request,
        /// What stands beside Envoy.
        beside: Beside,
    },
}

/// What the distribution hears.
#[derive(Debug)]
pub(crate) enum Command {
    /// Objects changed.
    Objects(Intake),
    /// A client asks to be served; answered with its lease, or the refusal.
    Open(Box<Candidate>, oneshot::Sender<Result<Lease, Status>>),
    /// A client said something.
    Heard(ConnectionId, Event),
    /// A stream ended.
    Closed(ConnectionId),
    /// What does each connected proxy run on?
    Status(oneshot::Sender<Vec<ProxyStatus>>),
    /// What is there to say about the objects, alone and as they work together?
    Diagnostics(oneshot::Sender<Vec<Diagnostic>>),
    /// What else than before is there to say about the objects, alone and as they work together? At most
    /// so many are looked at; and, if asked for, whom they select.
    Find {
        /// How many objects are looked at.
        most: usize,
        /// Whether it is looked at whom selectors select.
        selections: bool,
        /// For the answer.
        answer: oneshot::Sender<Found>,
    },
    /// Nobody wants to know that any more.
    StopFinding,
    /// Every stream ends; the clients come back to whoever serves then.
    Stop,
}

/// What else than before there is to say.
#[derive(Debug)]
pub(crate) struct Found {
    /// About objects as they work together; all that there is to say of each.
    pub(crate) changed: Vec<(ObjectRef, Vec<Diagnostic>)>,
    /// About each object alone, once lowered: all there is, where it changed.
    pub(crate) lowered: Option<BTreeMap<ObjectRef, Vec<Diagnostic>>>,
    /// There are more objects to be looked at.
    pub(crate) is_more: bool,
}

/// Service accounts, by namespace and name of the workloads.
pub(crate) type Accounts = BTreeMap<(String, String), String>;

/// The facts of the mesh that other parts of the control plane follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The service account of every workload.
    pub(crate) accounts: Arc<Accounts>,
    /// The trust domain, then its aliases.
    pub(crate) trust_domains: Arc<[String]>,
    /// The objects were read at least once.
    pub(crate) is_loaded: bool,
}

/// A connection that is served for as long as this lives: wherever it is dropped, be it on its way
/// to a client that is gone already, the connection ends.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: ConnectionId,
    commands: mpsc::Sender<Command>,
}

impl Lease {
    /// The connection's number.
    pub(crate) fn connection(&self) -> ConnectionId {
        self.connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        tell_later(&self.commands, Command::Closed(self.connection));
    }
}

/// Hands a command over from where nothing can wait: one that finds no room goes by a task.
fn tell_later(commands: &mpsc::Sender<Command>, command: Command) {
    if let Err(mpsc::error::TrySendError::Full(command)) = commands.try_send(command) {
        let commands = commands.clone();
        // Without a runtime the control plane is gone, and its thread with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { commands.send(command).await });
        }
    }
}

/// A handle of the thread; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    commands: mpsc::Sender<Command>,
    facts: watch::Receiver<Facts>,
}

/// Commands that wait for the thread; whoever sends more waits itself.
const QUEUE: usize = 1024;

impl Distribution {
    /// Starts the thread. It ends after [`Command::Stop`], or when every handle is dropped.
    pub(crate) fn start(
        compiler: Compiler,
        chunk_bytes: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (publisher, facts) = watch::channel(Facts {
            accounts: Arc::default(),
            trust_domains: Arc::new([inventory::DEFAULT_TRUST_DOMAIN.to_owned()]),
            is_loaded: false,
        });
        let leases = commands.downgrade();
        let distributor = Distributor::new(compiler, chunk_bytes, metrics, publisher, leases);
        let thread = std::thread::Builder::new()
            .name("distribution".to_owned())
            .spawn(move || distributor.run(receiver))?;
        Ok((Self { commands, facts }, thread))
    }

    /// Hands a command over; waits while the queue is full. `false`: the control plane is
    /// stopping, and nobody will hear it.
    pub(crate) async fn tell(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Ends every stream, and the thread; from where nothing can wait.
    pub(crate) fn stop(&self) {
        tell_later(&self.commands, Command::Stop);
    }

    /// Asks something; `None` when the control plane is stopping.
    pub(crate) async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        self.commands.send(question(sender)).await.ok()?;
        answer.await.ok()
    }

    /// Comes back when the thread has ended.
    pub(crate) async fn ended(&self) {
        self.commands.closed().await;
    }

    /// Whether the thread runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.commands.is_closed()
    }

    /// The facts as they are, and as they change.
    pub(crate) fn facts(&self) -> watch::Receiver<Facts> {
        self.facts.clone()
    }
}
