//! Making a call: the questions that the proxy asks its plan, in the order in which it asks them.

use std::net::SocketAddr;

use anyhow::Context;
use http::HeaderMap;
use lateen_engine::connection::HttpScope;
use lateen_engine::destination::{Destination, DestinationKey, Discovery};
use lateen_engine::gateway::{GatewayConnection, Terminated};
use lateen_engine::inbound::{InboundConnection, Serve};
use lateen_engine::{Connection, HttpDecision, Plan, Reason, Refusal, Request, Seen};
use serde_json::Value;

use crate::case::{port, text};

/// Where a call ended up, in the words of the corpus.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ending {
    /// `delivered`, `blackholed`, …
    pub outcome: &'static str,
    /// Status of an answer by the mesh itself.
    pub status: Option<u16>,
    /// Where it was delivered.
    pub destination: Option<Place>,
    /// Pattern of the virtual host that a request fell under; empty: none.
    pub host: String,
    /// Name of the route that decided.
    pub route: Option<String>,
    /// Services that telemetry names for an inbound call.
    pub telemetry: Vec<String>,
}

/// Where something was delivered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// `service`, `workload`, `passthrough`, `inbound_passthrough`, `blackhole`.
    pub kind: &'static str,
    /// Host of a service.
    pub host: String,
    /// Port of a service, or of the application.
    pub port: u16,
    /// Subset of a service.
    pub subset: String,
    /// The application's own address and port, where they are fixed.
    pub endpoint: Option<String>,
}

/// A draw of the weights: any will do, the corpus has no weights that matter.
const DRAW: u64 = 0;

/// A call as the corpus describes it.
struct Call<'c> {
    value: &'c Value,
    destination: SocketAddr,
    protocol: &'c str,
    tls: &'c str,
}

/// Makes one call.
pub fn make(plan: &Plan, value: &Value) -> anyhow::Result<Ending> {
    let address = text(value, "address");
    let call = Call {
        value,
        destination: SocketAddr::new(
            address.parse().with_context(|| format!("address {address:?}"))?,
            port(value, "port").context("a call without port")?,
        ),
        protocol: text(value, "protocol"),
        tls: text(value, "tls"),
    };
    match text(value, "mode") {
        "outbound" => Ok(outbound(plan, &call)),
        "inbound" => Ok(inbound(plan, &call)),
        "gateway" => Ok(gateway(plan, &call)),
        other => anyhow::bail!("mode {other:?}"),
    }
}

impl Call<'_> {
    fn is_http(&self) -> bool {
        matches!(self.protocol, "http" | "http2")
    }

    /// What the first bytes of the connection are.
    fn seen<'s>(&'s self, alpn: &'s [&'s [u8]]) -> Seen<'s> {
        // A server name is only ever sent in a ClientHello, whatever the call is called.
        let hello = !self.value["sni"].is_null();
        match (self.tls, self.protocol) {
            ("plaintext", "tcp") if hello => Seen::Tls { sni: self.value["sni"].as_str(), alpn },
            ("plaintext", "http") => Seen::Http1,
            ("plaintext", "http2") => Seen::Http2,
            ("plaintext", _) => Seen::Opaque,
            _ => Seen::Tls { sni: self.value["sni"].as_str(), alpn },
        }
    }

    fn alpn(&self) -> Vec<&[u8]> {
        self.value["alpn"].as_str().map(str::as_bytes).into_iter().collect()
    }
}

fn outbound(plan: &Plan, call: &Call<'_>) -> Ending {
    let Ok(begun) = plan.outbound(call.destination) else { return outcome("details_missing") };
    let alpn = call.alpn();
    match begun.decide(call.seen(&alpn), DRAW) {
        Connection::Http(scope) if call.is_http() && call.tls == "plaintext" => {
            request(plan, &scope, call)
        }
        Connection::Http(_) => outcome("protocol_error"),
        Connection::Tcp(forward) => to_destination(forward.destination, None),
        Connection::Passthrough(_) => delivered(Place { kind: "passthrough", ..Place::default() }),
        Connection::Refuse(refusal) => refused(&refusal, false, call.destination.port()),
        Connection::Need(_) => outcome("details_missing"),
    }
}

fn request(plan: &Plan, scope: &HttpScope, call: &Call<'_>) -> Ending {
    let headers = HeaderMap::new();
    let Some(path) = plan.settings().normalize(text(call.value, "path")) else {
        return outcome("protocol_error");
    };
    let request = Request {
        method: "GET",
        scheme: if call.tls == "plaintext" { "http" } else { "https" },
        authority: text(call.value, "host"),
        path_and_query: &path,
        headers: &headers,
    };
    match plan.route(scope, &request, DRAW) {
        HttpDecision::Forward(forward) => Ending {
            host: forward.virtual_host.to_owned(),
            ..to_destination(forward.destination, Some(forward.route_name.to_owned()))
        },
        HttpDecision::Redirect(location) => Ending {
            host: location.virtual_host.to_owned(),
            status: Some(location.status),
            ..outcome(if location.location.starts_with("https:") {
                "redirect_https"
            } else {
                "redirect"
            })
        },
        HttpDecision::Respond(response) => Ending {
            host: response.virtual_host.to_owned(),
            status: Some(response.status),
            ..outcome("responded")
        },
        HttpDecision::Passthrough(_) => {
            delivered(Place { kind: "passthrough", ..Place::default() })
        }
        HttpDecision::Refuse(refusal) => {
            Ending { host: refusal.virtual_host.to_owned(), ..refused(&refusal, true, scope.port) }
        }
        HttpDecision::Need(_) => outcome("details_missing"),
    }
}

