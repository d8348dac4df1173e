//! Counting entries as a native proxy counts its exchanges.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, Version};
use lateen_proxy::connection::{ConnectionFacts, Direction};
use lateen_proxy::telemetry::{
    Captured, Cluster, Exchange, Grpc, HttpRecord, PeerMetadata, Service, Shard, TcpMeter,
    Upstream, peer,
};
use rustc_hash::FxHashMap;
use serde_json::Value;

use super::flags;
use super::record::{Place, cluster, endpoint, peer_headers, tag};
use crate::wire::access_log::{
    AccessLogCommon, AccessLogType, HttpAccessLogEntry, TcpAccessLogEntry,
};

/// How many texts are kept read: callers, services and endpoints that one proxy meets.
const KEPT: usize = 4096;

const GRPC_STATUS: &str = "grpc-status";

/// Counts entries.
pub(super) struct Count {
    shard: Rc<Shard>,
    connections: FxHashMap<(Direction, Box<str>), Rc<ConnectionFacts>>,
    services: FxHashMap<Box<str>, Rc<Named>>,
    labels: FxHashMap<Box<str>, Rc<Labels>>,
    /// Connections of opaque bytes that are open, by Envoy's number.
    open: FxHashMap<Box<str>, Open>,
    none: Captured,
}

/// The service of a cluster.
#[derive(Debug, Default)]
struct Named {
    host: String,
    name: String,
    namespace: String,
}

/// Labels of an endpoint.
#[derive(Debug, Default)]
struct Labels {
    app: String,
    version: String,
}

/// A connection of opaque bytes, and what was counted of it.
struct Open {
    meter: TcpMeter,
    received: u64,
    sent: u64,
}

/// What an entry says, apart from what only HTTP or only TCP has.
struct Read<'a> {
    facts: Rc<ConnectionFacts>,
    service: Rc<Named>,
    labels: Rc<Labels>,
    peer: Option<Rc<PeerMetadata>>,
    common: &'a AccessLogCommon,
}

impl Count {
    pub(super) fn new(shard: Rc<Shard>) -> Self {
        Self {
            shard,
            connections: FxHashMap::default(),
            services: FxHashMap::default(),
            labels: FxHashMap::default(),
            open: FxHashMap::default(),
            none: Captured::default(),
        }
    }

    /// A request has ended.
    pub(super) fn http(&mut self, place: Place, entry: &HttpAccessLogEntry) {
        let (Some(common), Some(request), Some(response)) =
            (&entry.common_properties, &entry.request, &entry.response)
        else {
            return;
        };
        let read = self.read(place, common);
        let status = response.response_code.unwrap_or_default();
        let is_grpc = request
            .request_headers
            .get("content-type")
            .is_some_and(|content_type| is_grpc(content_type));
        let grpc_status = response
            .response_trailers
            .get(GRPC_STATUS)
            .or_else(|| response.response_headers.get(GRPC_STATUS))
            .and_then(|status| status.parse().ok());
        self.shard.finish_http(&HttpRecord {
            exchange: read.exchange(),
            method: "",
            path: "",
            sent_path: "",
            authority: &request.authority,
            version: Version::HTTP_11,
            status: u16::try_from(status).unwrap_or_default(),
            grpc: is_grpc.then_some(Grpc { status: grpc_status, ..Grpc::default() }),
            wire_received: common.downstream_wire_bytes_received,
            wire_sent: common.downstream_wire_bytes_sent,
            upstream_service_time: None,
            attempts: 0,
            captured: &self.none,
        });
    }

    /// A connection of opaque bytes was opened, goes on, or has ended.
    pub(super) fn tcp(&mut self, place: Place, entry: &TcpAccessLogEntry) {
        let Some(common) = &entry.common_properties else { return };
        // At this moment the handshake with the client may not have ended: who it is is not known.
        if common.access_log_type() == AccessLogType::TcpUpstreamConnected {
            return;
        }
        let number = tag(&common.custom_tags, "connection");
        if !self.open.contains_key(number) {
            let read = self.read(place, common);
            let meter = self.shard.open_tcp(&read.exchange());
            self.open.insert(number.into(), Open { meter, received: 0, sent: 0 });
        }
        let bytes = entry.connection_properties.unwrap_or_default();
        if let Some(open) = self.open.get_mut(number) {
            // Both numbers count from the connection's beginning.
            open.meter.received(bytes.received_bytes.saturating_sub(open.received));
            open.meter.sent(bytes.sent_bytes.saturating_sub(open.sent));
            open.received = bytes.received_bytes.max(open.received);
            open.sent = bytes.sent_bytes.max(open.sent);
        }
        if common.access_log_type() == AccessLogType::TcpConnectionEnd {
            self.open.remove(number);
        }
    }

