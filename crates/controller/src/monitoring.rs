//! Health, metrics and debug pages, over plain HTTP.
//!
//! `/ready`, `/metrics` and `/version` answer anyone who reaches the address; `/debug/…` tells of
//! the mesh's objects and answers to loopback only. Nothing can be changed here, and nothing is
//! received but the request's head.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lateen_api::Diagnostic;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;

use crate::{
    VERSION,
    distribution::{Command, Distribution},
    metrics::{Metrics, render},
};

/// Connections at a time: a few scrapers and people.
const MAX_CONNECTIONS: usize = 64;

/// How long a request's head may take, and an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What the pages are made from.
#[derive(Debug, Clone)]
pub(crate) struct Monitoring {
    pub(crate) distribution: Distribution,
    pub(crate) metrics: Arc<Metrics>,
    /// Whether the webhooks answer; `None`: there are none.
    pub(crate) webhooks: Option<watch::Receiver<bool>>,
}

impl Monitoring {
    /// Serves until stopped.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let next = async {
                let slot = slots.clone().acquire_owned().await;
                (slot.expect("invariant: the semaphore is never closed"), listener.accept().await)
            };
            let Some((slot, accepted)) = stop.run_until_cancelled(next).await else { return };
            let Ok((stream, remote)) = accepted.inspect_err(|error| {
                tracing::warn!(%error, "a monitoring connection cannot be accepted");
            }) else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (pages, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move {
                let _slot = slot;
                stop.run_until_cancelled(pages.connection(stream, remote)).await;
            });
        }
    }

    async fn connection(self, stream: TcpStream, remote: SocketAddr) {
        let service = service_fn(move |request: Request<Incoming>| {
            let pages = self.clone();
            async move { Ok::<_, Infallible>(pages.answer(&request, remote).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%remote, %error, "a monitoring connection broke");
        }
    }

    async fn answer<B>(&self, request: &Request<B>, remote: SocketAddr) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET is served here\n");
        }
        let path = request.uri().path();
        if path.starts_with("/debug") && !remote.ip().to_canonical().is_loopback() {
            return page(StatusCode::FORBIDDEN, TEXT, "debug pages answer to loopback only\n");
        }
        match path {
            "/ready" => self.ready(),
            "/metrics" => page(StatusCode::OK, PROMETHEUS, render(&self.metrics, VERSION)),
            "/version" => page(StatusCode::OK, TEXT, format!("{VERSION}\n")),
            "/debug" | "/debug/" => {
                page(StatusCode::OK, TEXT, "/debug/syncz\n/debug/diagnostics\n")
            }
            "/debug/syncz" => json_page(self.distribution.ask(Command::Status).await),
            "/debug/diagnostics" => {
                let diagnostics = self.distribution.ask(Command::Diagnostics).await;
                json_page(diagnostics.map(|all| all.iter().map(diagnostic).collect::<Vec<_>>()))
            }
            _ => page(StatusCode::NOT_FOUND, TEXT, "there is no such page\n"),
        }
    }

    fn ready(&self) -> Response<Full<Bytes>> {
        let is_loaded = self.distribution.facts().borrow().is_loaded;
        let answers = self.webhooks.as_ref().is_none_or(|webhooks| *webhooks.borrow());
        if is_loaded && answers && self.distribution.is_running() {
            page(StatusCode::OK, TEXT, "ready\n")
        } else {
            page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the mesh is not being served\n")
        }
    }
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": diagnostic.severity.to_string(),
        "code": diagnostic.code.as_str(),
        "object": diagnostic.object.as_ref().map(ToString::to_string),
        "field": diagnostic.field,
        "file": &*diagnostic.file,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "message": diagnostic.message,
    })
}

fn json_page(value: Option<impl serde::Serialize>) -> Response<Full<Bytes>> {
    let Some(value) = value else {
        return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the control plane is stopping\n");
    };
    let text = serde_json::to_vec(&value).expect("invariant: strings and numbers become JSON");
    page(StatusCode::OK, JSON, text)
}

fn page(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
