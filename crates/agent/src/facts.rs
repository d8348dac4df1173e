//! What the control plane says of the workload.
//!
//! [`FactsClient`] keeps a native stream of its own beside the one that it relays for Envoy, and takes
//! from it what the agent itself needs: the settings of the mesh (trust domain, further roots) and who
//! the workload is. Envoy's own configuration passes by as it comes.

use std::sync::Arc;
use std::time::Duration;

use lateen_mesh::name::Name;
use lateen_mesh::{TYPE_URL, v1};
use lateen_proxy::config::Credentials;
use lateen_proxy::settings::{Role, Settings};
use lateen_xds::client::{Backoff, DeltaStream, Event, Response};
use lateen_xds::cut::Cut;
use lateen_xds::wire::Node;
use prost::Message;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tokio::sync::watch;

/// The first and the longest wait between attempts to reach the control plane.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Bytes of the largest response that is taken.
const LARGEST_RESPONSE: usize = 64 * 1024 * 1024;

/// What the control plane says of the workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// What holds for everything in the workload's scope.
    pub settings: v1::Settings,
    /// The workload, and what it accepts.
    pub inbound: v1::Inbound,
    /// A workload that a Gateway selects is a gateway.
    pub role: Role,
}

impl Facts {
    /// The workload; empty if the control plane says nothing of it.
    #[must_use]
    pub fn workload(&self) -> v1::Workload {
        self.inbound.workload.clone().unwrap_or_default()
    }
}

/// Keeps the stream.
#[derive(Debug)]
pub struct FactsClient {
    stream: DeltaStream,
    reader: Reader,
    facts: watch::Sender<Option<Arc<Facts>>>,
}

/// Collects the facts from the resources that come.
#[derive(Debug)]
struct Reader {
    /// Name of the resource that describes the workload.
    inbound_name: Name,
    settings: Option<v1::Settings>,
    inbound: Option<v1::Inbound>,
    listeners: usize,
}

impl FactsClient {
    /// A client for the settings' workload, and what it learns; `None` until it has learnt it.
    /// `random` gives numbers in 0.0..1.0.
    pub fn new(
        settings: &Settings,
        credentials: &Arc<Credentials>,
        random: impl FnMut() -> f64 + Send + 'static,
    ) -> (Self, watch::Receiver<Option<Arc<Facts>>>) {
        let stream = DeltaStream::new(
            credentials.target(),
            lateen_xds::client::Settings {
                node: node(settings),
                type_url: TYPE_URL.to_owned(),
                subscriptions: std::iter::once("*".to_owned()).collect(),
                known: Default::default(),
                backoff: Backoff::new(BACKOFF.0, BACKOFF.1, random),
                max_response: LARGEST_RESPONSE,
            },
        );
        let (facts, watch) = watch::channel(None);
        (Self { stream, reader: Reader::new(settings), facts }, watch)
    }

    /// Keeps the stream for as long as the task runs.
    pub async fn run(mut self) {
        loop {
            match self.stream.next().await {
                Event::Connected => tracing::debug!("asks the control plane about the workload"),
                Event::Disconnected(gone) => {
                    let (reason, retry_in) = (gone.reason, gone.retry_in);
                    tracing::info!(%reason, ?retry_in, "the control plane says nothing");
                }
                Event::Response(response) => self.response(&response),
            }
        }
    }

    fn response(&mut self, response: &Response) {
        if let Err(error) = self.reader.read(response) {
            tracing::error!(%error, "the control plane cannot be understood");
            self.stream.nack(&response.nonce, &error.to_string());
            return;
        }
        self.stream.applied(&Cut {
            sequence: 0,
            resources: response.resources.clone(),
            removed: response.removed.clone(),
        });
        self.stream.ack(&response.nonce);
        let Some(facts) = self.reader.facts() else { return };
        self.facts.send_if_modified(|known| {
            let news = known.as_deref() != Some(&facts);
            if news {
                *known = Some(Arc::new(facts));
            }
            news
        });
    }
}

