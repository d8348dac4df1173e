//! The account of a connection that is relayed or refused.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use lateen_engine::Origin;
use lateen_engine::destination::{Address, Destination, Endpoint};
use lateen_engine::inbound::InboundPort;
use lateen_identity::peer_identity;

use super::Refused;
use crate::connection::{ClientIo, ConnectionFacts};
use crate::tcp::Counters;
use crate::telemetry::{Cluster, Exchange, Object, Peer, Reason, Service, TcpMeter, Upstream};
use crate::worker::WorkerContext;

/// What is kept of a connection for its one report at the end.
#[derive(Debug)]
pub(super) struct Account {
    ctx: Rc<WorkerContext>,
    facts: Rc<ConnectionFacts>,
    start: SystemTime,
    pub(super) sent_to: SentTo,
    pub(super) decided_by: Option<Origin>,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    upstream: Link,
}

/// Where a connection was sent.
#[derive(Debug, Default)]
pub(super) enum SentTo {
    /// Nowhere.
    #[default]
    Nowhere,
    /// To a destination of the mesh's.
    Destination(Arc<Destination>),
    /// To the workload's application.
    Application(Application),
    /// To the address that the client dialled.
    Passthrough,
}

/// A port of the application, as telemetry names it.
#[derive(Debug)]
pub(super) struct Application {
    port: u16,
    /// Whether a service declares the port; the names are empty otherwise.
    declared: bool,
    host: Box<str>,
    name: Box<str>,
    namespace: Box<str>,
}

impl From<&InboundPort<'_>> for Application {
    fn from(inbound: &InboundPort<'_>) -> Self {
        let (_, port) = inbound.forward();
        match inbound.declared() {
            Some(declared) => Self {
                port,
                declared: true,
                host: declared.service_host.clone(),
                name: declared.service_name.clone(),
                namespace: declared.service_namespace.clone(),
            },
            None => Self {
                port,
                declared: false,
                host: Box::default(),
                name: Box::default(),
                namespace: Box::default(),
            },
        }
    }
}

/// The connection to the endpoint.
#[derive(Debug, Default)]
struct Link {
    address: Option<SocketAddr>,
    local: Option<SocketAddr>,
    peer_principal: String,
    local_principal: Rc<str>,
}

/// How a connection ended.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// `None`: as it should.
    pub(super) reason: Option<Reason>,
    /// Details of the decision or of the break; may be empty.
    pub(super) termination: String,
    /// Why the transport to the endpoint failed; may be empty.
    pub(super) transport: String,
}

impl Account {
    pub(super) fn new(
        ctx: &Rc<WorkerContext>,
        facts: &Rc<ConnectionFacts>,
        start: SystemTime,
    ) -> Self {
        Self {
            ctx: Rc::clone(ctx),
            facts: Rc::clone(facts),
            start,
            sent_to: SentTo::Nowhere,
            decided_by: None,
            endpoint: None,
            upstream: Link::default(),
        }
    }

    /// There is a connection to the endpoint.
    pub(super) fn connected(&mut self, io: &ClientIo) {
        self.upstream.address = io.remote_address();
        self.upstream.local = io.local_address();
        if let ClientIo::Tls(tls) = io {
            let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
            let peer = peer_identity(chain);
            if let Some(peer) = peer {
                self.upstream.peer_principal = peer.to_string();
                self.upstream.local_principal = self.ctx.principal();
            }
        }
    }

    /// Counts the connection as open, with what is known now.
    pub(super) fn open(&self) -> TcpMeter {
        self.ctx.telemetry.open_tcp(&self.exchange())
    }

    /// The connection was closed before anything was relayed.
    pub(super) fn refuse(mut self, refused: Refused) {
        if let Some(origin) = refused.origin {
            self.decided_by = Some(origin);
        }
        let ending = Ending {
            reason: Some(refused.reason),
            termination: refused.detail,
            transport: String::new(),
        };
        self.finish(&ending, &Counters::default());
    }

