//! Sending opaque bytes on: an endpoint, the connection to it, and the relay.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lateen_engine::Plan;
use lateen_engine::balance::Draw;
use lateen_engine::destination::{Destination, Discovery};
use lateen_engine::upstream::{Carried, UpstreamTls};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, interval_at};

use super::Refused;
use super::account::{Account, Ending, SentTo};
use super::arrival::{self, Settled};
use crate::cell::{Connected, InFlight};
use crate::connection::{ClientIo, ConnectionFacts, Direction, ServerIo};
use crate::tcp::{Counters, Ended, Relay};
use crate::telemetry::{Reason, TcpMeter};
use crate::upstream::{DialError, Source, Target};
use crate::worker::{DrainPhase, WorkerContext};

/// How often the bytes of an open connection are reported; Istio's interval.
const REPORT: Duration = Duration::from_secs(5);

/// Where opaque bytes go.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// To an endpoint of a destination.
    Destination(Arc<Destination>),
    /// To the address that the client dialled.
    Passthrough(SocketAddr),
    /// To the application, from an address of ours if one is given.
    Application(SocketAddr, Option<Source>),
}

impl Way {
    /// Whether a connection that was opened for one is good for the other.
    pub(super) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Destination(one), Self::Destination(other)) => one.key() == other.key(),
            (Self::Passthrough(one), Self::Passthrough(other)) => one == other,
            _ => false,
        }
    }
}

/// An open connection to where the bytes go.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) io: ClientIo,
    /// Count it at the endpoint as long as it is open.
    _counts: Option<(InFlight, Connected)>,
}

/// Why there is none.
#[derive(Debug)]
pub(super) struct Failed {
    reason: Reason,
    transport: String,
}

/// Opens a connection, and notes in the account where to. One attempt, as Istio's TCP proxy makes.
pub(super) async fn open(
    ctx: &Rc<WorkerContext>,
    account: &mut Account,
    way: &Way,
    original: SocketAddr,
) -> Result<Opened, Failed> {
    let default_timeout = ctx.plan().settings().connect_timeout();
    let (target, cell) = match way {
        Way::Passthrough(address) => {
            account.sent_to = SentTo::Passthrough;
            (Target::address(*address, default_timeout), None)
        }
        Way::Application(address, source) => {
            let target = Target { source: *source, ..Target::address(*address, default_timeout) };
            (target, None)
        }
        Way::Destination(destination) => {
            account.sent_to = SentTo::Destination(Arc::clone(destination));
            let timeout = destination.connect_timeout().unwrap_or(default_timeout);
            if destination.discovery() == Discovery::Passthrough {
                let tls: UpstreamTls = destination.passthrough_tls().clone();
                let plain = Target::address(original, timeout);
                (Target { tls: Arc::new(tls), carried: Carried::Tcp, ..plain }, None)
            } else {
                let (target, cell) = pick(ctx, account, destination, timeout)?;
                (target, Some(cell))
            }
        }
    };
    let counts = cell.as_ref().map(crate::cell::EndpointCell::enter);
    let counters = ctx.telemetry.counters();
    match ctx.dialer.dial(&target).await {
        Ok(io) => {
            counters.dials.increment();
            account.connected(&io);
            let counts = counts.zip(cell.as_ref().map(crate::cell::EndpointCell::connect));
            Ok(Opened { io, _counts: counts })
        }
        Err(error) => {
            counters.dial_failures.increment();
            Err(Failed { reason: reason(&error), transport: error.to_string() })
        }
    }
}

fn pick(
    ctx: &Rc<WorkerContext>,
    account: &mut Account,
    destination: &Arc<Destination>,
    timeout: Duration,
) -> Result<(Target, Arc<crate::cell::EndpointCell>), Failed> {
    let none = || Failed { reason: Reason::NoHealthyUpstream, transport: String::new() };
    let cells = ctx.endpoints(destination);
    let draw = Draw::first(ctx.random.next(), cells.next_turn());
    let index = destination.pick(&cells.view(ctx.clock.since_start()), draw).ok_or_else(none)?;
    let picked = destination.target(index).ok_or_else(none)?;
    let cell = cells.cell(index).ok_or_else(none)?;
    account.endpoint = Some(Arc::clone(&picked.endpoint));
    Ok((Target::endpoint(picked, Carried::Tcp, timeout), Arc::clone(cell)))
}

fn reason(error: &DialError) -> Reason {
    match error {
        DialError::Timeout(_) => Reason::ConnectTimedOut,
        DialError::Refused | DialError::Io(_) => Reason::ConnectFailed,
        DialError::Identity(_) => Reason::UpstreamIdentityMismatch,
        DialError::Tls(_) => Reason::UpstreamTlsFailed,
        DialError::NoCertificate => Reason::NoWorkloadCertificate,
        DialError::Unresolved(_) => Reason::DnsFailed,
        DialError::Settings(_) => Reason::UpstreamTlsMisconfigured,
    }
}

