//! HTTPS for the API server.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    ALWAYS_REJECT,
    injector::{Injected, Injector},
    review::{Answer, Review},
};
use crate::{
    listener::{Connection, Listener},
    metrics::{Admission, Metrics},
};

/// The largest review: the API server takes objects of 3 MiB, and sends the old one along.
const LARGEST: usize = 8 << 20;

/// How long a request's head may take, and an idle connection is kept; the API server keeps its own
/// for longer than a minute.
const HEAD_TIMEOUT: Duration = Duration::from_secs(120);

/// Serves until stopped.
pub(super) async fn serve(
    listener: Listener,
    injector: Arc<Injector>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut connections = listener.run();
    let server = Arc::new(Server { injector, metrics });
    while let Some(connection) = connections.next().await {
        let Ok(connection) = connection else { continue };
        let (server, stop) = (server.clone(), stop.clone());
        tokio::spawn(async move { server.connection(connection, stop).await });
    }
}

struct Server {
    injector: Arc<Injector>,
    metrics: Arc<Metrics>,
}

impl Server {
    async fn connection(self: Arc<Self>, connection: Connection, stop: CancellationToken) {
        let service = service_fn(move |request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.respond(request).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(connection), service);
        tokio::pin!(served);
        let result = tokio::select! {
            result = &mut served => result,
            () = stop.cancelled() => {
                // What is being answered is answered.
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a webhook's connection broke");
        }
    }

    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let is_injection =
            path == "/inject" || path.starts_with("/inject/") || path.starts_with("/inject:");
        if path == "/ready" && request.method() == Method::GET {
            return plain(StatusCode::OK, "ready\n");
        }
        if !is_injection && path != "/validate" {
            return plain(StatusCode::NOT_FOUND, "there are /inject, /validate and /ready here\n");
        }
        if request.method() != Method::POST {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only POST is served here\n");
        }
        let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|value| {
            let media = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            media.trim() == "application/json"
        });
        if !is_json {
            let text = "the content type has to be application/json\n";
            return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        }
        let body = match Limited::new(request.into_body(), LARGEST).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => {
                return plain(StatusCode::BAD_REQUEST, format!("no body to read: {error}\n"));
            }
        };
        let review = match Review::read(&body) {
            Ok(review) => review,
            Err(error) => return plain(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let answer = match is_injection {
            true => self.inject(&review, &path).await,
            false => self.validate(&review),
        };
        let mut response = Response::new(Full::new(Bytes::from(review.answer(&answer))));
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }

    async fn inject(&self, review: &Review, path: &str) -> Answer {
        self.metrics.admission(Admission::InjectionAsked);
        let (outcome, answer) = match self.injector.inject(review, path).await {
            Ok(Injected::Patched { patch, warnings }) => {
                (Admission::Injected, Answer::Allowed { patch: Some(patch), warnings })
            }
            Ok(Injected::Skipped(reason)) => {
                tracing::debug!(namespace = review.namespace, %reason, "a pod is not injected");
                (Admission::NotInjected, Answer::Allowed { patch: None, warnings: Vec::new() })
            }
            Err(why) => {
                tracing::warn!(namespace = review.namespace, "a pod cannot be injected: {why}");
                let why = format!("the sidecar cannot be injected: {why}");
                (Admission::InjectionFailed, Answer::Refused(why))
            }
        };
        self.metrics.admission(outcome);
        answer
    }

    fn validate(&self, review: &Review) -> Answer {
        let answer = verdict(review);
        self.metrics.admission(match answer {
            Answer::Allowed { .. } => Admission::Valid,
            Answer::Refused(_) => Admission::Invalid,
        });
        answer
    }
}

fn verdict(review: &Review) -> Answer {
    if review.is_removed {
        return Answer::Allowed { patch: None, warnings: Vec::new() };
    }
    if review.object["metadata"]["annotations"][ALWAYS_REJECT].is_string() {
        return Answer::Refused(format!("its annotation {ALWAYS_REJECT} asks for it"));
    }
    let verdict = lateen_api::admission::admit(&review.object);
    if verdict.is_allowed() {
        return Answer::Allowed { patch: None, warnings: verdict.warnings };
    }
    Answer::Refused(verdict.errors.join("; "))
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}
