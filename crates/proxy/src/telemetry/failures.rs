//! The ring of the last failures.
//!
//! Each worker keeps its own, behind a lock that only it and the admin endpoint take, and only when
//! something has failed.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::access_log::timestamp_text;
use super::record::{Exchange, HttpRecord, Peer};

/// How many failures each worker keeps.
const KEPT: usize = 128;

/// Longer texts of a request are cut.
const LONGEST: usize = 512;

/// Everything that is known of a failed exchange or connection.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    #[serde(skip)]
    at: Option<SystemTime>,
    /// When it began, RFC 3339.
    pub start_time: String,
    /// Stable code.
    pub reason: &'static str,
    /// Who has to act.
    pub side: &'static str,
    /// Whether the application may have seen it.
    pub reached_application: &'static str,
    /// What happened, and what to look at next.
    pub meaning: String,
    /// `outbound`, `inbound` or `gateway`.
    pub direction: &'static str,
    /// The object that decided.
    pub decided_by: Option<DecidedBy>,
    /// The request; `None` for a TCP connection.
    pub request: Option<FailedRequest>,
    /// Envoy's flags.
    pub response_flags: String,
    /// Envoy's details.
    pub response_code_details: String,
    /// Why the transport to the endpoint failed.
    pub upstream_transport_failure: String,
    /// Why the connection ended.
    pub termination: String,
    /// Milliseconds.
    pub duration: u64,
    /// Bytes from the client.
    pub bytes_received: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
    /// Istio's name of the destination.
    pub upstream_cluster: String,
    /// The endpoint that was tried.
    pub upstream_host: Option<String>,
    /// The route that matched.
    pub route_name: String,
    /// Host of the service that was called.
    pub service: String,
    /// `<namespace>/<workload>` at the other end.
    pub peer: Option<String>,
    /// The identity that the client has proved.
    pub downstream_principal: Option<String>,
    /// Who dialled.
    pub downstream_remote: SocketAddr,
    /// What was dialled.
    pub original_destination: SocketAddr,
    /// Server name of TLS.
    pub sni: Option<String>,
    /// Number of the connection.
    pub connection: u64,
}

/// An object and a field in it.
#[derive(Debug, Clone, Serialize)]
pub struct DecidedBy {
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Path of the field.
    pub field: String,
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct FailedRequest {
    /// Method.
    pub method: String,
    /// Authority.
    pub authority: String,
    /// Path and query as they came.
    pub path: String,
    /// Status that was answered; 0 for none.
    pub status: u16,
    /// Attempts that were made.
    pub attempts: u32,
}

impl Failure {
    /// `None` when the exchange did not fail.
    pub(super) fn of(exchange: &Exchange<'_>, http: Option<&HttpRecord<'_>>) -> Option<Self> {
        let reason = exchange.reason.filter(|reason| reason.is_failure())?;
        let facts = reason.facts();
        let Peer { namespace, workload, .. } = exchange.peer;
        Some(Self {
            at: Some(exchange.start),
            start_time: timestamp_text(exchange.start),
            reason: facts.code,
            side: facts.side.name(),
            reached_application: facts.reached.name(),
            meaning: format!("{} {}", facts.meaning.trim(), facts.advice.trim()),
            direction: super::direction_name(exchange.facts.direction),
            decided_by: exchange.decided_by.map(|object| DecidedBy {
                kind: object.kind.to_owned(),
                namespace: object.namespace.to_owned(),
                name: object.name.to_owned(),
                field: object.field.to_owned(),
            }),
            request: http.map(|http| FailedRequest {
                method: cut(http.method),
                authority: cut(http.authority),
                path: cut(http.path),
                status: http.status,
                attempts: http.attempts,
            }),
            response_flags: exchange.flags.to_string(),
            response_code_details: exchange.details.to_owned(),
            upstream_transport_failure: exchange.transport_failure.to_owned(),
            termination: exchange.termination.to_owned(),
            duration: u64::try_from(exchange.duration.as_millis()).unwrap_or(u64::MAX),
            bytes_received: exchange.bytes_received,
            bytes_sent: exchange.bytes_sent,
            upstream_cluster: exchange.cluster.to_string(),
            upstream_host: exchange.upstream.and_then(|upstream| match upstream.address {
                Some(address) => Some(address.to_string()),
                None => (!upstream.unix_path.is_empty()).then(|| upstream.unix_path.to_owned()),
            }),
            route_name: exchange.route_name.to_owned(),
            service: exchange.service.host.to_owned(),
            peer: (!workload.is_empty()).then(|| format!("{namespace}/{workload}")),
            downstream_principal: exchange
                .facts
                .peer()
                .and_then(|peer| Some(peer.spiffe.as_ref()?.to_string())),
            downstream_remote: exchange.facts.downstream_remote,
            original_destination: exchange.facts.original_destination,
            sni: exchange.facts.sni.as_deref().map(cut),
            connection: exchange.facts.id,
        })
    }
}

fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST)].to_owned()
}

/// The last failures of one worker.
#[derive(Debug, Default)]
pub(super) struct Ring {
    failures: Mutex<VecDeque<Failure>>,
}

impl Ring {
    pub(super) fn push(&self, failure: Failure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= KEPT {
            failures.pop_front();
        }
        failures.push_back(failure);
    }

    fn copy(&self) -> Vec<Failure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// The failures of all workers, the latest last.
pub(super) fn merge<'a>(rings: impl IntoIterator<Item = &'a Ring>) -> Vec<Failure> {
    let mut all: Vec<Failure> = rings.into_iter().flat_map(Ring::copy).collect();
    all.sort_by_key(|failure| failure.at);
    all
}
