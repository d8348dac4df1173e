//! /readyz and /metrics.

use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use lateen_proxy::listen;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What a page says: status and text.
pub(super) type Page = Arc<dyn Fn(&str) -> Option<(u16, String)> + Send + Sync>;

/// Readiness (Istio's path) and whether the program runs at all.
pub(super) fn health(metrics: Arc<Metrics>) -> Page {
    Arc::new(move |path| match path {
        "/readyz" if metrics.is_ready() => Some((200, "ready\n".to_owned())),
        "/readyz" => Some((503, "the plugin is not in place\n".to_owned())),
        "/healthz" => Some((200, "ok\n".to_owned())),
        _ => None,
    })
}

/// The counters.
pub(super) fn monitoring(metrics: Arc<Metrics>, remedy: &'static str) -> Page {
    Arc::new(move |path| (path == "/metrics").then(|| (200, metrics.text(remedy))))
}

/// Serves pages.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) async fn serve(address: SocketAddr, page: Page) -> anyhow::Result<()> {
    let bound = if address.ip() == Ipv6Addr::UNSPECIFIED {
        listen::bind_everywhere(address.port())
    } else {
        listen::bind(address)
    };
    let listener = bound.and_then(TcpListener::from_std);
    let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of files, say: those who ask come again.
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let page = page.clone();
            let service = hyper::service::service_fn(move |request: http::Request<_>| {
                let answer = answer(&page, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(async move {
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service);
                // Whoever asked has gone.
                let _ = connection.await;
            });
        }
    });
    Ok(())
}

fn answer(
    page: &Page,
    request: &http::Request<hyper::body::Incoming>,
) -> http::Response<Full<Bytes>> {
    let (status, text) =
        page(request.uri().path()).unwrap_or_else(|| (404, "there is no such page\n".to_owned()));
    let mut response = http::Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    response
}
