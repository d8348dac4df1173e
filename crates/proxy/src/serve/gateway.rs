//! Connections to a gateway.

use std::sync::Arc;

use lateen_engine::gateway::{GatewayConnection, Terminated};
use lateen_engine::{HttpScope, Origin};
use rustls::ServerConfig;

use super::Refused;
use super::arrival::{Arrival, Gone, Settled};
use super::forward::{self, Way};
use crate::detect::Detected;
use crate::http::{self, Codec, Entry};
use crate::telemetry::Reason;

/// TLS to terminate first, if any, and what becomes of what is inside; owned, so that no plan is
/// held while the connection lasts.
type Decision = (Option<Arc<ServerConfig>>, Inside);

enum Inside {
    Http(HttpScope),
    Relay(Way, Origin),
}

pub(super) async fn serve(mut arrival: Arrival) {
    let port = arrival.destination.port();
    let look = {
        let plan = arrival.ctx.plan();
        let patience = plan.settings().protocol_detection_timeout();
        plan.gateway(port).map(|gateway| (gateway.inspect(), patience))
    };
    let Some((inspect, patience)) = look else {
        return arrival.refuse(Refused::because(Reason::NoServer));
    };
    if let Err(Gone) = arrival.look(inspect, patience).await {
        return;
    }
    let (tls, inside) = match decide(&arrival, port).await {
        Ok(decision) => decision,
        Err(refused) => return arrival.refuse(refused),
    };
    let settled = match tls {
        None => Some(arrival.plain()),
        Some(config) => arrival.terminate(config).await,
    };
    let Some(settled) = settled else { return };
    match inside {
        Inside::Http(scope) => {
            let codec = codec(&settled);
            let Settled { ctx, io, facts, .. } = settled;
            http::serve(ctx, io, facts, Entry::Gateway(scope), codec).await;
        }
        Inside::Relay(way, origin) => relay(settled, way, origin).await,
    }
}

async fn decide(arrival: &Arrival, port: u16) -> Result<Decision, Refused> {
    let plan = arrival.ctx.plan();
    let Some(gateway) = plan.gateway(port) else {
        return Err(Refused::because(Reason::NoServer));
    };
    let random = arrival.ctx.random.next();
    let decision =
        arrival.detected.with_seen(|seen| gateway.decide(arrival.destination, seen, random));
    match decision {
        GatewayConnection::Http(scope) => Ok((None, Inside::Http(scope))),
        GatewayConnection::Tcp(forward) => {
            let way = Way::Destination(Arc::clone(forward.destination));
            Ok((None, Inside::Relay(way, forward.backend.clone())))
        }
        GatewayConnection::Terminate(server, inside) => {
            let offered = match &arrival.detected {
                Detected::Tls(hello) => hello.alpn.as_slice(),
                _ => &[],
            };
            let configs = &arrival.ctx.gateway_tls;
            let config = configs.config(&plan, server, offered).await.map_err(|error| Refused {
                reason: Reason::NoServerCertificate,
                origin: Some(server.origin().clone()),
                detail: error.to_string(),
            })?;
            let inside = match inside {
                Terminated::Http(scope) => Inside::Http(scope),
                Terminated::Tcp(forward) => {
                    let way = Way::Destination(Arc::clone(forward.destination));
                    Inside::Relay(way, forward.backend.clone())
                }
            };
            Ok((Some(config), inside))
        }
        GatewayConnection::Refuse(refusal) => Err(refusal.into()),
    }
}

/// What the handshake settled; without TLS, or without a protocol in it, the first bytes tell.
fn codec(settled: &Settled) -> Codec {
    let alpn = settled.facts.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
    match alpn {
        Some(b"h2") => Codec::Http2,
        Some(b"http/1.1") => Codec::Http1,
        _ => Codec::Detect,
    }
}

/// Policy, and then the destination.
async fn relay(mut settled: Settled, way: Way, origin: Origin) {
    let denied = {
        let plan = settled.ctx.plan();
        let verdict = plan.authorize_connection(&settled.peer());
        (!verdict.allowed).then(|| Refused::denied(&verdict))
    };
    if let Some(refused) = denied {
        return settled.account.refuse(refused);
    }
    settled.account.decided_by = Some(origin);
    forward::forward(settled, way).await;
}
