//! HTTP/1.1 towards an endpoint, by hyper.

use std::future::poll_fn;
use std::rc::Rc;

use http::{Request, Response};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{AbortOnDrop, Link, SendError};
use crate::connection::ClientIo;
use crate::http::exchange::{Incoming, StreamError};
use crate::http::upload::Upload;
use crate::settings::Limits;

/// A connection that carries one exchange at a time.
#[derive(Debug)]
pub(in crate::http) struct Http1 {
    sender: http1::SendRequest<Upload>,
    pub(super) link: Rc<Link>,
    /// Dropping the connection in the middle of an exchange closes its socket.
    _driver: AbortOnDrop,
}

impl Http1 {
    pub(super) async fn new(
        io: ClientIo,
        link: Rc<Link>,
        limits: &Limits,
    ) -> Result<Self, StreamError> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits.header_count)
            .max_header_size(limits.header_bytes)
            .handshake::<_, Upload>(TokioIo::new(io))
            .await?;
        let driver = tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream HTTP/1 connection ended");
            }
        });
        Ok(Self { sender, link, _driver: AbortOnDrop::new(&driver) })
    }

    /// Whether it certainly cannot carry another exchange.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the former exchange is cleared away; false: it cannot be used any more.
    pub(super) async fn ready(&mut self) -> bool {
        poll_fn(|cx| self.sender.poll_ready(cx)).await.is_ok()
    }

    /// Sends a request and waits for the head of its response.
    pub(in crate::http) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, SendError> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(Incoming::http1)),
            Err(mut failed) => match failed.take_message() {
                Some(request) => Err(SendError::NotSent(Some(Box::new(request.into_parts().0)))),
                None => Err(classify(&failed.into_error())),
            },
        }
    }
}

fn classify(error: &hyper::Error) -> SendError {
    if error.is_parse_too_large() {
        SendError::HeadersTooLarge
    } else if error.is_parse() {
        SendError::Failed(StreamError::Protocol)
    } else if error.is_canceled() {
        // The connection's task ended between taking the request and writing it.
        SendError::NotSent(None)
    } else {
        SendError::Failed(StreamError::Lost)
    }
}
