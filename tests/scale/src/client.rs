//! An Envoy as the control plane sees it: one delta stream over a real connection, on which it asks
//! for everything, acknowledges everything, and counts what comes.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use lateen_xds::wire::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use lateen_xds::wire::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use crate::wire::{Cluster, Listener, RouteConfiguration, type_url};

/// The largest response that a client takes.
const MAX_RESPONSE: usize = 64 << 20;

/// Messages of a client that wait for the connection.
const QUEUE: usize = 64;

/// What came of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Responses.
    pub responses: u64,
    /// Resources in them.
    pub resources: u64,
    /// Names that were removed.
    pub removed: u64,
    /// Bytes of the responses.
    pub bytes: u64,
}

/// What came since the beginning, by type URL.
pub type Counts = BTreeMap<String, Count>;

/// What came between two looks.
#[must_use]
pub fn since(before: &Counts, now: &Counts) -> Counts {
    let mut difference = Counts::new();
    for (kind, count) in now {
        let former = before.get(kind).copied().unwrap_or_default();
        let count = Count {
            responses: count.responses - former.responses,
            resources: count.resources - former.resources,
            removed: count.removed - former.removed,
            bytes: count.bytes - former.bytes,
        };
        if count != Count::default() {
            difference.insert(kind.clone(), count);
        }
    }
    difference
}

/// A client whose stream is open for as long as this lives.
#[derive(Debug)]
pub struct Client {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    counts: Counts,
    /// Names asked for and not answered yet, by type.
    awaited: BTreeMap<&'static str, HashSet<String>>,
    /// When the last response of each type came.
    arrivals: BTreeMap<String, Instant>,
    error: Option<String>,
}

/// Who a client says it is.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// Its pod's name.
    pub name: String,
}

impl Workload {
    /// Istio's node id and metadata for it.
    #[must_use]
    pub fn node(&self) -> Node {
        let text = |text: &str| Value { kind: Some(Kind::StringValue(text.to_owned())) };
        let labels = Struct { fields: [("app".to_owned(), text("load"))].into() };
        let fields = [
            ("NAMESPACE".to_owned(), text(&self.namespace)),
            ("LABELS".to_owned(), Value { kind: Some(Kind::StructValue(labels)) }),
        ];
        let Self { namespace, name } = self;
        Node {
            id: format!("sidecar~10.1.1.1~{name}.{namespace}~{namespace}.svc.cluster.local"),
            cluster: format!("load.{namespace}"),
            metadata: Some(Struct { fields: fields.into() }),
            user_agent_name: "envoy".to_owned(),
            ..Node::default()
        }
    }
}

