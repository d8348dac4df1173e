//! The stream: what the server says, in order, across connections.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{Instant, Sleep},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

use super::{Backoff, ConnectError, Target, connect::causes};
use crate::{
    Resource,
    cut::Cut,
    wire::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};

/// What a stream is about.
#[derive(Debug)]
pub struct Settings {
    /// Who the client says it is.
    pub node: Node,
    /// The one type of this stream.
    pub type_url: String,
    /// Names to subscribe to from the start.
    pub subscriptions: BTreeSet<String>,
    /// Resources that the client has from an earlier life: name to version.
    pub known: BTreeMap<Arc<str>, Arc<str>>,
    /// Between attempts.
    pub backoff: Backoff,
    /// Bytes of the largest response that is taken.
    pub max_response: usize,
}

/// What happens on a stream.
#[derive(Debug)]
pub enum Event {
    /// The server took the stream. Comes once for each connection.
    Connected,
    /// A response; to be answered by [`DeltaStream::ack`] or [`DeltaStream::nack`], or the server
    /// says no more.
    Response(Response),
    /// The connection, or the attempt to make one, failed; the next attempt follows by itself.
    /// Whatever was only half received is to be forgotten.
    Disconnected(Disconnected),
}

/// A response of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Resources that came or changed.
    pub resources: Vec<Resource>,
    /// Names of resources that went, or that do not exist.
    pub removed: Vec<Arc<str>>,
    /// Names the response in the answer.
    pub nonce: String,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// The status that the server ended the stream with, `Ok` when it only wants the client to come
    /// back; `None`: it never was asked.
    pub code: Option<Code>,
    /// For people.
    pub reason: String,
    /// When the next attempt is made, from now.
    pub retry_in: Duration,
}

/// A delta xDS stream of one type, that reconnects by itself.
///
/// Driven by its owner: nothing happens but inside [`DeltaStream::next`] (the connection's own
/// keepalive excepted). So what the owner has recorded as known when it calls `next` after
/// [`Event::Disconnected`] is exactly what the next connection tells the server, and there is no
/// race between the two.
pub struct DeltaStream {
    target: Target,
    node: Node,
    type_url: String,
    subscriptions: BTreeSet<String>,
    known: BTreeMap<Arc<str>, Arc<str>>,
    backoff: Backoff,
    max_response: usize,
    phase: Phase,
}

enum Phase {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Connecting { requests: Requests, attempt: Attempt },
    Connected { requests: Requests, responses: Box<Responses>, since: Instant },
}

type Requests = UnboundedSender<DeltaDiscoveryRequest>;
type Responses = Streaming<DeltaDiscoveryResponse>;
type Attempt = Pin<Box<dyn Future<Output = Result<Responses, AttemptError>> + Send>>;

#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the control plane refused the stream: {}", describe(.0))]
    Refused(Box<tonic::Status>),
}

impl DeltaStream {
    /// A stream to `target`; the first [`DeltaStream::next`] connects.
    #[must_use]
    pub fn new(target: Target, settings: Settings) -> Self {
        let Settings { node, type_url, subscriptions, known, backoff, max_response } = settings;
        Self {
            target,
            node,
            type_url,
            subscriptions,
            known,
            backoff,
            max_response,
            phase: Phase::Idle,
        }
    }

