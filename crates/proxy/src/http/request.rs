//! The path of a request.
//!
//! The order is fixed: admit (what is this, and can it be read at all), identify (who sends it),
//! authorize, match, then retries and timeout around balancing and sending. Every decision is a
//! call into the engine; what is left to do here is to carry it out.

mod admit;
mod identify;
mod method;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use lateen_engine::route::{DirectResponse, HeaderOperations, Location};
use lateen_engine::upstream::Carried;
use lateen_engine::{Forward, HttpDecision, HttpScope, Plan};

use super::Entry;
use super::answer::Answer;
use super::application;
use super::deliver::{Delivery, Destined, deliver};
use super::downstream::Downstream;
use super::exchange::Incoming;
use super::headers::names;
use super::local::{self, Refusal};
use super::ongoing::{Ongoing, SentTo};
use super::respond::{self, Reply};
use super::upload::Source;
use crate::connection::Direction;
use crate::telemetry::Reason;
use crate::worker::WorkerContext;

/// How often details may be missing before a request is given up: those of the entry, and, when
/// the plan changes meanwhile, those of another.
const NEEDS: usize = 3;

/// A request on its way.
#[derive(Debug)]
pub(super) struct InProgress {
    pub(super) downstream: Rc<Downstream>,
    pub(super) head: http::request::Parts,
    pub(super) source: Rc<Source>,
    pub(super) ongoing: Ongoing,
    /// The scheme that the client's target names: always in HTTP/2, in HTTP/1 with an absolute URI.
    pub(super) scheme: Option<&'static str>,
    /// The client's side of an upgrade to WebSocket that it asks for.
    pub(super) upgrade: Option<OnUpgrade>,
    /// The sender waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// The client told who it is: it is told who answers.
    pub(super) told_metadata: bool,
    /// What the route does to the headers of an answer of our own, one after another.
    pub(super) answer_headers: Vec<HeaderOperations>,
}

impl InProgress {
    pub(super) fn ctx(&self) -> &Rc<WorkerContext> {
        &self.downstream.ctx
    }

    /// The version that the client speaks, as what an endpoint may be spoken to in.
    pub(super) fn carried(&self) -> Carried {
        match self.ongoing.version {
            _ if self.upgrade.is_some() => Carried::Upgrade,
            http::Version::HTTP_2 => Carried::Http2,
            _ => Carried::Http1,
        }
    }

    /// The scheme as routes see it: where the target names none, `x-forwarded-proto` does, which the
    /// nearest trusted proxy has set.
    pub(super) fn scheme(&self) -> &'static str {
        let told = || {
            let told = self.head.headers.get(names::FORWARDED_PROTO)?;
            known_scheme(told.as_bytes())
        };
        self.scheme.or_else(told).unwrap_or_else(|| self.downstream.scheme())
    }

    /// The head as the engine reads it.
    fn for_engine(&self) -> lateen_engine::Request<'_> {
        lateen_engine::Request {
            method: self.head.method.as_str(),
            scheme: self.scheme(),
            authority: self.ongoing.authority.to_str().unwrap_or_default(),
            path_and_query: self.head.uri.path_and_query().map_or("/", |path| path.as_str()),
            headers: &self.head.headers,
        }
    }
}

/// `http` or `https`, in whatever case; others do not count.
fn known_scheme(told: &[u8]) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| told.eq_ignore_ascii_case(scheme.as_bytes()))
}

/// Serves one request: from its head to the head of the answer. The exchange lasts until the body
/// of the answer has ended.
pub(super) async fn serve(
    downstream: &Rc<Downstream>,
    request: Request<Incoming>,
    upgrade: Option<OnUpgrade>,
) -> Response<Answer> {
    let mut exchange = admit::begin(downstream, request, upgrade);
    match pass(&mut exchange).await {
        Ok(reply) => respond::reply(exchange, reply),
        Err(refusal) => respond::refuse(exchange, &refusal),
    }
}

async fn pass(exchange: &mut InProgress) -> Result<Reply, Refusal> {
    let plan = exchange.ctx().plan();
    admit::admit(exchange, plan.settings())?;
    identify::identify(exchange);
    let downstream = Rc::clone(&exchange.downstream);
    match &downstream.entry {
        Entry::Inbound { port } => {
            if let Err(unrouted) = scheme_is_told(exchange) {
                authorize(exchange, &plan)?;
                return Err(unrouted);
            }
            // Also what is denied was on its way to the application, for those who read logs.
            let delivery = application::delivery(exchange, &plan, *port)?;
            authorize(exchange, &plan)?;
            deliver(exchange, delivery).await
        }
        Entry::Gateway(scope) => {
            if let Err(denied) = authorize(exchange, &plan) {
                note_route(exchange, &plan, scope);
                return Err(denied);
            }
            drop(plan);
            route(exchange, scope).await
        }
        Entry::Outbound(scope) => {
            drop(plan);
            scheme_is_told(exchange)?;
            route(exchange, scope).await
        }
    }
}

