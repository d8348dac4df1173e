//! The seam between the path of a request and the codecs.
//!
//! An exchange is a request head with a body that streams in, answered by a response head with a
//! body that streams out; either body may end with trailers or by a reset. Bodies are pulled: who
//! consumes a body polls it, so that back-pressure needs no buffer in between. A codec is replaced
//! by giving [`Incoming`] another variant and polling an [`crate::http::answer::Answer`].

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame};

/// The sending half of an HTTP/2 exchange, shared with a body that must announce itself first.
pub(super) type SharedRespond = Rc<RefCell<h2::server::SendResponse<Bytes>>>;

/// The body of a request or response while it comes in.
#[derive(Debug, Default)]
pub enum Incoming {
    /// There is none.
    #[default]
    Empty,
    /// Read by hyper.
    Http1(hyper::body::Incoming),
    /// Read by h2.
    Http2(Http2Body),
}

/// A body that arrives on an HTTP/2 stream.
#[derive(Debug)]
pub struct Http2Body {
    stream: h2::RecvStream,
    /// The client waits for `100 Continue`: it is sent when the body is first asked for, which is
    /// what hyper does for HTTP/1.
    announce: Option<SharedRespond>,
}

/// How a stream came to its end before it was complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The other side reset it.
    #[error("stream reset: {0}")]
    Reset(h2::Reason),
    /// The connection ended.
    #[error("connection ended in the middle of a message")]
    Lost,
    /// The other side broke the protocol.
    #[error("protocol error")]
    Protocol,
    /// The time for the exchange is up.
    #[error("timed out")]
    TimedOut,
    /// We gave it up: the other half of the exchange failed, or a later attempt took over.
    #[error("given up")]
    Abandoned,
}

impl StreamError {
    /// The code with which the failure goes on to the next HTTP/2 peer.
    #[must_use]
    pub fn reset_code(self) -> h2::Reason {
        match self {
            Self::Reset(reason) if reason != h2::Reason::NO_ERROR => reason,
            Self::TimedOut | Self::Abandoned => h2::Reason::CANCEL,
            Self::Reset(_) | Self::Lost | Self::Protocol => h2::Reason::INTERNAL_ERROR,
        }
    }
}

impl From<h2::Error> for StreamError {
    fn from(error: h2::Error) -> Self {
        match error.reason() {
            Some(reason) if error.is_reset() => Self::Reset(reason),
            Some(_) if error.is_go_away() && error.is_library() => Self::Protocol,
            _ if error.is_io() || error.is_go_away() => Self::Lost,
            _ => Self::Protocol,
        }
    }
}

impl From<hyper::Error> for StreamError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() { Self::Protocol } else { Self::Lost }
    }
}

impl Incoming {
    /// The body of an HTTP/1 message.
    #[must_use]
    pub fn http1(body: hyper::body::Incoming) -> Self {
        if body.is_end_stream() { Self::Empty } else { Self::Http1(body) }
    }

    /// The body of an HTTP/2 message.
    #[must_use]
    pub fn http2(stream: h2::RecvStream) -> Self {
        if stream.is_end_stream() {
            Self::Empty
        } else {
            Self::Http2(Http2Body { stream, announce: None })
        }
    }

    /// The body of an HTTP/2 request whose sender waits for `100 Continue`.
    pub(super) fn http2_announced(stream: h2::RecvStream, respond: SharedRespond) -> Self {
        Self::Http2(Http2Body { stream, announce: Some(respond) })
    }

    /// Whether there is no body, known without asking for it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The next piece: data or, last, trailers.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|it| it.map_err(Into::into)))
            }
            Self::Http2(body) => body.poll_frame(cx),
        }
    }

    /// Whether everything has been read. May be false although the next poll gives nothing.
    #[must_use]
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.stream.is_end_stream(),
        }
    }
}

impl Http2Body {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if let Some(respond) = self.announce.take() {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            // Refused only when the final answer is out already; then nobody waits any more.
            let _ = respond.borrow_mut().send_informational(interim);
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // The window reopens as the data is handed on: whoever polls sets the pace.
                let _ = self.stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                let trailers: Option<HeaderMap> = ready!(self.stream.poll_trailers(cx))?;
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }
}