fn inbound(plan: &Plan, call: &Call<'_>) -> Ending {
    let begun = match plan.inbound(call.destination.port()) {
        Ok(begun) => begun,
        Err(refusal) => return refused(&refusal, false, call.destination.port()),
    };
    let alpn = call.alpn();
    let accept = match begun.decide(call.seen(&alpn)) {
        InboundConnection::Accept(accept) => accept,
        InboundConnection::Refuse(_) => return outcome("connection_rejected"),
    };
    // The mesh's certificate is what the handshake asks for.
    if accept.tls.is_some() && call.tls != "mtls" {
        return outcome("mtls_mismatch");
    }
    let inside_is_http = call.is_http() && (call.tls == "plaintext" || accept.tls.is_some());
    if matches!(accept.serve, Serve::Http(_)) && !inside_is_http {
        return outcome("protocol_error");
    }
    let (address, port) = begun.forward();
    let kind = if begun.declared().is_some() { "workload" } else { "inbound_passthrough" };
    let place = Place {
        kind,
        port: call.destination.port(),
        endpoint: address.map(|address| SocketAddr::new(address, port).to_string()),
        ..Place::default()
    };
    Ending {
        telemetry: begun.declared().iter().map(|port| port.service_host.to_string()).collect(),
        ..delivered(place)
    }
}

fn gateway(plan: &Plan, call: &Call<'_>) -> Ending {
    let Some(begun) = plan.gateway(call.destination.port()) else {
        return outcome("connection_refused");
    };
    let alpn = call.alpn();
    match begun.decide(call.destination, call.seen(&alpn), DRAW) {
        GatewayConnection::Http(scope) if call.is_http() && call.tls == "plaintext" => {
            request(plan, &scope, call)
        }
        GatewayConnection::Http(_) => outcome("protocol_error"),
        GatewayConnection::Tcp(forward) => to_destination(forward.destination, None),
        GatewayConnection::Terminate(_, Terminated::Http(scope)) if call.is_http() => {
            request(plan, &scope, call)
        }
        GatewayConnection::Terminate(_, Terminated::Http(_)) => outcome("protocol_error"),
        GatewayConnection::Terminate(_, Terminated::Tcp(forward)) => {
            to_destination(forward.destination, None)
        }
        GatewayConnection::Refuse(refusal) if refusal.reason == Reason::TlsRequired => {
            outcome("tls_required")
        }
        GatewayConnection::Refuse(refusal) => refused(&refusal, false, call.destination.port()),
    }
}

fn outcome(outcome: &'static str) -> Ending {
    Ending { outcome, ..Ending::default() }
}

fn delivered(place: Place) -> Ending {
    Ending { destination: Some(place), ..outcome("delivered") }
}

fn to_destination(destination: &Destination, route: Option<String>) -> Ending {
    let passes = destination.discovery() == Discovery::Passthrough;
    let mut seen = to_key(destination.key(), 0);
    // To the address that was dialled, but by the rules of the service.
    seen.route = route;
    if let (true, Some(place)) = (passes, &mut seen.destination) {
        place.endpoint = None;
    }
    seen
}

/// A backend; one without a port is at that of the listener.
fn to_key(key: &DestinationKey, port: u16) -> Ending {
    delivered(Place {
        kind: "service",
        host: key.host.to_string(),
        port: if key.port == 0 { port } else { key.port },
        subset: key.subset.to_string(),
        endpoint: None,
    })
}

fn refused(refusal: &Refusal<'_>, http: bool, port: u16) -> Ending {
    let status = http.then_some(refusal.status);
    match (refusal.reason, refusal.backend) {
        // The corpus asks for the choice: whether the service exists is not in its cases.
        (Reason::InvalidBackend, Some(key)) => to_key(key, port),
        (Reason::NotInRegistry | Reason::PassthroughLoop, _) => Ending {
            status,
            destination: Some(Place { kind: "blackhole", ..Place::default() }),
            ..outcome("blackholed")
        },
        (Reason::NoRoute, _) if http => Ending { status, ..outcome("not_found") },
        (Reason::ProtocolMismatch, _) => outcome("protocol_error"),
        _ => Ending { status, ..outcome("connection_rejected") },
    }
}
