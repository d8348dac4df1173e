//! A client of delta ADS that is driven by hand, and does of itself what Envoy does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use bytes::Bytes;
use lateen_envoy::Kind;
use lateen_xds::wire::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Node, Status,
    aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
};
use prost_types::{Struct, Value, value};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Duration, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;

use super::{LIMIT, Mesh};

/// A response that came: names with `+` or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    pub names: Vec<String>,
    pub bytes: usize,
}

/// What a client has of one kind: name to version and body.
pub type Has = BTreeMap<String, (String, Bytes)>;

/// What a client says to a resource that it refuses.
pub type Refuses = Box<dyn Fn(Kind, &str, &Bytes) -> Option<String> + Send>;

/// See the module.
pub struct Client {
    requests: UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
    node: Option<Node>,
    asked: BTreeSet<Kind>,
    /// Responses that were not looked at yet.
    waiting: VecDeque<DeltaDiscoveryResponse>,
    /// What it has.
    pub has: BTreeMap<Kind, Has>,
    /// Endpoints and routes that it asked for.
    pub names: BTreeMap<Kind, BTreeSet<String>>,
    /// Everything that came.
    pub log: Vec<Seen>,
    /// Whether it refuses a response with this resource, and what it says.
    pub refuses: Refuses,
}

/// A node of a workload, `namespace/name`, as Istio's proxies describe themselves.
pub fn node(role: &str, workload: &str, labels: &[(&str, &str)]) -> Node {
    let (namespace, name) = workload.split_once('/').expect("namespace/name");
    let text = |text: &str| Value { kind: Some(value::Kind::StringValue(text.to_owned())) };
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), text(value))).collect();
    let labels = Value { kind: Some(value::Kind::StructValue(Struct { fields: labels })) };
    let fields = [
        ("NAMESPACE", text(namespace)),
        ("LABELS", labels),
        ("INSTANCE_IPS", text("10.9.9.9")),
        ("SERVICE_ACCOUNT", text("test")),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value)).into();
    Node {
        id: format!("{role}~10.9.9.9~{name}.{namespace}~{namespace}.svc.cluster.local"),
        metadata: Some(Struct { fields }),
        user_agent_name: "envoy".to_owned(),
        ..Node::default()
    }
}

impl Client {
    /// Connects to the plain-text port; says nothing yet.
    pub async fn connect(mesh: &Mesh, node: Node) -> Self {
        Self::open(mesh.plaintext(), node).await
    }

