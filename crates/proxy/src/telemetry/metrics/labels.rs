//! The labels of a series, as bytes.
//!
//! A worker writes the labels of an exchange one after the other into a buffer that it keeps, and
//! finds the series by those bytes: one hash and one comparison, nothing allocated. The same bytes
//! are what is kept of a series, and what the exposition is written from.

use crate::connection::Direction;
use crate::telemetry::flags::Flags;
use crate::telemetry::peer::OwnWorkload;
use crate::telemetry::record::{Cluster, Exchange, HttpRecord, Peer, Service};

/// Names of the text labels, in the order in which they are written and printed.
pub(super) const NAMES: [&str; 20] = [
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_workload",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_service",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_service_name",
    "destination_service_namespace",
    "destination_cluster",
];

/// Longer values are cut: nobody can make a label as long as a header may be.
const LONGEST: usize = 512;

const UNKNOWN: &str = "unknown";
const LATEST: &str = "latest";

/// `request_protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http = 0,
    Grpc = 1,
    Tcp = 2,
}

/// `connection_security_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Security {
    Unknown = 0,
    None = 1,
    MutualTls = 2,
}

/// Writes the labels of exchanges.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    bytes: Vec<u8>,
    /// Where the labels end and the directory entry begins.
    labels_end: usize,
}

impl Encoder {
    /// Writes the labels of an HTTP exchange; see [`Encoder::bytes`].
    pub(super) fn http(&mut self, record: &HttpRecord<'_>, own: &OwnWorkload) {
        let exchange = &record.exchange;
        let protocol = if record.grpc.is_some() { Protocol::Grpc } else { Protocol::Http };
        let grpc_status = record.grpc.and_then(|grpc| grpc.status);
        // Istio falls back to the Host header only where the workload's own requests leave it.
        let fallback = match exchange.facts.direction {
            Direction::Outbound => record.authority,
            Direction::Inbound | Direction::Gateway => "",
        };
        self.write(exchange, own, fallback, Tail { protocol, code: record.status, grpc_status });
    }

    /// Writes the labels of a TCP connection; see [`Encoder::bytes`].
    pub(super) fn tcp(&mut self, exchange: &Exchange<'_>, own: &OwnWorkload) {
        let tail = Tail { protocol: Protocol::Tcp, code: 0, grpc_status: None };
        self.write(exchange, own, "", tail);
    }

    /// What identifies the series within the worker: the labels, and behind them the directory
    /// entry that was used.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many of the bytes are labels.
    pub(super) fn labels_end(&self) -> usize {
        self.labels_end
    }

    fn write(&mut self, exchange: &Exchange<'_>, own: &OwnWorkload, fallback: &str, tail: Tail) {
        self.bytes.clear();
        let security = match exchange.facts.direction {
            Direction::Inbound => self.destination_reporter(exchange, own),
            Direction::Outbound | Direction::Gateway => {
                self.source_reporter(exchange, own, fallback);
                Security::Unknown
            }
        };
        self.bytes.push(tail.protocol as u8);
        self.bytes.extend_from_slice(&tail.code.to_le_bytes());
        let grpc_status = tail.grpc_status.map_or(u32::MAX, u32::from);
        self.bytes.extend_from_slice(&grpc_status.to_le_bytes());
        self.bytes.extend_from_slice(&exchange.flags.bits().to_le_bytes());
        self.bytes.push(security as u8);
        self.labels_end = self.bytes.len();
        self.bytes.extend_from_slice(exchange.entry.as_bytes());
    }

    /// What a client's proxy and a gateway say: the source is the own workload.
    fn source_reporter(&mut self, exchange: &Exchange<'_>, own: &OwnWorkload, fallback: &str) {
        let upstream = exchange.upstream.unwrap_or_default();
        let peer = exchange.peer;
        let namespace = first(&[namespace_of(upstream.peer_principal), peer.namespace]);
        let Service { host, name, namespace: service_namespace } = exchange.service;
        let (host, name) = match exchange.cluster {
            Cluster::Passthrough => (fallback, "PassthroughCluster"),
            Cluster::BlackHole => (fallback, "BlackHoleCluster"),
            _ if host.is_empty() => (fallback, fallback),
            _ => (host, if name.is_empty() { first_label(host) } else { name }),
        };
        self.text("source");
        self.own(own, &[Own::Workload, Own::CanonicalName, Own::CanonicalRevision, Own::Namespace]);
        self.known(upstream.local_principal, UNKNOWN);
        self.own(own, &[Own::App, Own::Version, Own::Cluster]);
        self.known(peer.workload, UNKNOWN);
        self.known(namespace, UNKNOWN);
        self.known(upstream.peer_principal, UNKNOWN);
        self.known(peer.app, UNKNOWN);
        self.known(peer.version, UNKNOWN);
        self.known(host, UNKNOWN);
        self.known(peer.canonical_name, UNKNOWN);
        self.known(peer.canonical_revision, LATEST);
        self.known(name, UNKNOWN);
        self.known(first(&[service_namespace, namespace]), UNKNOWN);
        self.known(peer.cluster, UNKNOWN);
    }

