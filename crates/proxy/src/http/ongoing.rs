//! What is known of an exchange while it lasts, and its one report at the end.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version};
use lateen_engine::Origin;
use lateen_engine::destination::{Destination, Endpoint};

use super::client::Link;
use super::downstream::Downstream;
use super::headers::names;
use super::upload::Source;
use crate::cell::InFlight;
use crate::connection::Direction;
use crate::tcp::Counters;
use crate::telemetry::{
    Captured, Cluster, Exchange, Flags, Grpc, HttpRecord, MessageCounter, Object, Peer,
    PeerMetadata, Reason, Service, Upstream,
};

/// An exchange that lasts. It is reported exactly once: by [`Ongoing::finish`], or when a codec
/// gives it up because its client is gone, which it can only say by dropping it.
#[derive(Debug)]
pub(super) struct Ongoing {
    record: Box<Record>,
    finished: bool,
}

/// What is known of an exchange.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) downstream: Rc<Downstream>,
    pub(super) began: Instant,
    start: SystemTime,
    pub(super) method: Method,
    /// As the client sent it, normalised.
    pub(super) path: PathAndQuery,
    /// As it was sent on, where that differs.
    pub(super) sent_path: Option<PathAndQuery>,
    pub(super) authority: HeaderValue,
    pub(super) version: Version,
    pub(super) grpc: bool,
    pub(super) grpc_status: Option<u16>,
    pub(super) source: Option<Rc<Source>>,
    pub(super) status: u16,
    pub(super) flags: Flags,
    pub(super) reason: Option<Reason>,
    pub(super) details: Cow<'static, str>,
    pub(super) transport: Option<Rc<str>>,
    /// Bytes that went both ways after an upgrade.
    pub(super) relayed: Rc<Counters>,
    pub(super) bytes_sent: u64,
    pub(super) response_messages: MessageCounter,
    pub(super) head_received: u64,
    pub(super) head_sent: u64,
    pub(super) attempts: u32,
    pub(super) service_time: Option<Duration>,
    pub(super) sent_to: SentTo,
    /// The endpoint that was last tried.
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) address: Option<SocketAddr>,
    pub(super) link: Option<Rc<Link>>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) peer: Option<Rc<PeerMetadata>>,
    pub(super) route_name: Box<str>,
    pub(super) entry: Option<Arc<str>>,
    pub(super) decided_by: Option<Origin>,
    pub(super) captured: Captured,
}

/// Where an exchange was sent.
#[derive(Debug, Default)]
pub(super) enum SentTo {
    /// Nowhere (yet).
    #[default]
    Nowhere,
    /// To a destination of the mesh's.
    Destination(Arc<Destination>),
    /// To the application.
    Application(Rc<Application>),
    /// To the address that the client dialled.
    Passthrough,
    /// Nowhere, by REGISTRY_ONLY.
    BlackHole,
}

/// A port of the application, as telemetry names it.
#[derive(Debug, Default)]
pub(super) struct Application {
    pub(super) port: u16,
    /// Whether a service declares the port; the names are empty otherwise.
    pub(super) declared: bool,
    pub(super) host: Box<str>,
    pub(super) name: Box<str>,
    pub(super) namespace: Box<str>,
    /// Value of `x-envoy-decorator-operation`.
    pub(super) operation: Option<HeaderValue>,
}

impl Ongoing {
    /// An exchange begins: its head has come.
    pub(super) fn begin(downstream: &Rc<Downstream>, request: &http::request::Parts) -> Self {
        downstream.activity.begin();
        let clock = downstream.ctx.clock;
        let path = request.uri.path_and_query().cloned();
        let record = Record {
            began: clock.now(),
            start: clock.wall(),
            method: request.method.clone(),
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            sent_path: None,
            authority: HeaderValue::from_static(""),
            version: request.version,
            grpc: super::headers::is_grpc(&request.headers),
            grpc_status: None,
            source: None,
            status: 0,
            flags: Flags::NONE,
            reason: None,
            details: Cow::Borrowed(""),
            transport: None,
            relayed: Rc::default(),
            bytes_sent: 0,
            response_messages: MessageCounter::default(),
            head_received: 0,
            head_sent: 0,
            attempts: 0,
            service_time: None,
            sent_to: SentTo::Nowhere,
            endpoint: None,
            address: None,
            link: None,
            in_flight: None,
            peer: None,
            route_name: Box::default(),
            entry: None,
            decided_by: None,
            captured: downstream.ctx.telemetry.capture(),
            downstream: Rc::clone(downstream),
        };
        Self { record: Box::new(record), finished: false }
    }

    /// The exchange is over, and is logged and counted.
    pub(super) fn finish(mut self) {
        self.finished = true;
        self.record.report();
    }
}

impl Deref for Ongoing {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl DerefMut for Ongoing {
    fn deref_mut(&mut self) -> &mut Record {
        &mut self.record
    }
}

impl Drop for Ongoing {
    /// A future that waits for an endpoint or for a client is ended by being dropped; this is the
    /// only way in which a codec tells that its client is gone.
    fn drop(&mut self) {
        if !self.finished {
            let ending = self.record.downstream.ending.get();
            self.record.fail(ending);
            self.record.report();
        }
    }
}

impl Record {
    /// The exchange ended badly, or is answered by the proxy itself.
    pub(super) fn fail(&mut self, reason: Reason) {
        self.reason = Some(reason);
        self.flags |= reason.flags();
        self.details = reason.details(self.transport.as_deref());
    }

