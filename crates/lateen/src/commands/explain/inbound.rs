//! What becomes of a request at each endpoint that it may be sent to: which of them there are, what
//! TLS is spoken to them, and what the proxy of the workload there decides.

use std::net::SocketAddr;

use lateen_engine::authorize::{Action, Peer, Verdict};
use lateen_engine::destination::{Address, Destination, Discovery, Health, Target};
use lateen_engine::inbound::{InboundConnection, Serve};
use lateen_engine::upstream::{Carried, MeshTls, UpstreamTls};
use lateen_engine::{Origin, Seen};
use lateen_proxy::telemetry::Reason;

use super::head::Head;
use super::hop::{Hop, on_the_wire, peer};
use super::report::{Answer, Backend, Endpoint, Steps};
use crate::commands::offline::Offline;

/// A request on its way to a destination, or a connection of bytes.
pub struct Sent<'a> {
    pub destination: &'a Destination,
    /// The address that the client dialled.
    pub dialled: SocketAddr,
    /// The rule that sent it here.
    pub rule: &'a Origin,
    /// What travels to the endpoint.
    pub carried: Carried,
    /// The head of the request, as it is sent; absent for bytes.
    pub head: Option<Head>,
}

impl Sent<'_> {
    fn refused(&self, origin: &Origin, reason: Reason) -> Answer {
        let status = self.head.as_ref().and(reason.facts().status);
        Answer::refused(status, origin, reason)
    }
}

/// What the proxy of `caller` and those of the endpoints make of it.
pub fn explain(
    offline: &mut Offline,
    caller: &Hop,
    sent: &Sent<'_>,
    steps: &mut Steps,
) -> anyhow::Result<Backend> {
    let destination = sent.destination;
    let served = Answer::served(sent.rule);
    if destination.discovery() == Discovery::Passthrough {
        let address = on_the_wire(sent.dialled).to_string();
        let endpoint = Endpoint { workload: address.clone(), address, answer: served.clone() };
        return Ok(Backend::new(destination.key(), vec![endpoint], served));
    }
    let mut endpoints = Vec::new();
    for target in destination.targets() {
        if target.endpoint.health == Health::Healthy {
            let answer = match reached(offline, target)? {
                Some(server) => Arriving { caller, sent, target, server: &server, steps }.answer(),
                None => served.clone(),
            };
            let address = address(target);
            let workload = target.endpoint.key.uid.to_string();
            endpoints.push(Endpoint { address, workload, answer });
        }
    }
    let otherwise = match endpoints.as_slice() {
        [] => sent.refused(destination.origin(), Reason::NoHealthyUpstream),
        _ => served,
    };
    Ok(Backend::new(destination.key(), endpoints, otherwise))
}

fn address(target: &Target) -> String {
    let (address, port) = (&target.endpoint.address, target.endpoint.key.port);
    match address {
        Address::Ip(addresses) => addresses.first().map_or_else(
            || address.to_string(),
            |first| on_the_wire(SocketAddr::new(*first, port)).to_string(),
        ),
        Address::Name(name) => format!("{name}:{port}"),
        Address::Unix(_) => address.to_string(),
    }
}

/// The workload behind an endpoint; `None` for what the mesh does not know.
fn reached(offline: &mut Offline, target: &Target) -> anyhow::Result<Option<Hop>> {
    let mut parts = target.endpoint.key.uid.split('/');
    let (Some(_cluster), Some(namespace), Some(name), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Ok(None);
    };
    let Ok(client) = offline.client(namespace, name) else { return Ok(None) };
    Hop::new(offline, client).map(Some)
}

/// A request, or a connection of bytes, that arrives at one endpoint.
struct Arriving<'a> {
    caller: &'a Hop,
    sent: &'a Sent<'a>,
    target: &'a Target,
    server: &'a Hop,
    steps: &'a mut Steps,
}

