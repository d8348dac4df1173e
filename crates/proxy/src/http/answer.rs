//! The body of an answer on its way to the client.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::client::Lease;
use super::exchange::{Incoming, StreamError};
use super::ongoing::Ongoing;
use super::timeout::Deadline;
use super::upload::Source;
use crate::telemetry::Reason;

/// The body of an answer: our own, or one that streams from an endpoint.
#[derive(Debug)]
pub struct Answer(Kind);

#[derive(Debug)]
enum Kind {
    Fixed(Bytes),
    Relayed(Box<Relayed>),
    /// The client is gone.
    Nobody,
}

/// A response's body that streams through, and what must be done when it ends.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) body: Incoming,
    pub(super) source: Rc<Source>,
    pub(super) lease: Option<Lease>,
    /// For the whole exchange, to the end of the body.
    pub(super) deadline: Option<Deadline>,
    pub(super) ongoing: Option<Ongoing>,
    pub(super) broken: Option<Broken>,
}

/// A body that broke off: what came before is written before the client is cut off, which makes a codec
/// forget what it still holds.
pub(super) struct Broken {
    error: StreamError,
    written: Pin<Box<dyn Future<Output = ()>>>,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Broken {
    /// The codec writes when the body has nothing more to give, in the turn of its connection.
    fn new(error: StreamError) -> Self {
        Self { error, written: Box::pin(tokio::task::yield_now()) }
    }
}

impl Answer {
    /// A body that is there already.
    pub(super) fn fixed(body: Bytes) -> Self {
        Self(Kind::Fixed(body))
    }

    /// No answer at all: the exchange ends with its connection or its stream.
    pub(super) fn nobody() -> Self {
        Self(Kind::Nobody)
    }

    /// A body that streams from an endpoint.
    pub(super) fn relayed(mut relayed: Relayed) -> Self {
        if relayed.body.is_empty() {
            relayed.complete();
            return Self::fixed(Bytes::new());
        }
        Self(Kind::Relayed(Box::new(relayed)))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.get_mut().0 {
            Kind::Fixed(body) if body.is_empty() => Poll::Ready(None),
            Kind::Fixed(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Kind::Relayed(relayed) => relayed.poll_frame(cx),
            Kind::Nobody => Poll::Ready(Some(Err(StreamError::Abandoned))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Fixed(body) => body.is_empty(),
            Kind::Relayed(relayed) => relayed.ongoing.is_none() && relayed.broken.is_none(),
            Kind::Nobody => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Fixed(body) => SizeHint::with_exact(body.len() as u64),
            Kind::Relayed(_) | Kind::Nobody => SizeHint::default(),
        }
    }
}

impl Relayed {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(broken) = &mut self.broken {
            ready!(broken.written.as_mut().poll(cx));
            return Poll::Ready(Some(Err(broken.error)));
        }
        let Some(ongoing) = &mut self.ongoing else { return Poll::Ready(None) };
        if let Some(deadline) = &mut self.deadline
            && deadline.poll(cx).is_ready()
        {
            return self.fail(StreamError::TimedOut, cx);
        }
        match ready!(self.body.poll_frame(cx)) {
            None => {
                self.complete();
                Poll::Ready(None)
            }
            Some(Err(error)) => self.fail(error, cx),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    ongoing.bytes_sent += data.len() as u64;
                    if ongoing.grpc {
                        ongoing.response_messages.observe(data);
                    }
                    if self.body.is_end_stream() {
                        self.complete();
                    }
                } else if let Some(trailers) = frame.trailers_ref() {
                    ongoing.observe_grpc_status(trailers);
                    ongoing.captured.trailers(trailers);
                    self.complete();
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    /// Everything has come: the connection may carry the next exchange, if it has also taken all
    /// of the request.
    fn complete(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.source.ended()
        {
            lease.release();
        }
        if let Some(ongoing) = self.ongoing.take() {
            ongoing.finish();
        }
    }

    fn fail(
        &mut self,
        error: StreamError,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.lease = None;
        if let Some(mut ongoing) = self.ongoing.take() {
            ongoing.fail(match error {
                StreamError::TimedOut => Reason::TimedOutMidway,
                StreamError::Reset(_) => Reason::UpstreamResetMidway,
                // An HTTP/1 message says where it ends: ending before that breaks its rules.
                StreamError::Lost if matches!(self.body, Incoming::Http1(_)) => {
                    Reason::UpstreamTruncated
                }
                StreamError::Protocol | StreamError::Lost | StreamError::Abandoned => {
                    Reason::UpstreamClosedMidway
                }
            });
            if let Some(in_flight) = &ongoing.in_flight {
                in_flight.cell().failed();
            }
            ongoing.finish();
        }
        self.broken = Some(Broken::new(error));
        self.poll_frame(cx)
    }
}
