//! HTTP/2 towards an endpoint, by h2.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use http::{Request, Response, StatusCode};

use super::{AbortOnDrop, Link, SendError};
use crate::connection::ClientIo;
use crate::http::exchange::{Incoming, StreamError};
use crate::http::pump::pump;
use crate::http::upload::{Gate, Upload};
use crate::settings::Limits;

/// What one response may have in flight unread.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What all responses of a connection together may.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What one request body may have waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// A connection that carries many exchanges at a time.
#[derive(Debug)]
pub(in crate::http) struct Http2 {
    sender: SendRequest<Bytes>,
    pub(super) link: Rc<Link>,
    state: Rc<State>,
    _driver: AbortOnDrop,
}

#[derive(Debug)]
struct State {
    closed: Cell<bool>,
    streams: Cell<usize>,
    idle_since: Cell<Option<Instant>>,
}

/// One stream of a connection, counted until it is dropped.
#[derive(Debug)]
pub(in crate::http) struct Stream {
    state: Rc<State>,
    /// Sends the request's body; a response that ends first ends it.
    _upload: Option<AbortOnDrop>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let left = self.state.streams.get() - 1;
        self.state.streams.set(left);
        if left == 0 {
            self.state.idle_since.set(Some(Instant::now()));
        }
    }
}

impl Http2 {
    pub(super) async fn new(
        io: ClientIo,
        link: Rc<Link>,
        limits: &Limits,
    ) -> Result<Self, StreamError> {
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .handshake(io)
            .await?;
        let state = Rc::new(State {
            closed: Cell::new(false),
            streams: Cell::new(0),
            idle_since: Cell::new(Some(Instant::now())),
        });
        let shared = Rc::clone(&state);
        let driver = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream HTTP/2 connection ended");
            }
            shared.closed.set(true);
        });
        Ok(Self { sender, link, state, _driver: AbortOnDrop::new(&driver) })
    }

    /// Whether it takes no more exchanges: it ended, or the peer said GOAWAY.
    pub(super) fn is_closed(&self) -> bool {
        self.state.closed.get()
    }

    /// Whether it could take one more exchange at once.
    pub(super) fn has_room(&self) -> bool {
        !self.is_closed() && self.state.streams.get() < self.sender.current_max_send_streams()
    }

    /// Since when it carries nothing.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.state.idle_since.get()
    }

    /// Counts an exchange that is about to be sent.
    pub(super) fn enter(&self) -> Stream {
        self.state.streams.set(self.state.streams.get() + 1);
        self.state.idle_since.set(None);
        Stream { state: Rc::clone(&self.state), _upload: None }
    }

    /// Sends a request and waits for the head of its response. `gate` is opened when the endpoint
    /// asks for the body.
    pub(in crate::http) async fn send(
        &self,
        stream: &mut Stream,
        request: Request<Upload>,
        gate: Option<&Gate>,
    ) -> Result<Response<Incoming>, SendError> {
        let (head, body) = request.into_parts();
        let Ok(mut sender) = self.sender.clone().ready().await else {
            return Err(self.not_sent(head));
        };
        let end = body.is_empty();
        let (mut response, mut send) = match sender.send_request(Request::from_parts(head, ()), end)
        {
            Ok(sent) => sent,
            Err(error) => {
                tracing::debug!(%error, "request could not be sent over HTTP/2");
                self.state.closed.set(true);
                return Err(SendError::NotSent(None));
            }
        };
        if !end {
            let upload = tokio::task::spawn_local(async move {
                let mut body = body;
                if let Err(error) = pump(Pin::new(&mut body), &mut send).await {
                    tracing::debug!(%error, "request body ended early");
                    send.send_reset(h2::Reason::CANCEL);
                }
            });
            stream._upload = Some(AbortOnDrop::new(&upload));
        }
        if let Some(gate) = gate {
            open_when_asked(&mut response, gate).await;
        }
        match response.await {
            Ok(response) => Ok(response.map(Incoming::http2)),
            Err(error) => Err(self.classify(error)),
        }
    }

    fn not_sent(&self, head: http::request::Parts) -> SendError {
        self.state.closed.set(true);
        SendError::NotSent(Some(Box::new(head)))
    }

    fn classify(&self, error: h2::Error) -> SendError {
        if error.is_go_away() || error.is_io() {
            self.state.closed.set(true);
        }
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM) && error.is_reset()
            || error.is_go_away() && error.is_remote();
        if refused { SendError::Refused } else { SendError::Failed(error.into()) }
    }
}

/// Waits for interim responses until the body has been asked for or the final head is there.
async fn open_when_asked(response: &mut h2::client::ResponseFuture, gate: &Gate) {
    while let Some(Ok(interim)) = std::future::poll_fn(|cx| response.poll_informational(cx)).await {
        if interim.status() == StatusCode::CONTINUE {
            gate.open();
            return;
        }
    }
}
