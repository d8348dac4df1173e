//! Connections to the workload.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lateen_engine::Plan;
use lateen_engine::inbound::{InboundConnection, InboundPort, Serve, TerminateTls};

use super::Refused;
use super::account::SentTo;
use super::arrival::{Arrival, Gone, Settled};
use super::forward::{self, Way};
use crate::http::{self, Entry};
use crate::telemetry::Reason;
use crate::upstream::Source;

/// Where the application listens in its workload's /16 in local mode.
const APPLICATION_OFFSET: u32 = 1;

pub(super) async fn serve(mut arrival: Arrival) {
    let port = arrival.destination.port();
    let settings = &arrival.ctx.settings;
    if !settings.local && [settings.ports.outbound, settings.ports.inbound].contains(&port) {
        // Somebody dialled the proxy's own listener: passed on, it would come back for ever.
        return arrival.refuse(Refused::because(Reason::PassthroughLoop));
    }
    let (inspect, patience) = {
        let plan = arrival.ctx.plan();
        match plan.inbound(port) {
            Ok(inbound) => (inbound.inspect(), plan.settings().protocol_detection_timeout()),
            Err(refusal) => {
                let refused = refusal.into();
                drop(plan);
                return arrival.refuse(refused);
            }
        }
    };
    if let Err(Gone) = arrival.look(inspect, patience).await {
        return;
    }
    let (tls, serve, origin) = match decide(&arrival, port) {
        Ok(accepted) => accepted,
        Err(refused) => return arrival.refuse(refused),
    };
    let settled = match tls {
        None => Some(arrival.plain()),
        Some(TerminateTls { alpn }) => {
            if arrival.ctx.certificate.get().is_none() {
                return arrival.refuse(Refused::because(Reason::NoServerCertificate));
            }
            let config = arrival.ctx.mesh_tls.config(alpn);
            arrival.terminate(config).await
        }
    };
    let Some(mut settled) = settled else { return };
    match serve {
        Serve::Http(codec) => {
            let Settled { ctx, io, facts, .. } = settled;
            http::serve(ctx, io, facts, Entry::Inbound { port }, codec).await;
        }
        Serve::Tcp => {
            settled.account.decided_by = Some(origin);
            relay(settled, port).await;
        }
    }
}

fn decide(
    arrival: &Arrival,
    port: u16,
) -> Result<(Option<TerminateTls>, Serve, lateen_engine::Origin), Refused> {
    let plan = arrival.ctx.plan();
    let inbound = plan.inbound(port)?;
    match arrival.detected.with_seen(|seen| inbound.decide(seen)) {
        InboundConnection::Accept(accept) => Ok((accept.tls, accept.serve, accept.origin.clone())),
        InboundConnection::Refuse(refusal) => Err(refusal.into()),
    }
}

/// Policy, and then the application.
async fn relay(mut settled: Settled, port: u16) {
    match admit(&mut settled, port) {
        Ok(way) => forward::forward(settled, way).await,
        Err(refused) => settled.account.refuse(refused),
    }
}

fn admit(settled: &mut Settled, port: u16) -> Result<Way, Refused> {
    let plan = settled.ctx.plan();
    let inbound = plan.inbound(port)?;
    settled.account.sent_to = SentTo::Application((&inbound).into());
    let verdict = plan.authorize_connection(&settled.peer());
    if !verdict.allowed {
        return Err(Refused::denied(&verdict));
    }
    Ok(application(&plan, &inbound, settled))
}

/// Where the application listens.
fn application(plan: &Plan, inbound: &InboundPort<'_>, settled: &Settled) -> Way {
    let facts = &settled.facts;
    let (declared, port) = inbound.forward();
    let local = plan
        .local_base()
        .map(|base| IpAddr::V4(Ipv4Addr::from(u32::from(base) | APPLICATION_OFFSET)));
    let address = declared.or(local).unwrap_or(facts.original_destination.ip());
    let source = (local.is_none() && declared.is_none()).then(|| {
        let transparent = settled.ctx.settings.transparent;
        Source::to_application(transparent, facts.downstream_remote.ip(), address)
    });
    Way::Application(SocketAddr::new(address, port), source)
}
