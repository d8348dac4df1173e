//! The side of an exchange that goes to an endpoint: connections, and how they are shared.

mod http1;
mod http2;
mod pool;

use std::net::SocketAddr;
use std::rc::Rc;

use http::{Request, Response, request};

pub use pool::Pools;
pub(super) use pool::{LaneKey, Lease};

use super::exchange::{Incoming, StreamError};
use super::upload::{Gate, Upload};
use crate::cell::Connected;

/// What is known of a connection to an endpoint.
#[derive(Debug)]
pub(super) struct Link {
    /// The address that was dialled, for TCP.
    pub(super) remote: Option<SocketAddr>,
    /// Our own address, for TCP.
    pub(super) local: Option<SocketAddr>,
    /// The identity that the endpoint proved.
    pub(super) peer_principal: Option<Box<str>>,
    /// The identity that we proved to it.
    pub(super) local_principal: Option<Rc<str>>,
    /// The scheme that the endpoint sees: `https` where it terminates TLS that is not the mesh's.
    pub(super) scheme: &'static str,
    /// The peer is one of us: HTTP/2 between us carries requests of either version.
    pub(super) native: bool,
    /// Counts the connection at its endpoint as long as it is open.
    _connected: Connected,
}

/// Why there is no response head.
#[derive(Debug)]
pub(super) enum SendError {
    /// Nothing of the request was written: the connection had ended before. The head comes back
    /// where the codec could return it.
    NotSent(Option<Box<request::Parts>>),
    /// The endpoint said that it did not look at the request.
    Refused,
    /// The response head exceeds the limits.
    HeadersTooLarge,
    /// The connection or the stream ended.
    Failed(StreamError),
}

impl Lease {
    /// Whether the connection was there before, so that it may have ended meanwhile.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1 { reused, .. } => *reused,
            Self::Http2 { .. } => true,
        }
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
        gate: Option<&Gate>,
    ) -> Result<Response<Incoming>, SendError> {
        match self {
            Self::Http1 { connection, .. } => connection.send(request).await,
            Self::Http2 { connection, stream } => connection.send(stream, request, gate).await,
        }
    }
}

/// Ends a task when it is dropped.
#[derive(Debug)]
struct AbortOnDrop(tokio::task::AbortHandle);

impl AbortOnDrop {
    fn new<T>(task: &tokio::task::JoinHandle<T>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
