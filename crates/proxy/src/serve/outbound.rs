//! Connections from the workload.

use std::net::SocketAddr;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use lateen_engine::{Connection, HttpScope, Inspect, OnSilence, Origin};

use super::Refused;
use super::arrival::{Arrival, Gone};
use super::forward::{self, Opened, Way};
use crate::detect::Detected;
use crate::http::{self, Codec, Entry};
use crate::tcp::{First, first_to_speak};
use crate::telemetry::Reason;
use crate::worker::WorkerContext;

/// How often details may be missing before a connection is given up: those of the entry, and those
/// of a destination that one of its rules names.
const NEEDS: usize = 3;

/// What becomes of the connection; owned, so that no plan is held while it lasts.
enum Decision {
    Http(HttpScope),
    Relay(Way, Origin),
}

pub(super) async fn serve(mut arrival: Arrival) {
    let inspect = match inspect(&arrival.ctx, arrival.destination).await {
        Ok(inspect) => inspect,
        Err(refused) => return arrival.refuse(refused),
    };
    let dial_on_silence = inspect.on_silence == OnSilence::Dial;
    let now = arrival.ctx.clock.now();
    let server_first =
        dial_on_silence && arrival.ctx.server_first.contains(arrival.destination, now);
    if !server_first {
        let patience = if dial_on_silence {
            Some(arrival.ctx.settings.timeouts.server_first)
        } else {
            arrival.ctx.plan().settings().protocol_detection_timeout()
        };
        if let Err(Gone) = arrival.look(inspect, patience).await {
            return;
        }
    }
    let decision = match decide(&arrival).await {
        Ok(decision) => decision,
        Err(refused) => return arrival.refuse(refused),
    };
    let silent = arrival.detected == Detected::Nothing && inspect.needed();
    match decision {
        Decision::Relay(way, origin) if silent && dial_on_silence && !server_first => {
            race(arrival, inspect, way, origin).await;
        }
        decision => carry_out(arrival, decision).await,
    }
}

/// What must be looked at; waits for the details that say so.
async fn inspect(ctx: &Rc<WorkerContext>, destination: SocketAddr) -> Result<Inspect, Refused> {
    for _ in 0..NEEDS {
        let plan = ctx.plan();
        let host = match plan.outbound(destination) {
            Ok(outbound) => return Ok(outbound.inspect()),
            Err(need) => need.host.clone(),
        };
        drop(plan);
        wait_for(ctx, &host).await?;
    }
    Err(Refused::because(Reason::DetailsTimedOut))
}

async fn decide(arrival: &Arrival) -> Result<Decision, Refused> {
    let ctx = &arrival.ctx;
    for _ in 0..NEEDS {
        let plan = ctx.plan();
        let host = match plan.outbound(arrival.destination) {
            Err(need) => need.host.clone(),
            Ok(outbound) => {
                let random = ctx.random.next();
                match arrival.detected.with_seen(|seen| outbound.decide(seen, random)) {
                    Connection::Http(scope) => return Ok(Decision::Http(scope)),
                    Connection::Tcp(forward) => {
                        let way = Way::Destination(forward.destination.clone());
                        return Ok(Decision::Relay(way, forward.backend.clone()));
                    }
                    Connection::Passthrough(origin) => {
                        let way = Way::Passthrough(arrival.destination);
                        return Ok(Decision::Relay(way, origin.clone()));
                    }
                    Connection::Refuse(refusal) => return Err(refusal.into()),
                    Connection::Need(need) => need.host.clone(),
                }
            }
        };
        drop(plan);
        wait_for(ctx, &host).await?;
    }
    Err(Refused::because(Reason::DetailsTimedOut))
}

async fn wait_for(ctx: &Rc<WorkerContext>, host: &str) -> Result<(), Refused> {
    ctx.need(host).await.map_err(|error| Refused {
        detail: format!("{host}: {error}"),
        ..Refused::because(error.reason())
    })
}

async fn carry_out(arrival: Arrival, decision: Decision) {
    match decision {
        Decision::Http(scope) => {
            let codec = match arrival.detected {
                Detected::Http1 => Codec::Http1,
                Detected::Http2 => Codec::Http2,
                Detected::Nothing | Detected::Opaque | Detected::Tls(_) => Codec::Detect,
            };
            let settled = arrival.plain();
            http::serve(settled.ctx, settled.io, settled.facts, Entry::Outbound(scope), codec)
                .await;
        }
        Decision::Relay(way, origin) => {
            let mut settled = arrival.plain();
            settled.account.decided_by = Some(origin);
            forward::forward(settled, way).await;
        }
    }
}

/// The client was silent: its destination is dialled, and whichever side speaks first settles the
/// protocol.
async fn race(mut arrival: Arrival, inspect: Inspect, way: Way, origin: Origin) {
    let (ctx, original) = (Rc::clone(&arrival.ctx), arrival.destination);
    let mut account = arrival.account();
    account.decided_by = Some(origin.clone());
    let mut opened = match forward::open(&ctx, &mut account, &way, original).await {
        Ok(opened) => opened,
        Err(failed) => return failed.report(account),
    };
    let mut said = BytesMut::new();
    let first = first_to_speak(&arrival.stream, &mut opened.io, &mut said);
    let idle = ctx.settings.timeouts.tcp_idle;
    match tokio::time::timeout(idle, first).await {
        Ok(Ok(First::Server)) => {
            ctx.server_first.insert(original, ctx.clock.now());
            relay_dialled(arrival, account, opened, said.freeze()).await;
        }
        Ok(Ok(First::ServerClosed)) => {
            relay_dialled(arrival, account, opened, Bytes::new()).await;
        }
        Ok(Ok(First::Client)) => {
            let patience = ctx.plan().settings().protocol_detection_timeout();
            if let Err(Gone) = arrival.look(inspect, patience).await {
                return relay_dialled(arrival, account, opened, Bytes::new()).await;
            }
            match decide(&arrival).await {
                Ok(Decision::Relay(now, _)) if now.same(&way) => {
                    relay_dialled(arrival, account, opened, Bytes::new()).await;
                }
                Ok(decision) => {
                    drop(opened);
                    carry_out(arrival, decision).await;
                }
                Err(refused) => arrival.refuse(refused),
            }
        }
        Ok(Err(_)) => account.refuse(Refused::because(Reason::DownstreamClosed)),
        Err(_) => account.refuse(Refused::because(Reason::IdleTimedOut)),
    }
}

async fn relay_dialled(
    arrival: Arrival,
    account: super::account::Account,
    opened: Opened,
    said: Bytes,
) {
    let mut settled = arrival.plain();
    settled.account = account;
    forward::relay(settled, opened, said).await;
}
