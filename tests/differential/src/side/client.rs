//! The clients: one connection after another through the proxy under test.

mod bytes;
mod connect;
mod http1;
mod http2;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;

use super::protocol::Prepared;
use super::tls::Keys;
use crate::observe::Observed;
use crate::scenario::{CLIENT, End, Exchange, HttpVersion, Place};
use connect::{Connection, Failure};

/// How long anything may take before it counts as `timeout`.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, where only a failure is waited for.
const IMPATIENCE: Duration = Duration::from_secs(4);

/// What a client did, beside what it saw: the address from which it did, for the access log.
pub struct Sent {
    /// What it saw.
    pub observed: Observed,
    /// Its own address; none where it could not connect.
    pub from: Option<SocketAddr>,
    /// The tag of what it sent.
    pub tag: String,
}

/// Told before each request, with its tag.
pub type OnTag<'a> = &'a dyn Fn(&str);

/// A client of one exchange.
pub struct Client<'a> {
    exchange: &'a Exchange,
    to: SocketAddr,
    from: IpAddr,
    keys: &'a Keys,
    patience: Duration,
}

impl<'a> Client<'a> {
    /// A client that knows where to go.
    ///
    /// # Errors
    /// When the mesh has no such place.
    pub fn new(
        exchange: &'a Exchange,
        prepared: &Prepared,
        keys: &'a Keys,
    ) -> anyhow::Result<Self> {
        let places = &prepared.places;
        let (to, port) = (&exchange.to, exchange.to.port.unwrap_or_default());
        let target = match (exchange.place, to.address, &to.service) {
            (_, Some(address), _) => address,
            (Place::Outbound, _, service) => {
                let host = host(service.as_deref().unwrap_or_default());
                let key = format!("{host}:{port}");
                *places.services.get(&key).with_context(|| format!("the client sees no {key}"))?
            }
            (Place::Inbound, ..) => {
                let found = places.inbound.get(&port).copied();
                found.with_context(|| format!("no service has the server's port {port}"))?
            }
            (Place::Gateway, ..) => {
                let found = places.gateway.get(&port).copied();
                found.with_context(|| format!("the gateway does not open port {port}"))?
            }
        };
        let application = |workload: &str| {
            let found = places.applications.get(workload).copied();
            found.with_context(|| format!("there is no workload {workload}"))
        };
        let from = match (&exchange.from, exchange.place) {
            (Some(workload), _) => application(workload)?,
            (None, Place::Outbound) => application(CLIENT)?,
            (None, _) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let patience = if prepared.stripped { IMPATIENCE } else { PATIENCE };
        Ok(Self { exchange, to: target, from, keys, patience })
    }

    /// Runs the exchange; for each request (or for the bytes) what was seen each time.
    pub async fn run(&self, prefix: &str, on_tag: OnTag<'_>) -> Vec<Vec<Sent>> {
        if let Some(bytes) = &self.exchange.bytes {
            let mut all = Vec::new();
            for time in 0..bytes.times {
                let tag = format!("{prefix}.0.{time}");
                on_tag(&tag);
                all.push(self.timed(&tag, bytes::send(self, bytes)).await);
            }
            return vec![all];
        }
        match self.exchange.http {
            HttpVersion::Http1 => http1::run(self, prefix, on_tag).await,
            HttpVersion::Http2 => http2::run(self, prefix, on_tag).await,
        }
    }

    /// What a connection attempt or a request came to, within the time.
    async fn timed(
        &self,
        tag: &str,
        work: impl Future<Output = (Option<SocketAddr>, Result<Observed, Failure>)>,
    ) -> Sent {
        let started = tokio::time::Instant::now();
        let (from, outcome) = match tokio::time::timeout(self.patience, work).await {
            Ok(outcome) => outcome,
            Err(_) => (None, Err(Failure::Timeout)),
        };
        let mut observed = outcome.unwrap_or_else(Failure::observed);
        observed.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Sent { observed, from, tag: tag.to_owned() }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(self.exchange, self.to, self.from, self.keys).await
    }

    /// The authority of a request.
    fn authority(&self, given: Option<&String>) -> String {
        if let Some(given) = given {
            return given.clone();
        }
        let to = &self.exchange.to;
        let sni = self.exchange.tls.as_ref().and_then(|tls| tls.sni.clone());
        let host = match (self.exchange.place, &to.service) {
            (Place::Outbound, Some(service)) => service.clone(),
            (Place::Outbound, None) => self.to.to_string(),
            (Place::Inbound, _) => "server".to_owned(),
            (Place::Gateway, _) => sni.unwrap_or_else(|| "gateway".to_owned()),
        };
        match (&to.service, to.port) {
            (Some(_), Some(port)) if port != 80 && port != 443 => format!("{host}:{port}"),
            _ => host,
        }
    }
}

/// A service's host as the directory has it.
fn host(service: &str) -> String {
    if service.contains('.') {
        service.to_owned()
    } else {
        format!("{service}.default.svc.cluster.local")
    }
}

/// How an error of the connection shows to a client. A reset and an orderly end without an answer
/// are one: which of both a kernel makes of a close depends on what it had not read yet.
fn end_of(error: &io::Error) -> End {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => End::Refused,
        io::ErrorKind::InvalidData => End::Handshake,
        _ => End::Closed,
    }
}