impl Arriving<'_> {
    fn answer(&mut self) -> Answer {
        if let Some(refusal) = self.handshake() {
            return refusal;
        }
        if self.sidecar().is_none() {
            return Answer::served(self.sent.rule);
        }
        let port = self.target.endpoint.key.port;
        let server = self.server;
        let refused = |refusal: lateen_engine::Refusal<'_>| {
            // The connection is closed, which the caller's proxy answers for.
            Answer {
                reason: Some(Reason::from(refusal.reason).code()),
                ..self.closed(refusal.origin)
            }
        };
        let inbound = match server.plan.inbound(port) {
            Ok(inbound) => inbound,
            Err(refusal) => return refused(refusal),
        };
        let offered = self.target.tls.offered_alpn(self.sent.carried);
        let explained = inbound.explain(self.seen(offered));
        let decision = match explained.decision {
            InboundConnection::Refuse(refusal) => Err(refused(refusal)),
            InboundConnection::Accept(accept) if accept.tls.is_some() && self.mesh().is_none() => {
                Err(self.sent.refused(accept.origin, Reason::UpstreamTlsFailed))
            }
            InboundConnection::Accept(accept) => Ok(accept.serve),
        };
        self.steps.add(&server.at, explained.steps);
        match decision {
            Ok(serve) => self.authorize(serve),
            Err(refusal) => refusal,
        }
    }

    fn mesh(&self) -> Option<&MeshTls> {
        match &*self.target.tls {
            UpstreamTls::Mesh(tls) => Some(tls),
            UpstreamTls::Plain | UpstreamTls::Simple(_) | UpstreamTls::Mutual { .. } => None,
        }
    }

    /// Where the sidecar in front of the endpoint listens; absent without one.
    fn sidecar(&self) -> Option<SocketAddr> {
        let proxy = self.server.proxy(self.target.endpoint.key.port)?;
        let Address::Ip(addresses) = &self.target.endpoint.address else { return None };
        addresses.contains(&proxy.ip()).then_some(proxy)
    }

    /// Mutual TLS of the mesh that cannot come about: nobody speaks it there, or somebody else than
    /// expected.
    fn handshake(&self) -> Option<Answer> {
        let tls = self.mesh()?;
        let origin = self.sent.destination.tls_origin();
        if self.sidecar().is_none() {
            return Some(self.sent.refused(origin, Reason::UpstreamTlsFailed));
        }
        let identity = self.server.identity();
        let expected = tls.subject_alt_names.iter().any(|name| **name == *identity);
        (!expected && !tls.subject_alt_names.is_empty())
            .then(|| self.sent.refused(origin, Reason::UpstreamIdentityMismatch))
    }

    fn closed(&self, origin: &Origin) -> Answer {
        self.sent.refused(origin, Reason::UpstreamClosed)
    }

    fn seen<'s>(&'s self, offered: &'s [&'s [u8]]) -> Seen<'s> {
        match (&*self.target.tls, self.sent.carried) {
            (UpstreamTls::Mesh(tls), _) => Seen::Tls { sni: Some(&tls.sni), alpn: offered },
            (UpstreamTls::Simple(tls) | UpstreamTls::Mutual { tls, .. }, _) => {
                Seen::Tls { sni: tls.sni.as_deref(), alpn: offered }
            }
            (UpstreamTls::Plain, Carried::Http1 | Carried::Upgrade) => Seen::Http1,
            (UpstreamTls::Plain, Carried::Http2) => Seen::Http2,
            (UpstreamTls::Plain, Carried::Tcp) => Seen::Opaque,
        }
    }

    /// The policies of the workload.
    fn authorize(&mut self, serve: Serve) -> Answer {
        let mesh = self.mesh();
        let identity = mesh.map(|_| self.caller.identity());
        let peer = Peer {
            identity: identity.as_deref(),
            sni: mesh.map(|tls| &*tls.sni),
            ..peer(self.caller.source(), self.sidecar().unwrap_or(self.sent.dialled))
        };
        let plan = &self.server.plan;
        let (explained, http) = match (&self.sent.head, serve) {
            (Some(head), Serve::Http(_)) => {
                let Some(head) = head.arrived(plan, mesh.is_some()) else {
                    return self.sent.refused(Origin::mesh_default(), Reason::BadPath);
                };
                let remote = head.last_forwarded().unwrap_or(peer.source);
                let peer = Peer { remote, ..peer };
                (plan.explain_authorize_request(&peer, &head.request()), true)
            }
            _ => (plan.explain_authorize_connection(&peer), false),
        };
        self.steps.add(&self.server.at, explained.steps);
        let verdict = explained.decision;
        match (verdict.allowed, http) {
            (true, _) => Answer::served(self.sent.rule),
            (false, true) => denied(&verdict, true),
            // As bytes the connection is closed under the caller's proxy.
            (false, false) => {
                Answer { reason: denied(&verdict, false).reason, ..self.closed(verdict.origin()) }
            }
        }
    }
}

/// What policies refuse: a request with 403, or 401 for its token, a connection by closing it.
pub fn denied(verdict: &Verdict<'_>, http: bool) -> Answer {
    let (status, reason) = match verdict.decided_by.map(|it| it.policy.action()) {
        Some(Action::Custom) if http => (403, Reason::CustomAuthorizationDenied),
        Some(Action::Authenticate) => (401, Reason::TokenNotChecked),
        _ => (403, Reason::AuthorizationDenied),
    };
    Answer::refused(http.then_some(status), verdict.origin(), reason)
}