    /// What the server's proxy says: the destination is the own workload.
    fn destination_reporter(&mut self, exchange: &Exchange<'_>, own: &OwnWorkload) -> Security {
        let Peer { workload, namespace, canonical_name, canonical_revision, app, version, cluster } =
            exchange.peer;
        let spiffe = exchange.facts.peer().and_then(|peer| peer.spiffe.as_ref());
        let principal = spiffe.map_or("", |spiffe| spiffe.as_str());
        let own_principal = if principal.is_empty() { "" } else { &*own.principal };
        let namespace = first(&[namespace_of(principal), namespace]);
        let own_name = &*own.canonical_name;
        let host = first(&[exchange.service.host, own_name]);
        let name = match exchange.cluster {
            Cluster::InboundPassthrough => "InboundPassthroughCluster",
            _ if exchange.service.name.is_empty() && !exchange.service.host.is_empty() => {
                first_label(host)
            }
            _ => first(&[exchange.service.name, own_name]),
        };
        self.text("destination");
        self.known(workload, UNKNOWN);
        self.known(canonical_name, UNKNOWN);
        self.known(canonical_revision, LATEST);
        self.known(namespace, UNKNOWN);
        self.known(principal, UNKNOWN);
        self.known(app, UNKNOWN);
        self.known(version, UNKNOWN);
        self.known(cluster, UNKNOWN);
        self.own(own, &[Own::Workload, Own::Namespace]);
        self.known(own_principal, UNKNOWN);
        self.own(own, &[Own::App, Own::Version]);
        self.text(host);
        self.own(own, &[Own::CanonicalName, Own::CanonicalRevision]);
        self.text(name);
        self.own(own, &[Own::Namespace, Own::Cluster]);
        // Both ends must have proved an identity, as in Istio.
        if own_principal.is_empty() { Security::None } else { Security::MutualTls }
    }

    fn own(&mut self, own: &OwnWorkload, labels: &[Own]) {
        for label in labels {
            let value = match label {
                Own::Workload => &own.workload,
                Own::Namespace => &own.namespace,
                Own::CanonicalName => &own.canonical_name,
                Own::CanonicalRevision => &own.canonical_revision,
                Own::App => &own.app,
                Own::Version => &own.version,
                Own::Cluster => &own.cluster,
            };
            self.text(value);
        }
    }

    fn known(&mut self, value: &str, otherwise: &str) {
        self.text(if value.is_empty() { otherwise } else { value });
    }

    fn text(&mut self, value: &str) {
        let value = &value[..value.floor_char_boundary(LONGEST)];
        let length = u16::try_from(value.len()).expect("a label is cut to fewer bytes than that");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value.as_bytes());
    }
}

#[derive(Clone, Copy)]
enum Own {
    Workload,
    Namespace,
    CanonicalName,
    CanonicalRevision,
    App,
    Version,
    Cluster,
}

/// The labels that are no text.
#[derive(Debug, Clone, Copy)]
struct Tail {
    protocol: Protocol,
    code: u16,
    grpc_status: Option<u16>,
}

/// The first that is not empty.
fn first<'a>(candidates: &[&'a str]) -> &'a str {
    candidates.iter().copied().find(|candidate| !candidate.is_empty()).unwrap_or_default()
}

fn first_label(host: &str) -> &str {
    host.split_once('.').map_or(host, |(first, _)| first)
}

/// The namespace in `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`; empty if it is
/// no such principal.
fn namespace_of(principal: &str) -> &str {
    principal
        .strip_prefix("spiffe://")
        .and_then(|rest| rest.split_once("/ns/"))
        .and_then(|(_, rest)| rest.split_once('/'))
        .map_or("", |(namespace, _)| namespace)
}

/// The labels read back, for the exposition.
#[derive(Debug)]
pub(super) struct Decoded<'a> {
    pub(super) texts: [&'a str; NAMES.len()],
    pub(super) protocol: &'static str,
    pub(super) code: u16,
    pub(super) grpc_status: Option<u32>,
    pub(super) flags: Flags,
    pub(super) security: &'static str,
}

impl<'a> Decoded<'a> {
    /// Reads what [`Encoder`] wrote, without the directory entry; `None` for anything else.
    pub(super) fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let mut texts = [""; NAMES.len()];
        for text in &mut texts {
            let (length, rest) = bytes.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            *text = std::str::from_utf8(value).ok()?;
            bytes = rest;
        }
        let (protocol, rest) = bytes.split_first()?;
        let (code, rest) = rest.split_first_chunk()?;
        let (grpc_status, rest) = rest.split_first_chunk()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (security, []) = rest.split_first()? else { return None };
        let grpc_status = u32::from_le_bytes(*grpc_status);
        Some(Self {
            texts,
            protocol: ["http", "grpc", "tcp"].get(usize::from(*protocol))?,
            code: u16::from_le_bytes(*code),
            grpc_status: (grpc_status != u32::MAX).then_some(grpc_status),
            flags: Flags::from_bits(u32::from_le_bytes(*flags)),
            security: ["unknown", "none", "mutual_tls"].get(usize::from(*security))?,
        })
    }
}