/// Nothing has a route whose `x-forwarded-proto` says nothing, as with Envoy. Gateways write their own.
fn scheme_is_told(exchange: &InProgress) -> Result<(), Refusal> {
    match exchange.head.headers.get(names::FORWARDED_PROTO) {
        Some(told) if told.is_empty() => Err(Refusal::new(Reason::NoRoute)),
        _ => Ok(()),
    }
}

fn authorize(exchange: &mut InProgress, plan: &Plan) -> Result<(), Refusal> {
    use lateen_engine::authorize::Action;
    let peer = identify::peer(exchange);
    let verdict = plan.authorize_request(&peer, &exchange.for_engine());
    for matched in verdict.audited.iter().chain(&verdict.shadow) {
        tracing::info!(policy = matched.id(), action = ?matched.policy.action(),
            dry_run = matched.policy.dry_run(), "policy matched without effect");
    }
    if verdict.allowed {
        return Ok(());
    }
    let reason = match verdict.decided_by.map(|it| it.policy.action()) {
        Some(Action::Custom) => Reason::CustomAuthorizationDenied,
        Some(Action::Authenticate) => Reason::TokenNotChecked,
        _ => Reason::AuthorizationDenied,
    };
    let by_rule = reason == Reason::AuthorizationDenied;
    Err(Refusal {
        details: by_rule.then(|| verdict.detail().into()),
        origin: Some(verdict.origin().clone()),
        ..Refusal::new(reason)
    })
}

/// Notes where a request that is denied was on its way to: for those who read logs, and since what the
/// route says of answers holds for the denial, too.
fn note_route(exchange: &mut InProgress, plan: &Plan, scope: &HttpScope) {
    let random = exchange.ctx().random.next();
    let mut answer_headers = Vec::new();
    let (route_name, sent_to) = match plan.route(scope, &exchange.for_engine(), random) {
        HttpDecision::Forward(forward) => {
            answer_headers.extend(forward.response_headers.into_iter().cloned());
            (forward.route_name, SentTo::Destination(Arc::clone(forward.destination)))
        }
        HttpDecision::Redirect(location) => (location.route_name, SentTo::Nowhere),
        HttpDecision::Respond(response) => (response.route_name, SentTo::Nowhere),
        HttpDecision::Refuse(refusal) => {
            answer_headers.extend(refusal.response_headers.into_iter().flatten().cloned());
            (refusal.route_name, SentTo::Nowhere)
        }
        HttpDecision::Passthrough(_) | HttpDecision::Need(_) => return,
    };
    exchange.ongoing.route_name = route_name.into();
    exchange.ongoing.sent_to = sent_to;
    exchange.answer_headers = answer_headers;
}

/// Matches the request on the plan of the moment; where details are missing, waits for them.
async fn route(exchange: &mut InProgress, scope: &HttpScope) -> Result<Reply, Refusal> {
    for _ in 0..NEEDS {
        let plan = exchange.ctx().plan();
        let random = exchange.ctx().random.next();
        let host = match plan.route(scope, &exchange.for_engine(), random) {
            HttpDecision::Need(need) => Arc::clone(need.host),
            decision => return carry_out(exchange, scope, decision).await,
        };
        drop(plan);
        exchange.ongoing.entry = Some(Arc::clone(&host));
        if let Err(error) = exchange.ctx().need(&host).await {
            return Err(Refusal::new(error.reason()));
        }
    }
    Err(Refusal::new(Reason::DetailsTimedOut))
}