    /// Connects to an address.
    pub async fn open(address: SocketAddr, node: Node) -> Self {
        let endpoint = tonic::transport::Endpoint::new(format!("http://{address}"));
        let channel = endpoint.expect("an address").connect().await.expect("a connection");
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(256 << 20);
        let (requests, receiver) = unbounded_channel();
        // The server answers the call when it has the first message.
        let first = DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: Kind::Cluster.type_url().to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).expect("the receiver is here");
        let stream = UnboundedReceiverStream::new(receiver);
        let responses = client.delta_aggregated_resources(stream).await.expect("a stream");
        Self {
            requests,
            responses: responses.into_inner(),
            node: None,
            asked: [Kind::Cluster].into(),
            waiting: VecDeque::new(),
            has: BTreeMap::new(),
            names: BTreeMap::new(),
            log: Vec::new(),
            refuses: Box::new(|_, _, _| None),
        }
    }

    /// A new stream with what an earlier one brought: what Envoy says when it comes back.
    pub async fn come_back(self, mesh: &Mesh, node: Node) -> Self {
        let endpoint = format!("http://{}", mesh.plaintext());
        let endpoint = tonic::transport::Endpoint::new(endpoint).expect("an address");
        let channel = endpoint.connect().await.expect("a connection");
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let (requests, receiver) = unbounded_channel();
        let mut node = Some(node);
        for kind in &self.asked {
            let known = self.has.get(kind).into_iter().flatten();
            let names = self.names.get(kind).cloned().unwrap_or_default();
            let request = DeltaDiscoveryRequest {
                node: node.take(),
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: names.into_iter().collect(),
                initial_resource_versions: known
                    .map(|(name, (version, _))| (name.clone(), version.clone()))
                    .collect(),
                ..DeltaDiscoveryRequest::default()
            };
            requests.send(request).expect("the receiver is here");
        }
        let stream = UnboundedReceiverStream::new(receiver);
        let responses = client.delta_aggregated_resources(stream).await.expect("a stream");
        Self { requests, responses: responses.into_inner(), node, log: Vec::new(), ..self }
    }

    /// Asks for a kind, by names or (none) for all of it.
    pub fn ask(&mut self, kind: Kind, names: &[&str]) {
        self.asked.insert(kind);
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.names.entry(kind).or_default().extend(names.iter().cloned());
        self.send(DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: names,
            ..DeltaDiscoveryRequest::default()
        });
    }

    /// Gives names back.
    pub fn give_back(&mut self, kind: Kind, names: &[&str]) {
        for name in names {
            self.names.entry(kind).or_default().remove(*name);
            self.has.entry(kind).or_default().remove(*name);
        }
        self.send(DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_unsubscribe: names.iter().map(ToString::to_string).collect(),
            ..DeltaDiscoveryRequest::default()
        });
    }

    fn send(&mut self, mut request: DeltaDiscoveryRequest) {
        request.node = self.node.take();
        self.requests.send(request).expect("the stream is there");
    }

    /// The next response, not answered yet.
    pub async fn receive(&mut self) -> DeltaDiscoveryResponse {
        if let Some(response) = self.waiting.pop_front() {
            return response;
        }
        let response = timeout(LIMIT, self.responses.message()).await.expect("one in time");
        response.expect("a stream").expect("a response")
    }

    /// Takes a response, or refuses it; new clusters' endpoints are asked for before that, as
    /// Envoy does.
    pub fn take(&mut self, response: DeltaDiscoveryResponse) -> Seen {
        let kind = Kind::of_type_url(&response.type_url).expect("a known type");
        let mut names: Vec<String> = Vec::new();
        let mut bytes = 0;
        let mut error = None;
        for resource in &response.resources {
            let body = &resource.resource.as_ref().expect("a body").value;
            names.push(format!("+{}", resource.name));
            bytes += body.len() + resource.name.len() + resource.version.len();
            error = error.or_else(|| (self.refuses)(kind, &resource.name, body));
        }
        names.extend(response.removed_resources.iter().map(|name| format!("-{name}")));
        let seen = Seen { kind, names, bytes };
        self.log.push(seen.clone());
        if error.is_none() {
            self.apply(kind, &response);
        }
        self.send(DeltaDiscoveryRequest {
            type_url: response.type_url,
            response_nonce: response.nonce,
            error_detail: error.map(|message| Status { message, ..Status::default() }),
            ..DeltaDiscoveryRequest::default()
        });
        seen
    }

    fn apply(&mut self, kind: Kind, response: &DeltaDiscoveryResponse) {
        let has = self.has.entry(kind).or_default();
        for name in &response.removed_resources {
            has.remove(name);
        }
        for resource in &response.resources {
            let body = resource.resource.clone().expect("a body").value;
            has.insert(resource.name.clone(), (resource.version.clone(), body));
        }
        if kind != Kind::Cluster {
            return;
        }
        let wanted: BTreeSet<String> = has
            .keys()
            .filter(|name| name.starts_with("outbound|"))
            .map(|name| name.split(';').next().unwrap_or_default().to_owned())
            .collect();
        let asked = self.names.get(&Kind::Endpoints).cloned().unwrap_or_default();
        let new: Vec<&str> = wanted.difference(&asked).map(String::as_str).collect();
        let gone: Vec<&str> = asked.difference(&wanted).map(String::as_str).collect();
        if !new.is_empty() {
            self.ask(Kind::Endpoints, &new);
        }
        if !gone.is_empty() {
            self.give_back(Kind::Endpoints, &gone);
        }
    }

    /// Takes the next response.
    pub async fn next(&mut self) -> Seen {
        let response = self.receive().await;
        self.take(response)
    }

    /// Takes responses until the condition holds.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while !condition(self) {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(_) => {}
                Err(_) => panic!("{what} did not come; {:#?}", self.log),
            }
        }
    }

    /// Nothing comes for a while.
    pub async fn silent(&mut self) {
        let response = timeout(Duration::from_millis(300), self.responses.message()).await;
        assert!(response.is_err(), "unexpected {response:?}");
    }

    /// Takes whatever comes, until nothing does for a while.
    pub async fn settle(&mut self) {
        while let Ok(Ok(Some(response))) =
            timeout(Duration::from_millis(300), self.responses.message()).await
        {
            self.take(response);
        }
    }

    /// Takes everything that a sidecar takes, with the routes of these names.
    pub async fn take_all(&mut self, routes: &[&str]) {
        self.until("clusters", |client| client.has.contains_key(&Kind::Cluster)).await;
        self.ask(Kind::Listener, &[]);
        self.until("listeners", |client| client.has.contains_key(&Kind::Listener)).await;
        self.ask(Kind::Routes, routes);
        self.until("routes", |client| {
            routes.iter().all(|name| client.body(Kind::Routes, name).is_some())
        })
        .await;
        self.until("endpoints", |client| {
            let names = client.names.get(&Kind::Endpoints).into_iter().flatten();
            let has = client.has.get(&Kind::Endpoints);
            names.into_iter().all(|name| has.is_some_and(|has| has.contains_key(name)))
        })
        .await;
    }

    /// The bytes of a resource.
    pub fn body(&self, kind: Kind, name: &str) -> Option<&Bytes> {
        self.has.get(&kind)?.get(name).map(|(_, body)| body)
    }

    /// Names of what it has of a kind.
    pub fn all(&self, kind: Kind) -> Vec<&str> {
        self.has.get(&kind).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    /// What came since the log was this long, in order: kind and name with its sign.
    pub fn since(&self, length: usize) -> Vec<(Kind, &str)> {
        let seen = self.log[length..].iter();
        seen.flat_map(|seen| seen.names.iter().map(|name| (seen.kind, name.as_str()))).collect()
    }
}

/// Whether the bytes of a resource hold this text.
pub fn mentions(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|window| window == text.as_bytes())
}
