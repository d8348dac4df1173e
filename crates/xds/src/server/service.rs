//! The gRPC service and the driver of a stream.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::CONTENT_TYPE};
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tonic::{
    Status, Streaming,
    body::Body,
    codec::BufferSettings,
    metadata::{GRPC_CONTENT_TYPE, MetadataMap},
    server::NamedService,
};
use tonic_prost::ProstCodec;

use super::{
    flow::{Answer, Flow},
    frames::{Outgoing, ResponseBody, encode},
    session::{Command, Event, Handler, MAX_TYPES, Opening, Outlet, Session, Update},
};
use crate::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

const DELTA: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Bytes that a stream keeps ready for requests; it takes more while there is a larger one. Nearly all
/// are answers of a hundred bytes, and there are as many streams as proxies.
const REQUEST_BUFFER: usize = 512;

/// The aggregated discovery service, delta variant only.
pub struct Discovery<H> {
    handler: Arc<H>,
    max_request: usize,
}

impl<H: Handler> Discovery<H> {
    /// The service; requests of more than `max_request` bytes end their stream.
    pub fn new(handler: Arc<H>, max_request: usize) -> Self {
        Self { handler, max_request }
    }
}

impl<H> Clone for Discovery<H> {
    fn clone(&self) -> Self {
        Self { handler: self.handler.clone(), max_request: self.max_request }
    }
}

impl<H> std::fmt::Debug for Discovery<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Discovery").field("max_request", &self.max_request).finish_non_exhaustive()
    }
}

impl<H> NamedService for Discovery<H> {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}

impl<H: Handler> tower::Service<Request<Body>> for Discovery<H> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let response = if request.uri().path() == DELTA {
                service.delta(request).await
            } else {
                Err(Status::unimplemented("only DeltaAggregatedResources is served here"))
            };
            Ok(response.unwrap_or_else(Status::into_http))
        })
    }
}

impl<H: Handler> Discovery<H> {
    /// Opens a stream: the call is answered when the handler has taken it.
    async fn delta(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let decoder = ProstCodec::<DeltaDiscoveryResponse, DeltaDiscoveryRequest>::raw_decoder(
            BufferSettings::new(REQUEST_BUFFER, usize::MAX),
        );
        let mut requests = Streaming::new_request(decoder, body, None, Some(self.max_request));
        let Some(first) = requests.message().await? else {
            return Err(Status::invalid_argument("the stream has no first message"));
        };
        let node = first.node.unwrap_or_default();
        if node.id.is_empty() {
            return Err(Status::invalid_argument("the first message does not say the node's id"));
        }
        let type_url: Arc<str> = first.type_url.into();
        let (outlet, commands) = Outlet::new();
        let session = self
            .handler
            .open(Opening {
                node,
                type_url: type_url.clone(),
                subscribe: first.resource_names_subscribe,
                known: first.initial_resource_versions,
                metadata: MetadataMap::from_headers(parts.headers),
                extensions: parts.extensions,
                outlet,
            })
            .await?;

        let (outgoing, receiver) = mpsc::channel(1);
        let flows = FxHashMap::from_iter([(type_url, Flow::default())]);
        let stream = Stream { session, flows, outgoing };
        tokio::spawn(stream.run(requests, commands));
        let mut response = Response::new(Body::new(ResponseBody::new(receiver)));
        response.headers_mut().insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
        Ok(response)
    }
}

/// One accepted stream.
struct Stream<S> {
    session: S,
    flows: FxHashMap<Arc<str>, Flow>,
    outgoing: mpsc::Sender<Outgoing>,
}

/// Why a stream ends.
enum End {
    /// The client is gone: there is nobody to tell.
    Gone,
    /// The client is told.
    Status(Status),
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl<S: Session> Stream<S> {
    async fn run(
        mut self,
        requests: Streaming<DeltaDiscoveryRequest>,
        commands: mpsc::Receiver<Command>,
    ) {
        let Err(End::Status(status)) = self.serve(requests, commands).await else { return };
        if self.outgoing.send(Outgoing::End(status)).await.is_err() {
            tracing::debug!("a client was gone before its discovery stream was ended");
        }
    }

    async fn serve(
        &mut self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        mut commands: mpsc::Receiver<Command>,
    ) -> Result<Infallible, End> {
        loop {
            let crowded = self.flows.values().any(Flow::is_waiting);
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.hear(request).await?,
                    Ok(None) => return Err(Status::ok("").into()),
                    Err(status) => {
                        tracing::debug!(%status, "a discovery stream broke");
                        return Err(End::Gone);
                    }
                },
                command = commands.recv(), if !crowded => match command {
                    Some(Command::Send(update)) => self.offer(*update).await?,
                    Some(Command::Close(status)) => return Err(status.into()),
                    None => return Err(Status::ok("").into()),
                },
                () = self.outgoing.closed() => return Err(End::Gone),
            }
        }
    }

    /// Tells the session what a request says.
    async fn hear(&mut self, request: DeltaDiscoveryRequest) -> Result<(), End> {
        let (type_url, is_first) = self.type_of(&request)?;
        let flow = self.flows.entry(type_url.clone()).or_default();
        match flow.answer(&request) {
            Answer::None | Answer::Stale => {}
            Answer::Acknowledged(tag) => {
                let type_url = type_url.clone();
                self.session.handle(Event::Acknowledged { type_url, tag }).await?;
            }
            Answer::Rejected(tag, reason) => {
                let type_url = type_url.clone();
                self.session.handle(Event::Rejected { type_url, tag, reason }).await?;
            }
        }
        let (subscribe, unsubscribe) =
            (request.resource_names_subscribe, request.resource_names_unsubscribe);
        if is_first || !subscribe.is_empty() || !unsubscribe.is_empty() {
            let known = if is_first { request.initial_resource_versions } else { BTreeMap::new() };
            let type_url = type_url.clone();
            let event = Event::Subscriptions { type_url, subscribe, unsubscribe, known };
            self.session.handle(event).await?;
        }
        match self.flows.get_mut(&type_url).and_then(Flow::next) {
            Some((nonce, update)) => self.send(&nonce, &update).await,
            None => Ok(()),
        }
    }

    /// The request's type, and whether it is the first of its type.
    fn type_of(&self, request: &DeltaDiscoveryRequest) -> Result<(Arc<str>, bool), Status> {
        if let Some((type_url, _)) = self.flows.get_key_value(request.type_url.as_str()) {
            return Ok((type_url.clone(), false));
        }
        if self.flows.len() == MAX_TYPES {
            return Err(Status::resource_exhausted("too many types of resources on one stream"));
        }
        Ok((request.type_url.as_str().into(), true))
    }

    async fn offer(&mut self, update: Update) -> Result<(), End> {
        match self.flows.entry(update.type_url.clone()).or_default().offer(update) {
            Some((nonce, update)) => self.send(&nonce, &update).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, nonce: &str, update: &Update) -> Result<(), End> {
        let Some(pieces) = encode(update, nonce) else {
            return Err(Status::internal("a response is larger than gRPC can carry").into());
        };
        self.outgoing.send(Outgoing::Message(pieces)).await.map_err(|_| End::Gone)
    }
}