/// Opens a connection and relays until the end.
pub(super) async fn forward(mut settled: Settled, way: Way) {
    let original = settled.facts.original_destination;
    match open(&settled.ctx, &mut settled.account, &way, original).await {
        Ok(opened) => relay(settled, opened, Bytes::new()).await,
        Err(Failed { reason, transport }) => settled.account.failed(reason, transport),
    }
}

impl Failed {
    /// Closes the client's connection and accounts for it.
    pub(super) fn report(self, account: Account) {
        account.failed(self.reason, self.transport);
    }
}

/// Relays until the end. `said`: what the server has said already.
pub(super) async fn relay(settled: Settled, opened: Opened, said: Bytes) {
    let Settled { ctx, mut io, facts, mut account } = settled;
    let mut upstream = opened.io;
    let meter = account.open();
    let counters = Rc::new(Counters::default());
    let ended = match greet(&mut io, &said).await {
        Ok(()) => {
            counters.sent.set(said.len() as u64);
            meter.sent(said.len() as u64);
            drop(said);
            carry(&ctx, &facts, &mut io, &mut upstream, &counters, &meter).await
        }
        Err(error) => Stopped::Relay(Ended::Downstream(error)),
    };
    if let Stopped::Refused(Refused { origin: Some(origin), .. }) = &ended {
        account.decided_by = Some(origin.clone());
    }
    account.finish(&ending(ended), &counters);
}

async fn greet(io: &mut ServerIo, said: &[u8]) -> std::io::Result<()> {
    if said.is_empty() {
        return Ok(());
    }
    io.write_all(said).await?;
    io.flush().await
}

/// Why a relay is over.
enum Stopped {
    Relay(Ended),
    /// The drain has cut it.
    Drain,
    /// It would not be allowed today.
    Refused(Refused),
}

/// What stands against a relay that was allowed, under the plan of the moment.
fn objection(plan: &Plan, facts: &ConnectionFacts) -> Option<Refused> {
    if facts.direction == Direction::Inbound {
        let inbound = plan.inbound(facts.original_destination.port());
        let mutual = facts.tls.is_some();
        if let Err(refusal) = inbound.and_then(|inbound| inbound.may_go_on(mutual)) {
            return Some(refusal.into());
        }
    }
    let verdict = plan.authorize_connection(&arrival::peer(facts));
    (!verdict.allowed).then(|| Refused::denied(&verdict))
}

async fn carry(
    ctx: &WorkerContext,
    facts: &ConnectionFacts,
    io: &mut ServerIo,
    upstream: &mut ClientIo,
    counters: &Rc<Counters>,
    meter: &TcpMeter,
) -> Stopped {
    let idle = ctx.settings.timeouts.tcp_idle;
    let relay = Relay { counters: Rc::clone(counters), idle };
    let mut running = std::pin::pin!(relay.run(io, upstream));
    let mut drain = ctx.drain.clone();
    let mut ending = std::pin::pin!(drain.reached(DrainPhase::Ending));
    // Of its own workload's connections outwards, no policy speaks.
    let governed = facts.direction != Direction::Outbound;
    let mut revoked = std::pin::pin!(ctx.revoked(|plan| objection(plan, facts)));
    let mut reports = interval_at(Instant::now() + REPORT, REPORT);
    let mut reported = Reported { received: counters.received.get(), sent: counters.sent.get() };
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut running => break Stopped::Relay(ended),
            () = &mut ending => break Stopped::Drain,
            refused = &mut revoked, if governed => break Stopped::Refused(refused),
            _ = reports.tick() => reported.catch_up(counters, meter),
        }
    };
    reported.catch_up(counters, meter);
    ended
}

/// How much of the counters has been reported.
struct Reported {
    received: u64,
    sent: u64,
}

impl Reported {
    fn catch_up(&mut self, counters: &Counters, meter: &TcpMeter) {
        let (received, sent) = (counters.received.get(), counters.sent.get());
        meter.received(received - self.received);
        meter.sent(sent - self.sent);
        *self = Self { received, sent };
    }
}

fn ending(ended: Stopped) -> Ending {
    let (reason, termination) = match ended {
        Stopped::Relay(Ended::Closed) => return Ending::default(),
        Stopped::Relay(Ended::Idle) => (Reason::IdleTimedOut, String::new()),
        Stopped::Relay(Ended::Downstream(error)) => (Reason::DownstreamReset, error.to_string()),
        Stopped::Relay(Ended::Upstream(error)) => (Reason::UpstreamResetMidway, error.to_string()),
        Stopped::Drain => (Reason::DrainTimedOut, String::new()),
        Stopped::Refused(refused) => (refused.reason, refused.detail),
    };
    Ending { reason: Some(reason), termination, transport: String::new() }
}