impl Reader {
    fn new(settings: &Settings) -> Self {
        let Settings { namespace, workload, .. } = settings;
        let inbound_name = Name::Inbound { namespace: namespace.clone(), name: workload.clone() };
        Self { inbound_name, settings: None, inbound: None, listeners: 0 }
    }

    fn read(&mut self, response: &Response) -> Result<(), prost::DecodeError> {
        use v1::resource::Body;
        for resource in &response.resources {
            match Name::parse(&resource.name) {
                Some(Name::Settings) => {
                    if let Some(Body::Settings(settings)) = decode(&resource.body)? {
                        self.settings = Some(settings);
                    }
                }
                Some(name) if name == self.inbound_name => {
                    if let Some(Body::Inbound(inbound)) = decode(&resource.body)? {
                        self.inbound = Some(inbound);
                    }
                }
                Some(Name::Gateway(_)) => self.listeners += 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// What is known, once it is whole.
    fn facts(&self) -> Option<Facts> {
        Some(Facts {
            settings: self.settings.clone()?,
            inbound: self.inbound.clone()?,
            role: if self.listeners > 0 { Role::Gateway } else { Role::Sidecar },
        })
    }
}

fn decode(body: &bytes::Bytes) -> Result<Option<v1::resource::Body>, prost::DecodeError> {
    Ok(v1::Resource::decode(body.clone())?.body)
}

/// What the agent says of itself on its own stream.
fn node(settings: &Settings) -> Node {
    let text = |value: &str| Value { kind: Some(Kind::StringValue(value.to_owned())) };
    let fields = [
        ("NAME".to_owned(), text(&settings.workload)),
        ("NAMESPACE".to_owned(), text(&settings.namespace)),
        ("LATEEN_AGENT".to_owned(), text("true")),
    ];
    Node {
        id: lateen_proxy::config::node_id(settings),
        cluster: format!("{}.{}", settings.workload, settings.namespace),
        metadata: Some(Struct { fields: fields.into() }),
        user_agent_name: "lateen-agent".to_owned(),
        user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Node::default()
    }
}

#[cfg(test)]
mod tests {
    use lateen_mesh::encoded::Encoded;
    use lateen_xds::Resource;
    use v1::resource::Body;

    use super::*;

    fn response(resources: Vec<(&str, Body)>) -> Response {
        let encode = |(name, body): (&str, Body)| {
            let body = Encoded::new(&v1::Resource { objects: Vec::new(), body: Some(body) });
            let version = body.version.to_string().into();
            Resource { name: name.into(), version, body: body.bytes }
        };
        Response {
            resources: resources.into_iter().map(encode).collect(),
            removed: Vec::new(),
            nonce: String::new(),
        }
    }

    #[test]
    fn facts_are_whole_or_not_there() {
        let settings = Settings::new("127.0.0.1:1", "shop", "web-1", "/state");
        let workload = v1::Workload { name: "web-1".to_owned(), ..v1::Workload::default() };
        let own = v1::Inbound { workload: Some(workload), ..v1::Inbound::default() };
        let mesh =
            v1::Settings { trust_domain: "cluster.local".to_owned(), ..v1::Settings::default() };
        let mut reader = Reader::new(&settings);
        assert_eq!(reader.facts(), None);
        let first = [("settings", Body::Settings(mesh.clone()))];
        reader.read(&response(first.into())).unwrap();
        assert_eq!(reader.facts(), None, "who the workload is has not come");
        let others = v1::Inbound { only_declared: true, ..v1::Inbound::default() };
        let second = [
            ("inbound/shop/web-2", Body::Inbound(others)),
            ("inbound/shop/web-1", Body::Inbound(own.clone())),
        ];
        reader.read(&response(second.into())).unwrap();
        let facts = Facts { settings: mesh, inbound: own, role: Role::Sidecar };
        assert_eq!(facts.workload().name, "web-1");
        assert_eq!(reader.facts(), Some(facts.clone()));
        let listener = v1::GatewayListener::default();
        reader.read(&response([("gateway/80", Body::Gateway(listener))].into())).unwrap();
        assert_eq!(reader.facts(), Some(Facts { role: Role::Gateway, ..facts }));
    }
}
