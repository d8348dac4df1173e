//! What the proxy that takes the request decides: the caller's sidecar, or a gateway.

use std::net::{IpAddr, SocketAddr};

use lateen_engine::authorize::Peer;
use lateen_engine::explain::What;
use lateen_engine::gateway::{GatewayConnection, Terminated};
use lateen_engine::upstream::Carried;
use lateen_engine::{
    Connection, Explained, Forward, HttpDecision, HttpScope, Origin, Plan, Reason as Decided,
    Refusal, Seen, TcpForward,
};
use lateen_mesh::local;
use lateen_proxy::telemetry::Reason;

use super::head::Head;
use super::hop::{ELSEWHERE, Hop, peer};
use super::inbound::{self, Sent, denied};
use super::question::Question;
use super::report::{Answer, Backend, Outcome, Report, Route, Steps};
use crate::commands::offline::Offline;

/// The route of requests that are passed through, in Istio's words.
const ALLOW_ANY: &str = "allow_any";

/// The route of requests that REGISTRY_ONLY refuses, in Istio's words.
const BLOCK_ALL: &str = "block_all";

/// What clients of HTTPS offer.
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Asks the first proxy on the way, and through it all others.
pub fn explain(offline: &mut Offline, first: &Hop, question: &Question) -> anyhow::Result<Report> {
    let mut asking = Asking { offline, hop: first, question, steps: Steps::default() };
    let outcome = if first.is_gateway() { asking.gateway() } else { asking.sidecar() }?;
    Ok(Report::new(outcome, asking.steps))
}

/// A question to one proxy.
struct Asking<'a> {
    offline: &'a mut Offline,
    hop: &'a Hop,
    question: &'a Question,
    steps: Steps,
}

impl<'a> Asking<'a> {
    /// A connection that a sidecar captures.
    fn sidecar(&mut self) -> anyhow::Result<Outcome> {
        let plan = &*self.hop.plan;
        let dialled = SocketAddr::new(dialled(plan, &self.question.host), self.question.port);
        let Ok(begun) = plan.outbound(dialled) else { return Ok(details_missing(None)) };
        let seen = self.seen();
        self.each_draw(
            |random| begun.explain(seen, random),
            |asking, connection| match connection {
                Connection::Http(scope) => asking.http(&scope),
                Connection::Tcp(forward) => asking.tcp(&forward, dialled),
                Connection::Passthrough(origin) => Ok(passthrough("", origin)),
                Connection::Refuse(refusal) => Ok(refused(&refusal, None)),
                Connection::Need(_) => Ok(details_missing(None)),
            },
        )
    }

    /// A connection to a gateway.
    fn gateway(&mut self) -> anyhow::Result<Outcome> {
        let port = self.question.port;
        let (Some(begun), Some(address)) = (self.hop.plan.gateway(port), self.hop.proxy(port))
        else {
            return Ok(Answer::refused(None, Origin::mesh_default(), Reason::NoServer).into());
        };
        let seen = self.seen();
        self.each_draw(
            |random| begun.explain(address, seen, random),
            |asking, connection| match connection {
                GatewayConnection::Http(scope)
                | GatewayConnection::Terminate(_, Terminated::Http(scope)) => asking.http(&scope),
                GatewayConnection::Tcp(forward)
                | GatewayConnection::Terminate(_, Terminated::Tcp(forward)) => {
                    match asking.authorize(address, None) {
                        Some(refusal) => Ok(refusal.into()),
                        None => asking.tcp(&forward, address),
                    }
                }
                GatewayConnection::Refuse(refusal) => Ok(refused(&refusal, None)),
            },
        )
    }

