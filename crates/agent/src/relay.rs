//! Envoy's configuration stream, relayed to the control plane.
//!
//! The frames pass through as they come, in both directions: nothing is decoded, buffered or kept,
//! and HTTP/2's flow control on both sides is the back-pressure. Each stream of Envoy is one stream,
//! on a connection of its own, to the control plane, with TLS and the workload's token. When the
//! control plane goes, so does Envoy's stream: Envoy comes back by itself and says what it has.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, TE};
use http::{Method, Request, Response, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use lateen_proxy::config::Credentials;
use lateen_xds::client::ConnectError;
use tonic::Status as GrpcStatus;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tower::{Service, ServiceExt};

use crate::status::Status;

/// Headers of Envoy's call that the control plane is to see.
const PASSED_ON: [HeaderName; 2] = [CONTENT_TYPE, TE];

/// Headers whose names begin so belong to the call, too.
const GRPC_HEADERS: &str = "grpc-";

/// The service to which Envoy's cluster `xds-grpc` leads.
#[derive(Debug, Clone)]
pub struct Relay {
    credentials: Arc<Credentials>,
    status: Arc<Status>,
}

/// Why a stream does not come about.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the control plane did not take the stream: {0}")]
    Call(#[from] tonic::transport::Error),
    #[error("the call has no path: {0}")]
    Path(#[from] http::Error),
}

impl Relay {
    /// A relay to the control plane that the credentials name.
    #[must_use]
    pub fn new(credentials: Arc<Credentials>, status: Arc<Status>) -> Self {
        Self { credentials, status }
    }

    async fn relay(&self, request: Request<Body>) -> Result<Response<Body>, RelayError> {
        let target = self.credentials.target();
        let mut channel = target.channel().await?;
        let (parts, body) = request.into_parts();
        let mut upstream = Request::new(body);
        *upstream.method_mut() = Method::POST;
        *upstream.version_mut() = Version::HTTP_2;
        *upstream.uri_mut() = Uri::builder().path_and_query(parts.uri.path()).build()?;
        for (name, value) in &parts.headers {
            if PASSED_ON.contains(name) || name.as_str().starts_with(GRPC_HEADERS) {
                upstream.headers_mut().append(name, value.clone());
            }
        }
        if let Some(authorization) = target.authorization()? {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", authorization);
            upstream.headers_mut().extend(metadata.into_headers());
        }
        let response = channel.ready().await?.call(upstream).await?;
        self.status.relay_began();
        let guard = Guard(Arc::clone(&self.status));
        Ok(response.map(|body| Body::new(Watched { body, _guard: guard })))
    }
}

impl NamedService for Relay {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl Service<Request<Body>> for Relay {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let relay = self.clone();
        Box::pin(async move {
            Ok(relay.relay(request).await.unwrap_or_else(|error| {
                relay.status.relay_failed();
                tracing::warn!(%error, "Envoy's stream does not reach the control plane");
                GrpcStatus::unavailable(error.to_string()).into_http()
            }))
        })
    }
}

/// Tells when the stream has ended.
struct Guard(Arc<Status>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.relay_ended();
    }
}

/// The control plane's half of a stream.
struct Watched {
    body: Body,
    _guard: Guard,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = GrpcStatus;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, GrpcStatus>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
