//! Answers of the administrative endpoints.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde::Serialize;

/// An answer.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Plain text.
pub(super) fn text(status: StatusCode, body: String) -> Answer {
    answer(status, "text/plain; charset=utf-8", Full::new(body.into()).boxed_unsync())
}

/// What the application said.
pub(super) fn bytes(status: StatusCode, body: Bytes) -> Answer {
    answer(status, "text/plain; charset=utf-8", Full::new(body).boxed_unsync())
}

/// JSON, for people and for programs.
pub(super) fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(mut body) => {
            body.push(b'\n');
            answer(StatusCode::OK, "application/json", Full::new(body.into()).boxed_unsync())
        }
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

/// Text that is made while it is sent.
pub(super) fn pieces(
    content_type: &'static str,
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
) -> Answer {
    let frames = pieces.map(|piece| Ok(Frame::data(piece)));
    answer(StatusCode::OK, content_type, StreamBody::new(stream::iter(frames)).boxed_unsync())
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
