//! A request's body on its way to the endpoint, and what of it is kept for another attempt.
//!
//! The rule: an attempt may be followed by another one as long as the body has not begun to be
//! read, or everything that was read of it is still kept. Up to [`REPLAY_LIMIT`] bytes are kept,
//! and only where the route retries at all; a body that grows beyond it is sent once.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

use super::exchange::{Incoming, StreamError};
use crate::telemetry::MessageCounter;

/// Bytes of a request's body that are kept for another attempt: Envoy's default limit.
pub const REPLAY_LIMIT: usize = 1024 * 1024;

/// A request's body, shared by the attempts to deliver it.
#[derive(Debug)]
pub(super) struct Source {
    state: RefCell<State>,
    received: Cell<u64>,
    /// Counts the messages of a gRPC request.
    messages: Option<RefCell<MessageCounter>>,
    completed: Cell<Option<Instant>>,
    /// Waits for the end of the request.
    waiter: RefCell<Option<Waker>>,
    failed: Cell<Option<StreamError>>,
    /// Which attempt may read.
    attempt: Cell<u32>,
    /// From the `content-length` header.
    length: Option<u64>,
}

#[derive(Debug)]
struct State {
    body: Incoming,
    /// What was read so far; `None` when it is not kept (any more).
    kept: Option<Kept>,
    ended: bool,
    begun: bool,
}

#[derive(Debug, Default)]
struct Kept {
    data: SmallVec<[Bytes; 4]>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

impl Source {
    /// `length`: what the request says about the length of its body.
    /// `began`: when the head had come, which completes a request without a body.
    pub(super) fn new(body: Incoming, length: Option<u64>, grpc: bool, began: Instant) -> Rc<Self> {
        let ended = body.is_empty();
        Rc::new(Self {
            completed: Cell::new(ended.then_some(began)),
            waiter: RefCell::default(),
            received: Cell::new(0),
            messages: grpc.then(RefCell::default),
            failed: Cell::new(None),
            attempt: Cell::new(0),
            length,
            state: RefCell::new(State { body, kept: None, ended, begun: false }),
        })
    }

    /// Keeps what is read from now on, for another attempt.
    pub(super) fn keep(&self) {
        let mut state = self.state.borrow_mut();
        if !state.begun && !state.ended {
            state.kept = Some(Kept::default());
        }
    }

    /// Bytes of the body that have been received.
    pub(super) fn received(&self) -> u64 {
        self.received.get()
    }

    /// gRPC messages that have been received.
    pub(super) fn messages(&self) -> u64 {
        self.messages.as_ref().map_or(0, |messages| messages.borrow().messages())
    }

    /// When the request had been received completely; `None` before.
    pub(super) fn completed(&self) -> Option<Instant> {
        self.completed.get()
    }

    /// Waits for the end of the request. For one waiter at a time.
    pub(super) fn poll_completed(&self, cx: &Context<'_>) -> Poll<Instant> {
        match self.completed.get() {
            Some(at) => Poll::Ready(at),
            None => {
                *self.waiter.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether everything has been received.
    pub(super) fn ended(&self) -> bool {
        self.state.borrow().ended
    }

    /// How receiving it failed, if it did.
    pub(super) fn failed(&self) -> Option<StreamError> {
        self.failed.get()
    }

    /// Whether another attempt could send the body from its beginning.
    pub(super) fn replayable(&self) -> bool {
        let state = self.state.borrow();
        self.failed.get().is_none() && (!state.begun || state.kept.is_some())
    }

    /// The body for the next attempt; those of former ones are at their end.
    pub(super) fn upload(self: &Rc<Self>, gate: Option<Arc<Gate>>) -> Upload {
        self.attempt.set(self.attempt.get() + 1);
        let empty = {
            let state = self.state.borrow();
            state.ended && !state.begun
        };
        Upload {
            source: (!empty).then(|| Rc::clone(self)),
            attempt: self.attempt.get(),
            next: 0,
            trailers_sent: false,
            gate,
        }
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.ended {
            return Poll::Ready(None);
        }
        state.begun = true;
        let polled = std::task::ready!(state.body.poll_frame(cx));
        let frame = match polled {
            None => {
                self.end(state);
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                self.failed.set(Some(error));
                return Poll::Ready(Some(Err(error)));
            }
            Some(Ok(frame)) => frame,
        };
        if let Some(data) = frame.data_ref() {
            self.received.set(self.received.get() + data.len() as u64);
            if let Some(messages) = &self.messages {
                messages.borrow_mut().observe(data);
            }
            state.keep(data);
            if state.body.is_end_stream() {
                self.end(state);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            if let Some(kept) = &mut state.kept {
                kept.trailers = Some(trailers.clone());
            }
            self.end(state);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn end(&self, state: &mut State) {
        state.ended = true;
        self.completed.set(Some(Instant::now()));
        if let Some(waiter) = self.waiter.borrow_mut().take() {
            waiter.wake();
        }
    }
}

impl State {
    fn keep(&mut self, data: &Bytes) {
        let Some(kept) = &mut self.kept else { return };
        kept.bytes += data.len();
        if kept.bytes > REPLAY_LIMIT {
            self.kept = None;
        } else {
            kept.data.push(data.clone());
        }
    }
}

/// The body of one attempt.
#[derive(Debug)]
pub(super) struct Upload {
    source: Option<Rc<Source>>,
    attempt: u32,
    /// How many of the kept pieces have been sent.
    next: usize,
    trailers_sent: bool,
    gate: Option<Arc<Gate>>,
}

impl Upload {
    /// Whether there is no body at all.
    pub(super) fn is_empty(&self) -> bool {
        self.source.is_none()
    }

    /// What was kept and not sent yet in this attempt.
    fn replay(&mut self, source: &Source) -> Option<Frame<Bytes>> {
        let state = source.state.borrow();
        let kept = state.kept.as_ref()?;
        if let Some(data) = kept.data.get(self.next) {
            self.next += 1;
            return Some(Frame::data(data.clone()));
        }
        if self.trailers_sent {
            return None;
        }
        let trailers = kept.trailers.clone()?;
        self.trailers_sent = true;
        Some(Frame::trailers(trailers))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        let Some(source) = this.source.clone() else { return Poll::Ready(None) };
        if source.attempt.get() != this.attempt {
            return Poll::Ready(Some(Err(StreamError::Abandoned)));
        }
        if let Some(gate) = &this.gate {
            if !gate.poll_open(cx) {
                return Poll::Pending;
            }
            this.gate = None;
        }
        if let Some(frame) = this.replay(&source) {
            return Poll::Ready(Some(Ok(frame)));
        }
        let polled = source.poll_next(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            // What was read just now is the last piece that was kept.
            this.next += usize::from(frame.is_data());
            this.trailers_sent |= frame.is_trailers();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            None => SizeHint::with_exact(0),
            Some(source) => source.length.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

/// Holds a body back until the endpoint asks for it (`Expect: 100-continue`).
///
/// Atomic only because hyper asks its callbacks to be; both sides run on one thread.
#[derive(Debug, Default)]
pub(super) struct Gate {
    open: AtomicBool,
    waker: AtomicWaker,
}

impl Gate {
    /// Lets the body through.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
        self.waker.wake();
    }

    fn poll_open(&self, cx: &Context<'_>) -> bool {
        if self.open.load(Ordering::Relaxed) {
            return true;
        }
        self.waker.register(cx.waker());
        self.open.load(Ordering::Relaxed)
    }
}
