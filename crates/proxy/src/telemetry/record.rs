//! What the request path hands over when an exchange or a connection has ended.
//!
//! Everything is borrowed: a record is made on the stack from what the exchange kept, and nothing
//! is allocated for it. [`Exchange`] is what HTTP exchanges and TCP connections have in common.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::capture::Captured;
use super::flags::Flags;
use super::reason::Reason;
use crate::connection::ConnectionFacts;

/// What an HTTP exchange and a TCP connection have in common.
#[derive(Debug, Clone)]
pub struct Exchange<'a> {
    /// The downstream connection.
    pub facts: &'a ConnectionFacts,
    /// When the request's headers had arrived, or the connection was accepted.
    pub start: SystemTime,
    /// From `start` to the last byte.
    pub duration: Duration,
    /// Envoy's flags: those of `reason`, and `URX` where retries were used up.
    pub flags: Flags,
    /// Why the proxy answered by itself or the exchange ended badly.
    pub reason: Option<Reason>,
    /// `%RESPONSE_CODE_DETAILS%`: `via_upstream`, or what [`Reason::details`] says; empty: `-`.
    pub details: &'a str,
    /// `%CONNECTION_TERMINATION_DETAILS%`; empty: `-`.
    pub termination: &'a str,
    /// `%UPSTREAM_TRANSPORT_FAILURE_REASON%`; empty: `-`.
    pub transport_failure: &'a str,
    /// Bytes of the request's body, or bytes from the client.
    pub bytes_received: u64,
    /// Bytes of the response's body, or bytes to the client.
    pub bytes_sent: u64,
    /// The endpoint that was last tried.
    pub upstream: Option<Upstream<'a>>,
    /// Where the traffic was sent, in Istio's naming.
    pub cluster: Cluster<'a>,
    /// The service that was called; empty where none is known.
    pub service: Service<'a>,
    /// The workload at the other end: the caller for inbound traffic, else the endpoint's.
    pub peer: Peer<'a>,
    /// Name of the route that matched; empty: `-`.
    pub route_name: &'a str,
    /// Host of the directory entry whose details were used, to know which are still in use; empty
    /// for inbound traffic and at gateways.
    pub entry: &'a str,
    /// The user's object that decided what became of it.
    pub decided_by: Option<Object<'a>>,
}

impl<'a> Exchange<'a> {
    /// An exchange of which nothing is known but its connection.
    #[must_use]
    pub fn new(facts: &'a ConnectionFacts, start: SystemTime) -> Self {
        Self {
            facts,
            start,
            duration: Duration::ZERO,
            flags: Flags::NONE,
            reason: None,
            details: "",
            termination: "",
            transport_failure: "",
            bytes_received: 0,
            bytes_sent: 0,
            upstream: None,
            cluster: Cluster::None,
            service: Service::default(),
            peer: Peer::default(),
            route_name: "",
            entry: "",
            decided_by: None,
        }
    }
}

/// An HTTP exchange that has ended.
#[derive(Debug)]
pub struct HttpRecord<'a> {
    /// What it has in common with a TCP connection.
    pub exchange: Exchange<'a>,
    /// Method.
    pub method: &'a str,
    /// Path and query as the client sent them, before any rewrite.
    pub path: &'a str,
    /// Path and query as they were sent on, after any rewrite.
    pub sent_path: &'a str,
    /// Authority (Host), after any rewrite.
    pub authority: &'a str,
    /// Version that the client spoke.
    pub version: http::Version,
    /// Status of the response; 0 when there was none.
    pub status: u16,
    /// `Some` for gRPC (by the request's content type), with the status in the response's trailers
    /// or headers if there was one.
    pub grpc: Option<Grpc>,
    /// Bytes on the wire from the client, headers included.
    pub wire_received: u64,
    /// Bytes on the wire to the client, headers included.
    pub wire_sent: u64,
    /// From the last byte of the request being sent upstream to the response's headers.
    pub upstream_service_time: Option<Duration>,
    /// Attempts that were made, the first included; 0 when nothing was sent.
    pub attempts: u32,
    /// Headers that the access log shows.
    pub captured: &'a Captured,
}

/// What is particular to a gRPC exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grpc {
    /// `grpc-status`.
    pub status: Option<u16>,
    /// Messages from the client.
    pub request_messages: u64,
    /// Messages to the client.
    pub response_messages: u64,
}

/// The endpoint that was tried.
#[derive(Debug, Clone, Copy, Default)]
pub struct Upstream<'a> {
    /// Its address, where it has one.
    pub address: Option<SocketAddr>,
    /// Path of its Unix socket, where it has none.
    pub unix_path: &'a str,
    /// Our own address of the connection to it.
    pub local: Option<SocketAddr>,
    /// The identity that it proved (`spiffe://…`); empty without mesh TLS.
    pub peer_principal: &'a str,
    /// The identity that we proved to it; empty without mutual TLS.
    pub local_principal: &'a str,
}

/// Where traffic was sent, in Istio's naming of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cluster<'a> {
    /// Nowhere: it was answered or refused before.
    #[default]
    None,
    /// `outbound|<port>|<subset>|<host>`.
    Outbound {
        /// Port of the service.
        port: u16,
        /// Subset, or empty.
        subset: &'a str,
        /// Host of the service.
        host: &'a str,
    },
    /// `inbound|<port>||`.
    Inbound {
        /// Port of the application.
        port: u16,
    },
    /// To the address that was dialled, outside of the mesh.
    Passthrough,
    /// Refused by REGISTRY_ONLY.
    BlackHole,
    /// To a port of the workload that no service declares.
    InboundPassthrough,
}

impl fmt::Display for Cluster<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("-"),
            Self::Outbound { port, subset, host } => write!(f, "outbound|{port}|{subset}|{host}"),
            Self::Inbound { port } => write!(f, "inbound|{port}||"),
            Self::Passthrough => f.write_str("PassthroughCluster"),
            Self::BlackHole => f.write_str("BlackHoleCluster"),
            Self::InboundPassthrough => f.write_str("InboundPassthroughCluster"),
        }
    }
}

/// A service, as the metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service<'a> {
    /// Host: `reviews.shop.svc.cluster.local`.
    pub host: &'a str,
    /// Name: `reviews`.
    pub name: &'a str,
    /// Namespace: `shop`.
    pub namespace: &'a str,
}

/// A workload, as the metrics name it. Empty: not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peer<'a> {
    /// Name of the owner of the pods, such as a Deployment.
    pub workload: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Canonical service.
    pub canonical_name: &'a str,
    /// Canonical revision.
    pub canonical_revision: &'a str,
    /// Label `app`.
    pub app: &'a str,
    /// Label `version`.
    pub version: &'a str,
    /// Cluster (of machines) that it runs in.
    pub cluster: &'a str,
}

/// A user's object and the field in it that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Object<'a> {
    /// Kind, such as `VirtualService`.
    pub kind: &'a str,
    /// Namespace.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Path of the field, such as `spec.http[2]`; may be empty.
    pub field: &'a str,
}

impl fmt::Display for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)?;
        if self.field.is_empty() { Ok(()) } else { write!(f, " {}", self.field) }
    }
}