async fn carry_out(
    exchange: &mut InProgress,
    scope: &HttpScope,
    decision: HttpDecision<'_>,
) -> Result<Reply, Refusal> {
    match decision {
        HttpDecision::Forward(forward) => send(exchange, forward).await,
        HttpDecision::Redirect(location) => Ok(redirect(exchange, &location)),
        HttpDecision::Respond(response) => Ok(direct_response(exchange, &response)),
        HttpDecision::Passthrough(origin) => {
            exchange.ongoing.decided_by = Some(origin.clone());
            exchange.ongoing.sent_to = SentTo::Passthrough;
            let delivery = Delivery {
                to: Destined::Address { address: scope.destination, source: None },
                carried: exchange.carried(),
                retries: None,
                timeout: None,
                response_headers: None,
            };
            deliver(exchange, delivery).await
        }
        HttpDecision::Refuse(refusal) => {
            exchange.ongoing.route_name = refusal.route_name.into();
            exchange.answer_headers =
                refusal.response_headers.into_iter().flatten().cloned().collect();
            let refusal = Refusal::decided(&refusal);
            if matches!(refusal.reason, Reason::NotInRegistry | Reason::PassthroughLoop) {
                exchange.ongoing.sent_to = SentTo::BlackHole;
            }
            Err(refusal)
        }
        HttpDecision::Need(need) => {
            exchange.ongoing.entry = Some(Arc::clone(need.host));
            Err(Refusal::new(Reason::DetailsTimedOut))
        }
    }
}

/// Changes the head as the route says, and sends it.
async fn send(exchange: &mut InProgress, forward: Forward<'_>) -> Result<Reply, Refusal> {
    let destination = forward.destination;
    exchange.ongoing.route_name = forward.route_name.into();
    exchange.ongoing.decided_by = Some(forward.rule.clone());
    exchange.ongoing.sent_to = SentTo::Destination(Arc::clone(destination));
    if exchange.downstream.facts.direction == Direction::Outbound
        && exchange.ongoing.entry.is_none()
    {
        exchange.ongoing.entry = Some(Arc::clone(&destination.key().host));
    }
    for operations in forward.request_headers {
        operations.apply(&mut exchange.head.headers);
    }
    if let Some(path) = &forward.path_and_query {
        admit::rewrite_path(exchange, path);
    }
    if let Some(authority) = forward.authority {
        admit::rewrite_authority(exchange, authority);
    }
    let carried = match exchange.carried() {
        Carried::Upgrade => Carried::Upgrade,
        version => exchange.ctx().plan().carried(destination, version),
    };
    // A substitution may have taken the slash away, and HTTP/2 takes no such path (RFC 9113, section
    // 8.3.1).
    let rootless = forward.path_and_query.as_ref().is_some_and(|path| !path.starts_with('/'));
    if rootless && carried == Carried::Http2 {
        return Err(Refusal::new(Reason::UpstreamProtocolError));
    }
    let delivery = Delivery {
        to: Destined::Destination {
            destination,
            dialled: exchange.downstream.facts.original_destination,
        },
        carried,
        retries: forward.retries,
        timeout: forward.timeout,
        response_headers: Some(forward.response_headers),
    };
    let answered = deliver(exchange, delivery).await;
    if answered.is_err() {
        // What the route says of answers holds for our own, too.
        exchange.answer_headers = forward.response_headers.into_iter().cloned().collect();
    }
    answered
}

fn redirect(exchange: &mut InProgress, location: &Location<'_>) -> Reply {
    exchange.ongoing.route_name = location.route_name.into();
    exchange.ongoing.decided_by = Some(location.rule.clone());
    let status = StatusCode::from_u16(location.status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    let mut response = local::fixed(status, Bytes::new(), false);
    if let Ok(value) = http::HeaderValue::try_from(location.location.as_str()) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    if let Some(operations) = location.response_headers {
        local::edit(&mut response, |headers| operations.apply(headers));
        Reply::Fixed(response, Reason::Redirect)
    } else {
        Reply::Fixed(response, Reason::HttpsRedirect)
    }
}

fn direct_response(exchange: &mut InProgress, direct: &DirectResponse<'_>) -> Reply {
    exchange.ongoing.route_name = direct.route_name.into();
    exchange.ongoing.decided_by = Some(direct.rule.clone());
    let status = StatusCode::from_u16(direct.status).unwrap_or(StatusCode::OK);
    let mut response = local::fixed(status, direct.body.clone(), exchange.ongoing.grpc);
    exchange.ongoing.grpc_status =
        response.headers().get(names::GRPC_STATUS).map(|_| local::grpc_status(status));
    // As Envoy has it: what says that there is something elsewhere says where, if only here.
    if status == StatusCode::CREATED || status.is_redirection() {
        let scheme = exchange.scheme();
        let authority = exchange.ongoing.authority.to_str().unwrap_or_default();
        let here = format!("{scheme}://{authority}{}", exchange.head.uri);
        if let Ok(value) = http::HeaderValue::try_from(here) {
            response.headers_mut().insert(header::LOCATION, value);
        }
    }
    local::edit(&mut response, |headers| direct.response_headers.apply(headers));
    Reply::Fixed(response, Reason::DirectResponse)
}