    /// The endpoint could not be reached.
    pub(super) fn failed(self, reason: Reason, transport: String) {
        let ending = Ending { reason: Some(reason), termination: String::new(), transport };
        let meter = self.open();
        self.finish(&ending, &Counters::default());
        drop(meter);
    }

    /// The one report.
    pub(super) fn finish(self, ending: &Ending, counters: &Counters) {
        let mut exchange = self.exchange();
        let transport = Some(ending.transport.as_str()).filter(|text| !text.is_empty());
        let details = ending.reason.map(|reason| reason.details(transport));
        exchange.duration = self.facts.opened.elapsed();
        exchange.reason = ending.reason;
        if let Some(reason) = ending.reason {
            exchange.flags = reason.connection_flags();
        }
        // A relay has no response, and so no details of one; a connection that nobody takes has.
        if ending
            .reason
            .is_some_and(|reason| reason.flags().contains(crate::telemetry::flags::Flags::NO_ROUTE))
        {
            exchange.details = details.as_deref().unwrap_or_default();
        }
        exchange.termination = &ending.termination;
        exchange.transport_failure = &ending.transport;
        exchange.bytes_received = counters.received.get();
        exchange.bytes_sent = counters.sent.get();
        if matches!(ending.reason, Some(Reason::NotInRegistry | Reason::PassthroughLoop)) {
            exchange.cluster = Cluster::BlackHole;
        }
        self.ctx.telemetry.finish_tcp(&exchange);
    }

    fn exchange(&self) -> Exchange<'_> {
        let mut exchange = Exchange::new(&self.facts, self.start);
        exchange.cluster = self.cluster();
        exchange.service = self.service();
        exchange.decided_by = self.decided_by.as_ref().and_then(object);
        if let SentTo::Destination(destination) = &self.sent_to {
            exchange.entry = &destination.key().host;
        }
        if let Some(endpoint) = &self.endpoint {
            exchange.peer = peer(endpoint);
        }
        exchange.upstream = self.upstream();
        exchange
    }

    fn cluster(&self) -> Cluster<'_> {
        match &self.sent_to {
            SentTo::Nowhere => Cluster::None,
            SentTo::Passthrough => Cluster::Passthrough,
            SentTo::Destination(destination) => {
                let key = destination.key();
                Cluster::Outbound { port: key.port, subset: &key.subset, host: &key.host }
            }
            SentTo::Application(application) if application.declared => {
                Cluster::Inbound { port: application.port }
            }
            SentTo::Application(_) => Cluster::InboundPassthrough,
        }
    }

    fn service(&self) -> Service<'_> {
        match &self.sent_to {
            SentTo::Nowhere | SentTo::Passthrough => Service::default(),
            SentTo::Destination(destination) => Service {
                host: &destination.key().host,
                name: destination.service_name(),
                namespace: destination.namespace(),
            },
            SentTo::Application(application) => Service {
                host: &application.host,
                name: &application.name,
                namespace: &application.namespace,
            },
        }
    }

    fn upstream(&self) -> Option<Upstream<'_>> {
        let unix_path = match self.endpoint.as_ref().map(|endpoint| &endpoint.address) {
            Some(Address::Unix(path)) => path,
            _ => "",
        };
        if self.upstream.address.is_none() && unix_path.is_empty() {
            return None;
        }
        Some(Upstream {
            address: self.upstream.address,
            unix_path,
            local: self.upstream.local,
            peer_principal: &self.upstream.peer_principal,
            local_principal: &self.upstream.local_principal,
        })
    }
}

fn object(origin: &Origin) -> Option<Object<'_>> {
    let object = origin.object.as_deref()?;
    Some(Object {
        kind: &object.kind,
        namespace: &object.namespace,
        name: &object.name,
        field: &origin.field,
    })
}

fn peer(endpoint: &Endpoint) -> Peer<'_> {
    let template = &endpoint.template;
    Peer {
        workload: &template.workload,
        namespace: &template.namespace,
        canonical_name: &template.canonical_name,
        canonical_revision: &template.canonical_revision,
        app: template.label("app").unwrap_or_default(),
        version: template.label("version").unwrap_or_default(),
        cluster: &template.cluster,
    }
}
