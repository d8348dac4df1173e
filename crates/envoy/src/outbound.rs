//! Listeners for what a workload sends.
//!
//! Under capture by iptables `virtualOutbound` takes everything and hands it to the listener of the
//! dialled address (`<address>_<port>`: TCP, TLS and detected ports of entries with that address),
//! else to the one of the port (`0.0.0.0_<port>`: HTTP by authority, blocks, TLS by server name).
//! In local mode every port of every service has a listener that is bound at the service's address
//! in the workload's own /16. What a listener's filter chains are is found by asking [`decide`], the
//! engine's outbound order over sets of connections, about everything that Envoy can tell apart.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{FilterChain, FilterChainMatch, Listener};
use envoy_types::pb::google::protobuf::BoolValue;
use lateen_mesh::local;

use crate::Kind;
use crate::filter::{Place, listener_log, tcp_proxy};
use crate::lowering::{Context, Output};
use crate::message::{put_everywhere, socket_address, uint32};
use crate::names;

mod chains;
mod decide;
mod universe;

use chains::Chains;
use decide::{Situation, Target};

/// The listener that iptables redirects to.
pub(crate) fn virtual_outbound(context: &Context<'_>, out: &mut Output) {
    let chain = |name: &str, cluster: &str, port: Option<u16>| FilterChain {
        name: name.to_owned(),
        filter_chain_match: port.map(|port| FilterChainMatch {
            destination_port: Some(uint32(port.into())),
            ..FilterChainMatch::default()
        }),
        filters: vec![tcp_proxy(
            context,
            Place::Outbound,
            cluster,
            vec![(cluster.to_owned(), 1)],
            false,
        )],
        ..FilterChain::default()
    };
    let catch_all = if context.passes_through() {
        names::PASSTHROUGH_CLUSTER
    } else {
        names::BLACK_HOLE_CLUSTER
    };
    let mut listener = Listener {
        name: names::VIRTUAL_OUTBOUND.to_owned(),
        use_original_dst: Some(BoolValue { value: true }),
        traffic_direction: TrafficDirection::Outbound.into(),
        filter_chains: vec![
            chain(
                names::OUTBOUND_BLACK_HOLE_CHAIN,
                names::BLACK_HOLE_CLUSTER,
                Some(names::OUTBOUND_PORT),
            ),
            chain(names::OUTBOUND_CATCH_ALL_CHAIN, catch_all, None),
        ],
        access_log: listener_log(context),
        max_connections_to_accept_per_socket_event: Some(uint32(1)),
        ..Listener::default()
    };
    put_everywhere(&mut listener, context.placement, names::OUTBOUND_PORT);
    out.put(Kind::Listener, names::VIRTUAL_OUTBOUND, &listener);
}

/// `0.0.0.0_<port>`; none where nothing on the port would be decided otherwise than elsewhere.
pub(crate) fn port(context: &Context<'_>, port: u16, out: &mut Output) {
    let directory = &context.model.directory;
    let Some(on_port) = directory.on_port(port) else { return };
    let targets = universe::blocks(context, port);
    if on_port.http.is_empty()
        && on_port.by_name.is_empty()
        && on_port.open.is_empty()
        && targets.is_empty()
    {
        return;
    }
    let address = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    let name = names::listener(address, port);
    let mut chains = Chains::new(context, &name, port);
    for block in targets {
        chains.add(&Situation::new(context, Target::Within(block), port));
    }
    chains.finish(&Situation::new(context, Target::Elsewhere, port));
    put(context, &name, (address, port), chains, false, out);
}

/// `<address>_<port>`; none where no entry with the address has the port, or only as HTTP.
pub(crate) fn address(context: &Context<'_>, address: IpAddr, port: u16, out: &mut Output) {
    let situation = Situation::new(context, Target::At(address), port);
    if !situation.is_by_address() {
        return;
    }
    let name = names::listener(address, port);
    let mut chains = Chains::new(context, &name, port);
    chains.finish(&situation);
    put(context, &name, (address, port), chains, false, out);
}

/// Local mode: the listener of a service's port at its offset in the workload's /16.
pub(crate) fn local(context: &Context<'_>, offset: u32, port: u16, out: &mut Output) {
    let Some(base) = context.model.local_base() else { return };
    let directory = &context.model.directory;
    let has = |port: u16| directory.with_offset(offset).any(|it| it.protocol(port).is_some());
    // Another port's socket may have that number already.
    let taken = port
        .checked_sub(local::PORT_SHIFT)
        .is_some_and(|low| local::shift_port(low) == port && has(low));
    if !has(port) || taken {
        return;
    }
    let address = IpAddr::from(Ipv4Addr::from(u32::from(base) | offset));
    let name = names::listener(address, port);
    let mut chains = Chains::new(context, &name, port);
    chains.finish(&Situation::new(context, Target::At(address), port));
    put(context, &name, (address, local::shift_port(port)), chains, true, out);
}

fn put(
    context: &Context<'_>,
    name: &str,
    (address, port): (IpAddr, u16),
    chains: Chains<'_>,
    bind: bool,
    out: &mut Output,
) {
    let mut listener = chains.into_listener();
    listener.name = name.to_owned();
    if address.is_unspecified() {
        put_everywhere(&mut listener, context.placement, port);
    } else {
        listener.address = Some(socket_address(address, port));
    }
    listener.bind_to_port = (!bind).then_some(BoolValue { value: false });
    listener.traffic_direction = TrafficDirection::Outbound.into();
    listener.access_log = listener_log(context);
    listener.max_connections_to_accept_per_socket_event = Some(uint32(1));
    out.put(Kind::Listener, name, &listener);
}