    /// Takes what a response's headers or trailers say of gRPC.
    pub(super) fn observe_grpc_status(&mut self, headers: &HeaderMap) {
        if self.grpc
            && let Some(status) = headers.get(names::GRPC_STATUS)
        {
            self.grpc_status = status.to_str().ok().and_then(|status| status.parse().ok());
        }
    }

    fn report(&mut self) {
        let now = self.downstream.ctx.clock.now();
        self.in_flight = None;
        self.downstream.activity.end(now);
        let record = self.http_record(now);
        self.downstream.ctx.telemetry.finish_http(&record);
    }

    fn http_record(&self, now: Instant) -> HttpRecord<'_> {
        let facts = &*self.downstream.facts;
        let received = self.relayed.received.get()
            + self.source.as_ref().map_or(0, |source| source.received());
        let sent = self.relayed.sent.get() + self.bytes_sent;
        let mut exchange = Exchange::new(facts, self.start);
        exchange.duration = now.saturating_duration_since(self.began);
        exchange.flags = self.flags;
        exchange.reason = self.reason;
        exchange.details = &self.details;
        exchange.transport_failure = self.transport.as_deref().unwrap_or_default();
        exchange.bytes_received = received;
        exchange.bytes_sent = sent;
        exchange.upstream = self.upstream();
        exchange.cluster = self.cluster();
        exchange.service = self.service();
        exchange.peer = self.peer();
        exchange.route_name = self.route_name();
        exchange.entry = self.entry.as_deref().unwrap_or_default();
        exchange.decided_by = self.decided_by();
        HttpRecord {
            exchange,
            method: self.method.as_str(),
            path: self.path.as_str(),
            sent_path: self.sent_path.as_ref().unwrap_or(&self.path).as_str(),
            authority: self.authority.to_str().unwrap_or_default(),
            version: self.version,
            status: self.status,
            grpc: self.grpc.then(|| Grpc {
                status: self.grpc_status,
                request_messages: self.source.as_ref().map_or(0, |source| source.messages()),
                response_messages: self.response_messages.messages(),
            }),
            wire_received: self.head_received + received,
            wire_sent: self.head_sent + sent,
            upstream_service_time: self.service_time,
            attempts: self.attempts,
            captured: &self.captured,
        }
    }

    fn upstream(&self) -> Option<Upstream<'_>> {
        let link = self.link.as_deref();
        let unix_path = match self.endpoint.as_deref().map(|endpoint| &endpoint.address) {
            Some(lateen_engine::destination::Address::Unix(path)) => path,
            _ => "",
        };
        let address = link.and_then(|link| link.remote).or(self.address);
        if address.is_none() && unix_path.is_empty() {
            return None;
        }
        let peer_principal = link.and_then(|link| link.peer_principal.as_deref());
        let local_principal = link.and_then(|link| link.local_principal.as_deref());
        Some(Upstream {
            address,
            unix_path,
            local: link.and_then(|link| link.local),
            peer_principal: peer_principal.unwrap_or_default(),
            local_principal: local_principal.unwrap_or_default(),
        })
    }

    fn cluster(&self) -> Cluster<'_> {
        match &self.sent_to {
            SentTo::Nowhere => Cluster::None,
            SentTo::Destination(destination) => {
                let key = destination.key();
                Cluster::Outbound { port: key.port, subset: &key.subset, host: &key.host }
            }
            SentTo::Application(application) if application.declared => {
                Cluster::Inbound { port: application.port }
            }
            SentTo::Application(_) => Cluster::InboundPassthrough,
            SentTo::Passthrough => Cluster::Passthrough,
            SentTo::BlackHole => Cluster::BlackHole,
        }
    }

    /// Istio's names for the routes that nobody wrote.
    fn route_name(&self) -> &str {
        match &self.sent_to {
            SentTo::Passthrough => "allow_any",
            SentTo::BlackHole if self.route_name.is_empty() => "block_all",
            SentTo::Application(_) if self.route_name.is_empty() => "default",
            _ => &self.route_name,
        }
    }

    fn service(&self) -> Service<'_> {
        match &self.sent_to {
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
            SentTo::Nowhere | SentTo::Passthrough | SentTo::BlackHole => Service::default(),
        }
    }

    fn peer(&self) -> Peer<'_> {
        if let Some(peer) = &self.peer {
            return peer.peer();
        }
        match (&self.endpoint, self.downstream.facts.direction) {
            (Some(endpoint), Direction::Outbound | Direction::Gateway) => {
                (&*endpoint.template).into()
            }
            _ => Peer::default(),
        }
    }

    fn decided_by(&self) -> Option<Object<'_>> {
        let origin = self.decided_by.as_ref()?;
        let object = origin.object.as_deref()?;
        Some(Object {
            kind: &object.kind,
            namespace: &object.namespace,
            name: &object.name,
            field: &origin.field,
        })
    }
}
