//! Inbound listeners.

use std::net::{IpAddr, Ipv4Addr};

use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{
    FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
    listener_filter, listener_filter_chain_match_predicate as predicate,
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::r#type::v3::Int32Range;
use envoy_types::pb::google::protobuf::Any;
use lateen_mesh::local::{SIDECAR, address, shift_port};
use lateen_mesh::v1::{self, Protocol};

use super::chains::{Chains, inspects_http, inspects_tls};
use super::routes::Application;
use super::{Carries, Port, Workload, mode};
use crate::Kind;
use crate::filter::{Destined, Place, listener_log, tcp_proxy};
use crate::lowering::Output;
use crate::message::{any, millis, put_everywhere, socket_address, uint32};
use crate::names::{self, INBOUND_PORT};

/// `virtualInbound`: everything that iptables captured on its way to the workload.
pub(super) fn virtual_inbound(
    workload: &Workload<'_>,
    inbound: &v1::Inbound,
    ports: &[Port<'_>],
    out: &mut Output,
) {
    let mut chains = vec![black_hole(workload)];
    if !inbound.only_declared {
        let passthrough = Chains {
            mode: mode(inbound.mtls),
            carries: Carries::Either,
            port: None,
            names: (names::INBOUND_CATCH_ALL_HTTP_CHAIN, names::VIRTUAL_INBOUND),
            stat_prefix: names::INBOUND_PASSTHROUGH_CLUSTER,
            cluster: names::INBOUND_PASSTHROUGH_CLUSTER,
            destined: Destined::Dialled,
            routes: Application { protocol: Protocol::Auto, service: ("", 0) },
        };
        chains.extend(passthrough.build(workload));
    }
    for port in ports {
        chains.extend(port_chains(workload, port, Destined::Dialled));
    }
    let mut filters = vec![listener_filter(
        "envoy.filters.listener.original_dst",
        any(&OriginalDst::default()),
        None,
    )];
    filters.extend(inspectors(inbound, ports));
    let mut listener = Listener {
        name: names::VIRTUAL_INBOUND.to_owned(),
        filter_chains: chains,
        listener_filters: filters,
        ..common(workload)
    };
    put_everywhere(&mut listener, workload.context.placement, INBOUND_PORT);
    out.put(Kind::Listener, names::VIRTUAL_INBOUND, &listener);
}

/// Local mode: the listener of one port, at the workload's sidecar address.
pub(super) fn local(workload: &Workload<'_>, port: &Port<'_>, base: Ipv4Addr, out: &mut Output) {
    let place = IpAddr::V4(address(base, SIDECAR));
    let name = names::listener(place, port.number);
    let mut filters = Vec::new();
    if inspects_tls(port.mode) {
        filters.push(tls_inspector(None));
    }
    if inspects_http(port.mode, port.carries()) {
        filters.push(http_inspector(None));
    }
    let mut chains = port_chains(workload, port, Destined::Port(port.number));
    for chain in &mut chains {
        if let Some(matched) = &mut chain.filter_chain_match {
            matched.destination_port = None;
        }
    }
    let listener = Listener {
        name: name.clone(),
        address: Some(socket_address(place, shift_port(port.number))),
        filter_chains: chains,
        listener_filters: filters,
        ..common(workload)
    };
    out.put(Kind::Listener, name, &listener);
}

/// What all inbound listeners have in common.
fn common(workload: &Workload<'_>) -> Listener {
    let context = workload.context;
    Listener {
        traffic_direction: TrafficDirection::Inbound.into(),
        access_log: listener_log(context),
        // 0 waits without limit, as Istio does.
        listener_filters_timeout: Some(millis(
            context.settings.protocol_detection_timeout_ms.into(),
        )),
        continue_on_listener_filters_timeout: true,
        ..Listener::default()
    }
}

fn port_chains(workload: &Workload<'_>, port: &Port<'_>, destined: Destined) -> Vec<FilterChain> {
    let name = names::listener(Ipv4Addr::UNSPECIFIED.into(), port.number);
    let own = names::inbound(port.number);
    let (cluster, service) = match port.declared {
        Some(declared) => (own.as_str(), (declared.service_host.as_str(), declared.service_port)),
        None => (names::INBOUND_PASSTHROUGH_CLUSTER, ("", 0)),
    };
    let chains = Chains {
        mode: port.mode,
        carries: port.carries(),
        port: Some(port.number),
        names: (&name, &name),
        stat_prefix: &format!("inbound_{name}"),
        cluster,
        destined,
        routes: Application { protocol: port.protocol(), service },
    };
    chains.build(workload)
}

/// Who dials the listener's own port is sent nowhere, instead of in a circle.
fn black_hole(workload: &Workload<'_>) -> FilterChain {
    let cluster = names::BLACK_HOLE_CLUSTER;
    let clusters = vec![(cluster.to_owned(), 1)];
    FilterChain {
        filter_chain_match: Some(FilterChainMatch {
            destination_port: Some(uint32(INBOUND_PORT.into())),
            ..FilterChainMatch::default()
        }),
        filters: vec![tcp_proxy(workload.context, Place::Inbound, cluster, clusters, false)],
        name: names::INBOUND_BLACK_HOLE_CHAIN.to_owned(),
        ..FilterChain::default()
    }
}

/// The inspectors, where they must look.
fn inspectors(inbound: &v1::Inbound, ports: &[Port<'_>]) -> Vec<ListenerFilter> {
    let others = (!inbound.only_declared).then(|| mode(inbound.mtls));
    let tls = looks(ports, others.is_some_and(inspects_tls), |port| inspects_tls(port.mode));
    let http =
        looks(ports, others.is_some_and(|mode| inspects_http(mode, Carries::Either)), |port| {
            inspects_http(port.mode, port.carries())
        });
    [tls.map(tls_inspector), http.map(http_inspector)].into_iter().flatten().collect()
}

/// Where an inspector is off (inside: nowhere is `None`); `None`: it is off everywhere.
fn looks(
    ports: &[Port<'_>],
    others: bool,
    wanted: impl Fn(&Port<'_>) -> bool,
) -> Option<Option<ListenerFilterChainMatchPredicate>> {
    let exceptions: Vec<u16> =
        ports.iter().filter(|port| wanted(port) != others).map(|port| port.number).collect();
    match (others, exceptions.is_empty()) {
        (true, true) => Some(None),
        (true, false) => Some(Some(any_port(&exceptions))),
        (false, true) => None,
        (false, false) => {
            Some(Some(rule(predicate::Rule::NotMatch(Box::new(any_port(&exceptions))))))
        }
    }
}

fn any_port(ports: &[u16]) -> ListenerFilterChainMatchPredicate {
    let mut rules: Vec<_> = ports
        .iter()
        .map(|port| {
            let start = i32::from(*port);
            rule(predicate::Rule::DestinationPortRange(Int32Range { start, end: start + 1 }))
        })
        .collect();
    match rules.len() {
        1 => rules.remove(0),
        _ => rule(predicate::Rule::OrMatch(predicate::MatchSet { rules })),
    }
}

fn rule(rule: predicate::Rule) -> ListenerFilterChainMatchPredicate {
    ListenerFilterChainMatchPredicate { rule: Some(rule) }
}

fn tls_inspector(disabled: Option<ListenerFilterChainMatchPredicate>) -> ListenerFilter {
    let config = TlsInspector {
        // Istio's, so that a short ClientHello is not waited for in vain.
        initial_read_buffer_size: Some(uint32(512)),
        ..TlsInspector::default()
    };
    listener_filter("envoy.filters.listener.tls_inspector", any(&config), disabled)
}

fn http_inspector(disabled: Option<ListenerFilterChainMatchPredicate>) -> ListenerFilter {
    listener_filter(
        "envoy.filters.listener.http_inspector",
        any(&HttpInspector::default()),
        disabled,
    )
}

fn listener_filter(
    name: &str,
    config: Any,
    filter_disabled: Option<ListenerFilterChainMatchPredicate>,
) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        filter_disabled,
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
    }
}

#[cfg(test)]
mod tests {
    use lateen_mesh::v1::MtlsMode;

    use super::*;

    fn port(number: u16, mode: MtlsMode) -> Port<'static> {
        Port { number, mode, declared: None }
    }

    /// Ports of a predicate, and whether it means all others.
    fn ports_of(predicate: &ListenerFilterChainMatchPredicate) -> (Vec<i32>, bool) {
        match predicate.rule.as_ref().unwrap() {
            predicate::Rule::DestinationPortRange(range) => (vec![range.start], false),
            predicate::Rule::OrMatch(set) => {
                (set.rules.iter().flat_map(|rule| ports_of(rule).0).collect(), false)
            }
            predicate::Rule::NotMatch(inner) => (ports_of(inner).0, true),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn inspectors_are_off_where_nothing_is_to_be_seen() {
        use MtlsMode::{Disable, Permissive, Strict};
        let off = |ports: &[Port<'_>], others: MtlsMode| {
            looks(ports, inspects_tls(others), |port| inspects_tls(port.mode))
                .map(|predicate| predicate.as_ref().map(ports_of))
        };
        assert_eq!(off(&[port(80, Strict)], Permissive), Some(None));
        let mixed = [port(80, Disable), port(81, Strict), port(82, Disable)];
        assert_eq!(off(&mixed, Permissive), Some(Some((vec![80, 82], false))));
        assert_eq!(off(&mixed, Disable), Some(Some((vec![81], true))));
        assert_eq!(off(&[port(80, Disable)], Disable), None);
    }
}