impl Client {
    /// Connects, and asks for what an Envoy asks for.
    ///
    /// # Errors
    /// When the control plane does not take the stream.
    pub async fn connect(address: SocketAddr, workload: &Workload) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .connect()
            .await
            .context("the control plane cannot be reached")?;
        let mut service =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(MAX_RESPONSE);
        let (requests, outgoing) = mpsc::channel(QUEUE);
        let node = Some(workload.node());
        requests.send(ask(type_url::CLUSTER, node, vec!["*".to_owned()])).await?;
        requests.send(ask(type_url::LISTENER, None, vec!["*".to_owned()])).await?;
        let response = service.delta_aggregated_resources(ReceiverStream::new(outgoing)).await?;
        let mut incoming = response.into_inner();
        let state = Arc::new(Mutex::new(State::default()));
        let mut reader = Reader {
            state: state.clone(),
            requests,
            has_virtual_hosts: false,
            asked: HashSet::new(),
        };
        let task = tokio::spawn(async move {
            let end = loop {
                match incoming.message().await {
                    Ok(Some(response)) => {
                        if let Err(error) = reader.take(response).await {
                            break error.to_string();
                        }
                    }
                    Ok(None) => break "the stream has ended".to_owned(),
                    Err(status) => break status.to_string(),
                }
            };
            reader.lock().error = Some(end);
        });
        Ok(Self { state, task })
    }

    /// What came so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.lock().counts.clone()
    }

    /// What came of one type, and when the last of it did.
    #[must_use]
    pub fn arrived(&self, kind: &str) -> (Count, Option<Instant>) {
        let state = self.lock();
        let count = state.counts.get(kind).copied().unwrap_or_default();
        (count, state.arrivals.get(kind).copied())
    }

    /// Fails while something that was asked for did not come, and when the stream has ended.
    ///
    /// # Errors
    /// What is missing.
    pub fn complete(&self) -> anyhow::Result<()> {
        let state = self.lock();
        if let Some(error) = &state.error {
            anyhow::bail!("{error}");
        }
        for kind in [type_url::CLUSTER, type_url::LISTENER] {
            anyhow::ensure!(state.arrivals.contains_key(kind), "no {kind} came");
        }
        for (kind, names) in &state.awaited {
            if let Some(name) = names.iter().next() {
                anyhow::bail!("{} {kind} did not come, such as {name}", names.len());
            }
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ask(kind: &str, node: Option<Node>, names: Vec<String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        node,
        type_url: kind.to_owned(),
        resource_names_subscribe: names,
        ..DeltaDiscoveryRequest::default()
    }
}

/// What reads the responses.
struct Reader {
    state: Arc<Mutex<State>>,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    /// Virtual hosts were asked for: Envoy does so once.
    has_virtual_hosts: bool,
    /// What was asked for by name.
    asked: HashSet<(&'static str, String)>,
}

impl Reader {
    async fn take(&mut self, response: DeltaDiscoveryResponse) -> anyhow::Result<()> {
        let kind = response.type_url.clone();
        let bytes = response.encoded_len() as u64;
        let wanted = self.wanted(&response)?;
        {
            let mut state = self.lock();
            let count = state.counts.entry(kind.clone()).or_default();
            count.responses += 1;
            count.resources += response.resources.len() as u64;
            count.removed += response.removed_resources.len() as u64;
            count.bytes += bytes;
            state.arrivals.insert(kind.clone(), Instant::now());
            if let Some(awaited) = state.awaited.get_mut(kind.as_str()) {
                let came = response.resources.iter().map(|resource| &resource.name);
                for name in came.chain(&response.removed_resources) {
                    awaited.remove(name);
                }
            }
        }
        let acknowledgement = DeltaDiscoveryRequest {
            type_url: kind,
            response_nonce: response.nonce,
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(acknowledgement).await?;
        if let Some((kind, names)) = wanted {
            self.lock().awaited.entry(kind).or_default().extend(names.iter().cloned());
            self.requests.send(ask(kind, None, names)).await?;
        }
        Ok(())
    }

    /// What a response makes Envoy ask for.
    fn wanted(
        &mut self,
        response: &DeltaDiscoveryResponse,
    ) -> anyhow::Result<Option<(&'static str, Vec<String>)>> {
        let bodies = response.resources.iter().filter_map(|resource| resource.resource.as_ref());
        let mut names = Vec::new();
        let kind = match response.type_url.as_str() {
            type_url::CLUSTER => {
                for body in bodies {
                    names.extend(Cluster::decode(body.value.clone())?.assignment());
                }
                type_url::ENDPOINTS
            }
            type_url::LISTENER => {
                for body in bodies {
                    names.extend(Listener::decode(body.value.clone())?.route_configurations()?);
                }
                type_url::ROUTES
            }
            type_url::ROUTES if !self.has_virtual_hosts => {
                for body in bodies {
                    self.has_virtual_hosts |=
                        RouteConfiguration::decode(body.value.clone())?.vhds.is_some();
                }
                return Ok(self.has_virtual_hosts.then(|| (type_url::VIRTUAL_HOST, Vec::new())));
            }
            _ => return Ok(None),
        };
        names.retain(|name| self.asked.insert((kind, name.clone())));
        Ok((!names.is_empty()).then_some((kind, names)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