    /// What the first bytes of the client are.
    fn seen(&self) -> Seen<'a> {
        if self.question.is_tls() {
            Seen::Tls { sni: Some(&self.question.host), alpn: ALPN }
        } else {
            Seen::Http1
        }
    }

    /// Asks for a decision, and where it draws among backends, for the decision about each of
    /// them.
    fn each_draw<D>(
        &mut self,
        explain: impl Fn(u64) -> Explained<D>,
        decided: impl Fn(&mut Self, D) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<Outcome> {
        let Explained { decision, steps, draws } = explain(0);
        self.steps.add(&self.hop.at, steps);
        let mut outcome = decided(self, decision)?;
        let mut draws = draws.into_iter();
        if let Some(first) = draws.next() {
            outcome = outcome.weighing(first.weight);
        }
        for drawn in draws {
            let Explained { decision, steps, .. } = explain(drawn.random);
            let backend = steps.into_iter().filter(|step| step.what == What::Backend);
            self.steps.add(&self.hop.at, backend);
            outcome = outcome.or(decided(self, decision)?.weighing(drawn.weight));
        }
        Ok(outcome)
    }

    /// A request on a connection that is served as HTTP.
    fn http(&mut self, scope: &HttpScope) -> anyhow::Result<Outcome> {
        let plan = &*self.hop.plan;
        let Some(head) = Head::admitted(self.question, plan) else {
            return Ok(Answer::refused(Some(400), Origin::mesh_default(), Reason::BadPath).into());
        };
        let gateway = self.hop.is_gateway();
        let head = match gateway {
            true => head.entering_mesh(self.hop.outside()),
            false => head.leaving_workload(),
        };
        if gateway && let Some(refusal) = self.authorize(scope.destination, Some(&head)) {
            return Ok(refusal.into());
        }
        self.each_draw(
            |random| plan.explain_route(scope, &head.request(), random),
            |asking, decision| match decision {
                HttpDecision::Forward(forward) => asking.forward(&forward, &head, scope),
                HttpDecision::Redirect(location) => {
                    let name = location.route_name;
                    let reason = match location.response_headers {
                        Some(_) => Reason::Redirect,
                        None => Reason::HttpsRedirect,
                    };
                    let route = Route::new(name, "redirect", location.rule);
                    let answer = Answer::answered(location.status, location.rule, reason);
                    Ok(Outcome { route: Some(route), answer })
                }
                HttpDecision::Respond(direct) => {
                    let route = Route::new(direct.route_name, "respond", direct.rule);
                    let reason = Reason::DirectResponse;
                    let answer = Answer::answered(direct.status, direct.rule, reason);
                    Ok(Outcome { route: Some(route), answer })
                }
                HttpDecision::Passthrough(origin) => Ok(passthrough(ALLOW_ANY, origin)),
                HttpDecision::Refuse(refusal) => Ok(refused(&refusal, Some(refusal.status))),
                HttpDecision::Need(_) => Ok(details_missing(Some(503))),
            },
        )
    }

    /// A gateway's own policies about a connection, or about a request on it.
    fn authorize(&mut self, destination: SocketAddr, head: Option<&Head>) -> Option<Answer> {
        let sni = self.question.is_tls().then_some(self.question.host.as_str());
        let peer = Peer { sni, ..peer(self.hop.outside(), destination) };
        let explained = match head {
            Some(head) => self.hop.plan.explain_authorize_request(&peer, &head.request()),
            None => self.hop.plan.explain_authorize_connection(&peer),
        };
        self.steps.add(&self.hop.at, explained.steps);
        let verdict = explained.decision;
        (!verdict.allowed).then(|| denied(&verdict, head.is_some()))
    }

    /// A request that is sent on.
    fn forward(
        &mut self,
        forward: &Forward<'_>,
        head: &Head,
        scope: &HttpScope,
    ) -> anyhow::Result<Outcome> {
        let route = Route::new(forward.route_name, "forward", forward.rule);
        let sent = Sent {
            destination: forward.destination,
            dialled: scope.destination,
            rule: forward.rule,
            carried: forward.destination.carried(Carried::Http1),
            head: Some(head.forwarded(forward)),
        };
        Ok(Outcome::to(route, self.send(&sent)?))
    }

    /// Bytes that are sent on.
    fn tcp(&mut self, forward: &TcpForward<'_>, dialled: SocketAddr) -> anyhow::Result<Outcome> {
        let sent = Sent {
            destination: forward.destination,
            dialled,
            rule: forward.rule,
            carried: Carried::Tcp,
            head: None,
        };
        Ok(Outcome::to(Route::new("", "tcp", forward.rule), self.send(&sent)?))
    }

    fn send(&mut self, sent: &Sent<'_>) -> anyhow::Result<Backend> {
        inbound::explain(self.offline, self.hop, sent, &mut self.steps)
    }
}

/// Where the workload would dial the host: its local address, where the mesh knows the host.
fn dialled(plan: &Plan, host: &str) -> IpAddr {
    if let Some(address) = lateen_engine::authority::literal(host) {
        return address;
    }
    let Some(entry) = plan.entry_of(host) else { return ELSEWHERE };
    if let Some(base) = plan.local_base()
        && let Ok(offset @ 1..) = u16::try_from(entry.local_offset)
    {
        return local::address(base, offset).into();
    }
    let single = entry.blocks.iter().find(|block| block.is_single());
    single.map_or(ELSEWHERE, |block| block.address)
}

/// `name`: as the access log has it, where requests are passed through.
fn passthrough(name: &str, origin: &Origin) -> Outcome {
    let route = Some(Route::new(name, "passthrough", origin));
    Outcome { route, answer: Answer::served(origin) }
}

/// Cannot happen to a plan that knows its whole scope, but is what the engine may say.
fn details_missing(status: Option<u16>) -> Outcome {
    Answer::refused(status, Origin::mesh_default(), Reason::DetailsTimedOut).into()
}

fn refused(refusal: &Refusal<'_>, status: Option<u16>) -> Outcome {
    let answer = Answer::refused(status, refusal.origin, refusal.reason.into());
    let named = |name, action| Some(Route::new(name, action, refusal.origin));
    let mut route = match (refusal.reason, status) {
        (Decided::InvalidBackend | Decided::NoBackend, Some(_)) => {
            named(refusal.route_name, "forward")
        }
        (Decided::InvalidBackend | Decided::NoBackend, None) => named("", "tcp"),
        (Decided::NotInRegistry, Some(_)) => named(BLOCK_ALL, "refuse"),
        _ => None,
    };
    if let (Some(route), Some(key)) = (&mut route, refusal.backend) {
        route.backends.push(Backend::new(key, Vec::new(), answer.clone()));
    }
    Outcome { route, answer }
}
