//! What a control plane implements, and what it is given.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use tokio::sync::mpsc;
use tonic::{Status, metadata::MetadataMap};

use crate::{Resource, wire::Node};

/// Types of resources on one stream: Envoy has about ten, anything beyond is no client of ours.
pub(super) const MAX_TYPES: usize = 32;

/// Updates that wait for the driver to take them, one for each of the types that a session sends at
/// the same time; further ones wait with the caller.
const WAITING: usize = 8;

/// Decides which streams are taken.
pub trait Handler: Send + Sync + 'static {
    /// What is kept for a stream.
    type Session: Session;

    /// A client has said who it is and what it wants. The stream is taken, or refused with the
    /// status: its message is what the client logs, so it should say what to do.
    fn open(&self, opening: Opening) -> impl Future<Output = Result<Self::Session, Status>> + Send;
}

/// One accepted stream. Dropped when the stream has ended, whoever ended it.
pub trait Session: Send + 'static {
    /// The client said something; in order, one at a time. An error ends the stream.
    fn handle(&mut self, event: Event) -> impl Future<Output = Result<(), Status>> + Send;
}

/// The first message of a stream, and what came with it.
#[derive(Debug)]
pub struct Opening {
    /// Who the client says it is. Its `id` is not empty.
    pub node: Node,
    /// The type that the first message asks for.
    pub type_url: Arc<str>,
    /// Names subscribed to.
    pub subscribe: Vec<String>,
    /// Name to version of what the client has already.
    pub known: BTreeMap<String, String>,
    /// Headers of the call (`authorization`).
    pub metadata: MetadataMap,
    /// What the connection says of the peer, put there by whoever accepted it.
    pub extensions: http::Extensions,
    /// Where updates go to.
    pub outlet: Outlet,
}

/// What a client says after its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Its subscriptions of a type changed.
    Subscriptions {
        /// Type URL.
        type_url: Arc<str>,
        /// Names subscribed to.
        subscribe: Vec<String>,
        /// Names given back.
        unsubscribe: Vec<String>,
        /// Name to version of what the client has; only in its first message of a type.
        known: BTreeMap<String, String>,
    },
    /// The update in flight was accepted.
    Acknowledged {
        /// Type URL.
        type_url: Arc<str>,
        /// [`Update::tag`] of the update.
        tag: u64,
    },
    /// The update in flight was refused; the client stays with what it had.
    Rejected {
        /// Type URL.
        type_url: Arc<str>,
        /// [`Update::tag`] of the update.
        tag: u64,
        /// What the client says of it.
        reason: String,
    },
}

/// The content of one response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Type URL.
    pub type_url: Arc<str>,
    /// Resources that came or changed.
    pub resources: Vec<Resource>,
    /// Names that went, or do not exist.
    pub removed: Vec<Arc<str>>,
    /// For people who look at the stream.
    pub system_version: Arc<str>,
    /// Given back with the client's answer.
    pub tag: u64,
}

/// The stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream has ended")]
pub struct OutletClosed;

/// Where a session's updates go to. Cloning gives another handle of the same stream; the stream
/// ends when all are dropped.
#[derive(Debug, Clone)]
pub struct Outlet {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
pub(super) enum Command {
    /// In a box: a channel keeps room for many commands, and every stream has one.
    Send(Box<Update>),
    Close(Status),
}

impl Outlet {
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(WAITING);
        (Self { commands }, receiver)
    }

    /// Hands over an update; waits while another one of its type waits for an answer to the one
    /// before.
    ///
    /// # Errors
    /// When the stream has ended.
    pub async fn send(&self, update: Update) -> Result<(), OutletClosed> {
        self.commands.send(Command::Send(Box::new(update))).await.map_err(|_| OutletClosed)
    }

    /// Like [`Outlet::send`], but gives the update back where it would have to wait. A session that
    /// hands over the next update of a type only after the answer to the last one never meets that.
    ///
    /// # Errors
    /// The update, when the stream has ended or too many wait.
    pub fn try_send(&self, update: Update) -> Result<(), Box<Update>> {
        let command = Command::Send(Box::new(update));
        self.commands.try_send(command).map_err(|error| match error.into_inner() {
            Command::Send(update) => update,
            Command::Close(_) => unreachable!("invariant: what was given is what comes back"),
        })
    }

    /// Ends the stream with a status, after what was handed over before.
    pub async fn close(&self, status: Status) {
        if self.commands.send(Command::Close(status)).await.is_err() {
            tracing::debug!("a stream had ended before it was closed");
        }
    }
}
