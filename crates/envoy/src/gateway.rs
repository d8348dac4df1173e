//! Listeners of gateways.
//!
//! A port has one kind of servers: plain HTTP, which share a route configuration; TCP; or servers
//! that are told apart by the name that TLS asks for.

mod chains;
mod relay;

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{
    FilterChain, Listener, ListenerFilter, listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use lateen_mesh::local::{SIDECAR, address, shift_port};
use lateen_mesh::v1::{self, GatewayProtocol};

use self::chains::Chains;
use crate::filter::{Authorization, Destined, access_log_problems, listener_log};
use crate::lowering::{Context, Output};
use crate::message::{any, millis, put_everywhere, socket_address};
use crate::{Capture, Kind, names};

/// The listener of `gateway/<port>`. `local_base`: local mode's first address of the workload.
pub(crate) fn lower(
    context: &Context<'_>,
    listener: &v1::GatewayListener,
    objects: &[v1::ObjectRef],
    local_base: Option<Ipv4Addr>,
    out: &mut Output,
) {
    let Ok(port) = u16::try_from(listener.port) else {
        return out.problem(objects, None, format!("{} is no port", listener.port));
    };
    let (bind, destined) = match (context.placement.capture, local_base) {
        (Capture::Redirect, _) => (None, Destined::Dialled),
        (Capture::Local, Some(base)) => (Some(address(base, SIDECAR)), Destined::Port(port)),
        (Capture::Local, None) => return,
    };
    for problem in context.settings.access_log.iter().flat_map(access_log_problems) {
        out.problem(&[], None, problem);
    }
    let policies = context.model.inbound().map_or(&[][..], |(_, inbound)| &inbound.policies);
    let authorization = Authorization::new(context, policies, out);
    let servers = Servers { context, listener, port, destined, authorization: &authorization };
    let chains = servers.filter_chains(objects, out);
    if chains.is_empty() {
        return;
    }
    let name = names::listener(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let mut message = Listener {
        name: name.clone(),
        address: bind.map(|address| socket_address(address.into(), shift_port(port))),
        traffic_direction: TrafficDirection::Outbound.into(),
        filter_chains: chains,
        listener_filters: servers.inspectors(),
        // Istio waits for the first bytes as long as it takes.
        listener_filters_timeout: Some(millis(
            context.settings.protocol_detection_timeout_ms.into(),
        )),
        continue_on_listener_filters_timeout: true,
        access_log: listener_log(context),
        ..Listener::default()
    };
    if bind.is_none() {
        put_everywhere(&mut message, context.placement, port);
    }
    out.put(Kind::Listener, name, &message);
}

/// The servers of one port.
#[derive(Clone, Copy)]
struct Servers<'a> {
    context: &'a Context<'a>,
    listener: &'a v1::GatewayListener,
    port: u16,
    destined: Destined,
    authorization: &'a Authorization<'a>,
}

impl Servers<'_> {
    fn filter_chains(self, objects: &[v1::ObjectRef], out: &mut Output) -> Vec<FilterChain> {
        let mut chains = Chains::new(self);
        let servers = &self.listener.servers;
        if let Some(server) = servers.iter().find(|it| protocol(it) == Some(GatewayProtocol::Http))
        {
            chains.plain_http(server);
            return chains.made;
        }
        let tcp = servers.iter().find(|it| protocol(it) == Some(GatewayProtocol::Tcp));
        for server in servers {
            let problem = match protocol(server) {
                Some(GatewayProtocol::Https) => chains.https(server),
                Some(GatewayProtocol::TlsTerminated) => chains.terminated(server),
                Some(GatewayProtocol::TlsPassthrough) => {
                    chains.passthrough(server);
                    Ok(())
                }
                Some(GatewayProtocol::Tcp) => {
                    // One of them takes every connection.
                    if tcp.is_some_and(|first| std::ptr::eq(first, server)) {
                        chains.tcp(server);
                    }
                    Ok(())
                }
                Some(GatewayProtocol::Http) => Ok(()),
                None => Err(format!("its protocol {} is not known", server.protocol)),
            };
            if let Err(why) = problem {
                let why = format!("server {} takes no connections: {why}", server.name);
                out.problem(objects, server.origin.as_ref(), why);
            }
        }
        chains.made
    }

    fn inspectors(&self) -> Vec<ListenerFilter> {
        let mut protocols = self.listener.servers.iter().filter_map(protocol);
        let tls = protocols
            .any(|protocol| !matches!(protocol, GatewayProtocol::Http | GatewayProtocol::Tcp));
        let filter = || ListenerFilter {
            name: "envoy.filters.listener.tls_inspector".to_owned(),
            config_type: Some(listener_filter::ConfigType::TypedConfig(any(
                &TlsInspector::default(),
            ))),
            filter_disabled: None,
        };
        tls.then(filter).into_iter().collect()
    }
}

fn protocol(server: &v1::GatewayServer) -> Option<GatewayProtocol> {
    GatewayProtocol::try_from(server.protocol).ok()
}
