//! Balancing: which endpoint an attempt goes to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lateen_engine::balance::Draw;
use lateen_engine::destination::{Address, Destination, Discovery, EndpointKey, PoolKey};
use lateen_engine::retry::RetryPolicy;
use lateen_engine::upstream::{Carried, UpstreamTls};

use super::Delivery;
use crate::cell::EndpointCell;
use crate::http::client::LaneKey;
use crate::http::local::Refusal;
use crate::http::request::InProgress;
use crate::telemetry::Reason;
use crate::upstream::{Source, Target};
use lateen_mesh::local::shift_address;

/// Where a request is to go.
#[derive(Clone, Copy)]
pub(in crate::http) enum Destined<'p> {
    /// To one of a destination's endpoints; `dialled` is where the client wanted to go.
    Destination { destination: &'p Arc<Destination>, dialled: SocketAddr },
    /// To an address, in plain text, dialled from `source` where that is set.
    Address { address: SocketAddr, source: Option<Source> },
}

/// An endpoint that was picked for one attempt.
pub(super) struct Picked {
    /// Its index among the destination's targets.
    pub(super) index: Option<usize>,
    pub(super) lane: LaneKey,
    pub(super) cell: Arc<EndpointCell>,
    pub(super) target: Target,
}

/// Picks an endpoint, and notes it in the exchange's record.
pub(super) fn pick(
    exchange: &mut InProgress,
    delivery: &Delivery<'_>,
    tried: &[usize],
) -> Result<Picked, Refusal> {
    match delivery.to {
        Destined::Address { address, source } => {
            Ok(pick_address(exchange, delivery.carried, address, source))
        }
        Destined::Destination { destination, dialled }
            if destination.discovery() == Discovery::Passthrough =>
        {
            Ok(pick_dialled(exchange, delivery.carried, destination, dialled))
        }
        Destined::Destination { destination, .. } => {
            pick_target(exchange, delivery, destination, tried)
        }
    }
}

fn pick_target(
    exchange: &mut InProgress,
    delivery: &Delivery<'_>,
    destination: &Arc<Destination>,
    tried: &[usize],
) -> Result<Picked, Refusal> {
    let ctx = exchange.ctx();
    let cells = ctx.endpoints(destination);
    let avoid_attempts = delivery.retries.map_or(0, RetryPolicy::avoid_previous_hosts);
    let draw = Draw { random: ctx.random.next(), turn: cells.next_turn(), tried, avoid_attempts };
    let picked = destination.pick(&cells.view(ctx.clock.since_start()), draw);
    let found = picked.and_then(|index| {
        let target = destination.target(index)?;
        Some((index, target, Arc::clone(cells.cell(index)?)))
    });
    let Some((index, target, cell)) = found else {
        let origin = Some(destination.origin().clone());
        return Err(Refusal { origin, ..Refusal::new(Reason::NoHealthyUpstream) });
    };
    let timeout = connect_timeout(exchange, Some(destination));
    let authority = authority_for(exchange, &target.tls);
    let lane = LaneKey {
        pool: Arc::clone(&target.pool),
        carried: delivery.carried,
        authority: authority.clone(),
    };
    let mut dial = Target::endpoint(target, delivery.carried, timeout);
    dial.authority = authority;
    let address = match &target.endpoint.address {
        Address::Ip(addresses) => addresses
            .first()
            .map(|ip| on_the_wire(exchange, SocketAddr::new(*ip, target.endpoint.key.port))),
        Address::Name(_) | Address::Unix(_) => None,
    };
    exchange.ongoing.address = address;
    exchange.ongoing.endpoint = Some(Arc::clone(&target.endpoint));
    Ok(Picked { index: Some(index), lane, cell, target: dial })
}

fn pick_address(
    exchange: &mut InProgress,
    carried: Carried,
    address: SocketAddr,
    source: Option<Source>,
) -> Picked {
    let ctx = exchange.ctx();
    let known = ctx.pools.addresses().known(&ctx.cells, address, source);
    let mut target = Target::address(address, connect_timeout(exchange, None));
    target.carried = carried;
    target.source = source;
    exchange.ongoing.address = Some(on_the_wire(exchange, address));
    Picked {
        index: None,
        lane: LaneKey { pool: Arc::clone(&known.pool), carried, authority: None },
        cell: Arc::clone(&known.cell),
        target,
    }
}

/// The address that the client dialled, with the TLS that its destination asks for.
fn pick_dialled(
    exchange: &mut InProgress,
    carried: Carried,
    destination: &Arc<Destination>,
    dialled: SocketAddr,
) -> Picked {
    let tls = destination.passthrough_tls();
    if *tls == UpstreamTls::Plain {
        return pick_address(exchange, carried, dialled, None);
    }
    let tls = Arc::new(tls.clone());
    let authority = authority_for(exchange, &tls);
    let key = EndpointKey { uid: dialled.to_string().into(), port: dialled.port() };
    let cell = exchange.ctx().cells.cell(&key);
    let pool = Arc::new(PoolKey::new(key, Arc::clone(&tls)));
    let mut target = Target::address(dialled, connect_timeout(exchange, Some(destination)));
    target.carried = carried;
    target.tls = tls;
    target.authority = authority.clone();
    exchange.ongoing.address = Some(on_the_wire(exchange, dialled));
    Picked { index: None, lane: LaneKey { pool, carried, authority }, cell, target }
}

/// The server name for TLS towards the outside that has none written: the request's host.
fn authority_for(exchange: &InProgress, tls: &UpstreamTls) -> Option<Arc<str>> {
    let originated = match tls {
        UpstreamTls::Simple(tls) | UpstreamTls::Mutual { tls, .. } => tls,
        UpstreamTls::Plain | UpstreamTls::Mesh(_) => return None,
    };
    if originated.sni.is_some() {
        return None;
    }
    let authority = exchange.ongoing.authority.to_str().ok()?;
    Some(lateen_engine::authority::host(authority).into())
}

fn connect_timeout(exchange: &InProgress, destination: Option<&Destination>) -> Duration {
    destination
        .and_then(Destination::connect_timeout)
        .unwrap_or_else(|| exchange.ctx().plan().settings().connect_timeout())
}

fn on_the_wire(exchange: &InProgress, address: SocketAddr) -> SocketAddr {
    if exchange.ctx().settings.local { shift_address(address) } else { address }
}