    /// Envoy has ended, and its connections with it.
    pub(super) fn envoy_ended(&mut self) {
        self.open.clear();
    }

    fn read<'a>(&mut self, place: Place, common: &'a AccessLogCommon) -> Read<'a> {
        let tags = &common.custom_tags;
        let principal = tag(tags, "peer_principal");
        let peer = peer_headers(common).and_then(|(metadata, id)| {
            let mut headers = HeaderMap::with_capacity(2);
            headers.insert(peer::METADATA, metadata);
            headers.insert(peer::METADATA_ID, id);
            let believed = Some(principal).filter(|principal| !principal.is_empty());
            self.shard.take_peer(&mut headers, believed).peer
        });
        Read {
            facts: self.connection(place.0, principal),
            service: kept(&mut self.services, tag(tags, "services"), named),
            labels: kept(&mut self.labels, tag(tags, "peer_labels"), labels),
            peer,
            common,
        }
    }

    fn connection(&mut self, direction: Direction, principal: &str) -> Rc<ConnectionFacts> {
        // Inbound alone, the peer of the connection is whom the metrics name.
        let principal = if direction == Direction::Inbound { principal } else { "" };
        let key = (direction, Box::from(principal));
        if let Some(known) = self.connections.get(&key) {
            return Rc::clone(known);
        }
        if self.connections.len() >= KEPT {
            self.connections.clear();
        }
        let facts = Rc::new(ConnectionFacts::reported(direction, principal.parse().ok()));
        self.connections.insert(key, Rc::clone(&facts));
        facts
    }
}

impl Read<'_> {
    fn exchange(&self) -> Exchange<'_> {
        let common = self.common;
        let tags = &common.custom_tags;
        let inbound = self.facts.direction == Direction::Inbound;
        let upstream = Upstream {
            peer_principal: tag(tags, "peer_principal"),
            local_principal: tag(tags, "local_principal"),
            ..Upstream::default()
        };
        let peer = match &self.peer {
            Some(peer) => peer.peer(),
            None if inbound => Default::default(),
            None => endpoint(tag(tags, "workload"), &self.labels.app, &self.labels.version),
        };
        let mut service = Service {
            host: &self.service.host,
            name: &self.service.name,
            namespace: &self.service.namespace,
        };
        let cluster = cluster(&common.upstream_cluster);
        if let (Cluster::Outbound { host, .. }, "") = (cluster, service.host) {
            service.host = host;
        }
        Exchange {
            duration: duration(common),
            flags: flags::read(common.response_flags.as_ref()),
            upstream: (!inbound).then_some(upstream),
            cluster,
            service,
            peer,
            // When it began is of no interest to metrics.
            ..Exchange::new(&self.facts, SystemTime::UNIX_EPOCH)
        }
    }
}

/// What `read` makes of a text that comes over and over.
fn kept<T>(known: &mut FxHashMap<Box<str>, Rc<T>>, text: &str, read: fn(&str) -> T) -> Rc<T> {
    if let Some(value) = known.get(text) {
        return Rc::clone(value);
    }
    if known.len() >= KEPT {
        known.clear();
    }
    let value = Rc::new(read(text));
    known.insert(text.into(), Rc::clone(&value));
    value
}

/// The first of a JSON list of `{host, name, namespace}`.
fn named(json: &str) -> Named {
    let list: Value = serde_json::from_str(json).unwrap_or_default();
    let field = |name: &str| list[0][name].as_str().unwrap_or_default().to_owned();
    Named { host: field("host"), name: field("name"), namespace: field("namespace") }
}

/// A JSON object of labels.
fn labels(json: &str) -> Labels {
    let object: Value = serde_json::from_str(json).unwrap_or_default();
    let label = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
    Labels { app: label("app"), version: label("version") }
}

fn is_grpc(content_type: &str) -> bool {
    content_type
        .strip_prefix("application/grpc")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';', ' ']))
}

fn duration(common: &AccessLogCommon) -> Duration {
    common.duration.and_then(|duration| duration.try_into().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