    /// The next thing that happens. Never ends. Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            match &mut self.phase {
                Phase::Idle => self.phase = self.attempt(),
                Phase::Waiting(sleep) => {
                    sleep.as_mut().await;
                    self.phase = Phase::Idle;
                }
                Phase::Connecting { requests, attempt } => match attempt.as_mut().await {
                    Ok(responses) => {
                        let (requests, responses) = (requests.clone(), Box::new(responses));
                        self.phase =
                            Phase::Connected { requests, responses, since: Instant::now() };
                        return Event::Connected;
                    }
                    Err(error) => {
                        let code = match &error {
                            AttemptError::Refused(status) => Some(status.code()),
                            AttemptError::Connect(_) => None,
                        };
                        return self.disconnected(code, causes(&error));
                    }
                },
                Phase::Connected { responses, since, .. } => {
                    let message = responses.message().await;
                    let is_long = since.elapsed() >= self.backoff.limit();
                    if is_long || matches!(message, Ok(Some(_))) {
                        self.backoff.reset();
                    }
                    match message {
                        Ok(Some(response)) => return Event::Response(response.into()),
                        Ok(None) => return self.ended(is_long),
                        Err(status) => {
                            return self.disconnected(Some(status.code()), describe(&status));
                        }
                    }
                }
            }
        }
    }

    /// Accepts the response with this nonce.
    pub fn ack(&mut self, nonce: &str) {
        self.send(DeltaDiscoveryRequest {
            response_nonce: nonce.to_owned(),
            ..DeltaDiscoveryRequest::default()
        });
    }

    /// Refuses the response with this nonce; `reason` is shown to the platform's operators.
    pub fn nack(&mut self, nonce: &str, reason: &str) {
        self.send(DeltaDiscoveryRequest {
            response_nonce: nonce.to_owned(),
            error_detail: Some(Status {
                code: Code::InvalidArgument.into(),
                message: reason.to_owned(),
                details: Vec::new(),
            }),
            ..DeltaDiscoveryRequest::default()
        });
    }

    /// Subscribes to names, now and on every later connection. Those that are subscribed to
    /// already are left out.
    pub fn subscribe(&mut self, names: impl IntoIterator<Item = String>) {
        let mut added: Vec<String> = names.into_iter().collect();
        added.retain(|name| self.subscriptions.insert(name.clone()));
        if !added.is_empty() {
            self.send(DeltaDiscoveryRequest {
                resource_names_subscribe: added,
                ..DeltaDiscoveryRequest::default()
            });
        }
    }

    /// Gives subscriptions back. Those that are not subscribed to are left out.
    pub fn unsubscribe(&mut self, names: impl IntoIterator<Item = String>) {
        let mut gone: Vec<String> = names.into_iter().collect();
        gone.retain(|name| self.subscriptions.remove(name));
        if !gone.is_empty() {
            self.send(DeltaDiscoveryRequest {
                resource_names_unsubscribe: gone,
                ..DeltaDiscoveryRequest::default()
            });
        }
    }

    /// Records what an applied cut changed, to be told to the server on the next connection.
    pub fn applied(&mut self, cut: &Cut) {
        for name in &cut.removed {
            self.known.remove(name);
        }
        for resource in &cut.resources {
            self.known.insert(resource.name.clone(), resource.version.clone());
        }
    }

    /// Forgets a resource that the client dropped by itself.
    pub fn forget(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// Name to version of what the server is told on the next connection.
    #[must_use]
    pub fn known(&self) -> &BTreeMap<Arc<str>, Arc<str>> {
        &self.known
    }

    /// What is subscribed to.
    #[must_use]
    pub fn subscriptions(&self) -> &BTreeSet<String> {
        &self.subscriptions
    }

    /// Ends the connection and makes a new one at the next [`DeltaStream::next`], without waiting:
    /// for a client that cannot make sense of what the server said. No event tells it.
    pub fn reconnect(&mut self) {
        self.phase = Phase::Idle;
    }

    /// Sends on the connection that is there or being made; without one the next first message
    /// says it all.
    fn send(&mut self, mut request: DeltaDiscoveryRequest) {
        request.type_url.clone_from(&self.type_url);
        if let Phase::Connecting { requests, .. } | Phase::Connected { requests, .. } = &self.phase
            && requests.send(request).is_err()
        {
            tracing::debug!("a request was not sent: the stream has ended");
        }
    }

    fn attempt(&self) -> Phase {
        let (requests, receiver) = unbounded_channel();
        let first = DeltaDiscoveryRequest {
            node: Some(self.node.clone()),
            type_url: self.type_url.clone(),
            resource_names_subscribe: self.subscriptions.iter().cloned().collect(),
            initial_resource_versions: self
                .known
                .iter()
                .map(|(name, version)| (name.to_string(), version.to_string()))
                .collect(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).expect("invariant: the receiver is held here");
        let (target, max_response) = (self.target.clone(), self.max_response);
        let attempt = Box::pin(async move {
            let channel = target.channel().await?;
            let mut client = AggregatedDiscoveryServiceClient::new(channel)
                .max_decoding_message_size(max_response);
            let mut request = tonic::Request::new(UnboundedReceiverStream::new(receiver));
            if let Some(authorization) = target.authorization()? {
                request.metadata_mut().insert("authorization", authorization);
            }
            let response = client.delta_aggregated_resources(request).await;
            Ok(response.map_err(|status| AttemptError::Refused(Box::new(status)))?.into_inner())
        });
        Phase::Connecting { requests, attempt }
    }

    /// The server ended the stream in order. One that served for long enough that this cannot
    /// become a busy loop is called again at once: it wants to be.
    fn ended(&mut self, is_long: bool) -> Event {
        let retry_in = if is_long { Duration::ZERO } else { self.backoff.next_delay() };
        let reason = "the control plane ended the stream".to_owned();
        self.retry(Some(Code::Ok), reason, retry_in)
    }

    fn disconnected(&mut self, code: Option<Code>, reason: String) -> Event {
        let retry_in = self.backoff.next_delay();
        self.retry(code, reason, retry_in)
    }

    fn retry(&mut self, code: Option<Code>, reason: String, retry_in: Duration) -> Event {
        self.phase = Phase::Waiting(Box::pin(tokio::time::sleep(retry_in)));
        Event::Disconnected(Disconnected { code, reason, retry_in })
    }
}

fn describe(status: &tonic::Status) -> String {
    let message =
        if status.message().is_empty() { status.code().description() } else { status.message() };
    match std::error::Error::source(status) {
        Some(source) => format!("{message}: {}", causes(source)),
        None => message.to_owned(),
    }
}

impl From<DeltaDiscoveryResponse> for Response {
    fn from(response: DeltaDiscoveryResponse) -> Self {
        Self {
            resources: response.resources.into_iter().map(Resource::from).collect(),
            removed: response.removed_resources.into_iter().map(Arc::from).collect(),
            nonce: response.nonce,
        }
    }
}

impl std::fmt::Debug for DeltaStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = match self.phase {
            Phase::Idle => "idle",
            Phase::Waiting(_) => "waiting",
            Phase::Connecting { .. } => "connecting",
            Phase::Connected { .. } => "connected",
        };
        f.debug_struct("DeltaStream")
            .field("target", &self.target)
            .field("type_url", &self.type_url)
            .field("phase", &phase)
            .finish_non_exhaustive()
    }
}
