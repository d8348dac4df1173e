//! Answers that the proxy gives itself.

use std::borrow::Cow;
use std::fmt::Write;
use std::rc::Rc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use lateen_engine::Origin;

use crate::telemetry::reason::Reason;

use super::headers::{names, number};

/// Why a request is not (or no longer) sent anywhere.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    /// Instead of the reason's own status.
    pub(super) status: Option<u16>,
    /// Instead of the reason's own details in the access log.
    pub(super) details: Option<Cow<'static, str>>,
    /// Why the transport failed.
    pub(super) transport: Option<Rc<str>>,
    /// What decided.
    pub(super) origin: Option<Origin>,
}

impl Refusal {
    /// Nobody's decision but the proxy's.
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, status: None, details: None, transport: None, origin: None }
    }

    /// What the engine decided.
    pub(super) fn decided(refusal: &lateen_engine::Refusal<'_>) -> Self {
        Self {
            status: Some(refusal.status),
            origin: Some(refusal.origin.clone()),
            ..Self::new(refusal.reason.into())
        }
    }

    /// The status over HTTP.
    fn status(&self) -> StatusCode {
        self.status
            .or(self.reason.facts().status)
            .and_then(|status| StatusCode::from_u16(status).ok())
            .unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// The answer. `retried`: other attempts came before. To a gRPC request it is a response of
    /// headers only, with a `grpc-status` and the text as `grpc-message`.
    pub(super) fn answer(&self, grpc: bool, retried: bool) -> Response<Bytes> {
        let body = self.reason.body(retried);
        let mut response = text(self.status(), body, grpc);
        if self.reason == Reason::Overflow {
            response.headers_mut().insert(names::OVERLOADED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// A text answer, or what stands for it in gRPC.
pub(super) fn text(status: StatusCode, body: Cow<'static, str>, grpc: bool) -> Response<Bytes> {
    let body = match body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    };
    fixed(status, body, grpc)
}

/// An answer with this body, or what stands for it in gRPC.
pub(super) fn fixed(status: StatusCode, body: Bytes, grpc: bool) -> Response<Bytes> {
    let mut headers = HeaderMap::with_capacity(6);
    if grpc {
        let content_type = HeaderValue::from_static("application/grpc");
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(names::GRPC_STATUS, number(grpc_status(status).into()));
        if !body.is_empty()
            && let Ok(message) = HeaderValue::try_from(grpc_message(&body))
        {
            headers.insert(names::GRPC_MESSAGE, message);
        }
        return respond(StatusCode::OK, headers, Bytes::new());
    }
    if !body.is_empty() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        headers.insert(header::CONTENT_LENGTH, number(body.len() as u64));
    }
    respond(status, headers, body)
}

/// Applies what a route says of headers to an answer of our own, in Envoy's order: the answer has no
/// type and no length yet. Its own type is added where the route gives none, and an answer without a
/// body has none in any case.
pub(super) fn edit(response: &mut Response<Bytes>, change: impl FnOnce(&mut HeaderMap)) {
    let empty = response.body().is_empty();
    let headers = response.headers_mut();
    let own = headers.remove(header::CONTENT_TYPE);
    let fixed = [header::CONTENT_LENGTH, names::GRPC_STATUS, names::GRPC_MESSAGE]
        .map(|name| headers.remove(&name).map(|value| (name, value)));
    let grpc = fixed[1].is_some();
    change(headers);
    headers.remove(header::CONTENT_LENGTH);
    if (empty && !grpc) || own.is_none() {
        headers.remove(header::CONTENT_TYPE);
    }
    if let Some(own) = own
        && (grpc || !headers.contains_key(header::CONTENT_TYPE))
    {
        headers.insert(header::CONTENT_TYPE, own);
    }
    for (name, value) in fixed.into_iter().flatten() {
        headers.insert(name, value);
    }
}

fn respond(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// The gRPC status that stands for an HTTP status, as Envoy (and the gRPC specification) map it.
pub(super) fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// Percent-encoding of `grpc-message`.
fn grpc_message(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text {
        if matches!(byte, b' '..=b'~') && *byte != b'%' {
            encoded.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_answer_in_envoys_words() {
        let refusal = Refusal::new(Reason::NoHealthyUpstream);
        let response = refusal.answer(false, false);
        assert_eq!(response.status(), 503);
        assert_eq!(response.body(), "no healthy upstream");
        assert_eq!(response.headers()["content-type"], "text/plain");
        assert_eq!(response.headers()["content-length"], "19");
    }

    #[test]
    fn an_empty_answer_has_no_type() {
        let response = Refusal::new(Reason::NoRoute).answer(false, false);
        assert_eq!(response.status(), 404);
        assert!(response.body().is_empty() && response.headers().is_empty());
    }

    #[test]
    fn routes_give_answers_types_only_where_there_is_a_body() {
        let typed = |headers: &mut HeaderMap| {
            headers.append("content-type", HeaderValue::from_static("a/b"));
            headers.insert("content-length", HeaderValue::from_static("7"));
            headers.append("x-more", HeaderValue::from_static("1"));
        };
        let types = |response: &Response<Bytes>| -> Vec<String> {
            let all = response.headers().get_all("content-type").iter();
            all.map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        let mut full = Refusal::new(Reason::NoHealthyUpstream).answer(false, false);
        edit(&mut full, typed);
        assert_eq!(types(&full), ["a/b"]);
        assert_eq!(full.headers()["content-length"], "19");
        let mut kept = Refusal::new(Reason::NoHealthyUpstream).answer(false, false);
        edit(&mut kept, |_| ());
        assert_eq!(types(&kept), ["text/plain"]);
        let mut empty = Refusal::new(Reason::NoRoute).answer(false, false);
        edit(&mut empty, typed);
        assert!(types(&empty).is_empty() && !empty.headers().contains_key("content-length"));
        assert_eq!(empty.headers()["x-more"], "1");
        let mut grpc = Refusal::new(Reason::NoRoute).answer(true, false);
        edit(&mut grpc, typed);
        assert_eq!(types(&grpc), ["application/grpc"]);
    }

    #[test]
    fn grpc_is_answered_in_headers_only() {
        let response = Refusal::new(Reason::AuthorizationDenied).answer(true, false);
        assert_eq!(response.status(), 200);
        assert!(response.body().is_empty());
        assert_eq!(response.headers()["grpc-status"], "7");
        assert_eq!(response.headers()["grpc-message"], "RBAC: access denied");
        assert_eq!(grpc_message("100 %\nü".as_bytes()), "100 %25%0A%C3%BC");
    }

    #[test]
    fn overflow_says_so() {
        let response = Refusal::new(Reason::Overflow).answer(false, false);
        assert_eq!(response.headers()["x-envoy-overloaded"], "true");
    }
}
