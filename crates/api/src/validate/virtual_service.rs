//! VirtualService.

use super::http_route::http_route;
use super::shared::{destination, export_to, labels};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::host::HostPattern;
use crate::networking::{
    L4MatchAttributes, RouteDestination, TcpRoute, TlsMatchAttributes, TlsRoute, VirtualService,
};

/// The name that stands for all sidecars in lists of gateways.
const MESH: &str = "mesh";

pub(super) fn virtual_service(v: &mut Validator, service: &VirtualService, namespace: &str) {
    let delegate = service.hosts.is_empty();
    if delegate {
        check_delegate(v, service);
    }
    gateway_names(v, &service.gateways);
    check_hosts(v, service);
    if service.http.is_empty() && service.tls.is_empty() && service.tcp.is_empty() {
        v.error(Code::MissingField, "one of `http`, `tls` and `tcp` is needed");
    }
    v.each("http", &service.http, |v, route| http_route(v, route, delegate));
    v.each("tls", &service.tls, |v, route| tls_route(v, route, &service.hosts));
    v.each("tcp", &service.tcp, tcp_route);
    export_to(v, &service.export_to, namespace, false);
}

/// A VirtualService without hosts is a delegate, of which only HTTP routes can be taken.
fn check_delegate(v: &mut Validator, service: &VirtualService) {
    let reason = "a VirtualService without hosts is a delegate, which has HTTP routes only";
    for (name, set) in [
        ("gateways", !service.gateways.is_empty()),
        ("tls", !service.tls.is_empty()),
        ("tcp", !service.tcp.is_empty()),
    ] {
        if set {
            v.conflict(name, reason);
        }
    }
}

fn check_hosts(v: &mut Validator, service: &VirtualService) {
    let for_mesh = service.gateways.is_empty() || service.gateways.iter().any(|it| it == MESH);
    let for_gateway = service.gateways.iter().any(|it| it != MESH);
    let mut before: Vec<HostPattern> = Vec::new();
    v.each("hosts", &service.hosts, |v, host| {
        let checked =
            if for_gateway { syntax::sni_domain(host) } else { syntax::wildcard_domain(host) };
        if !syntax::is_ip(host) {
            v.check(checked);
        }
        if for_mesh && host == "*" {
            let message = "`*` needs a gateway: sidecars cannot route every host";
            v.error(Code::BadValue, message);
        }
        let pattern = HostPattern::new(host);
        if let Some(other) = before.iter().find(|other| other.overlaps(&pattern)) {
            v.error(Code::Inconsistent, format!("`{host}` and `{other}` cover the same hosts"));
        }
        before.push(pattern);
    });
}

/// Names of gateways: `mesh`, `name` or `namespace/name`.
pub(super) fn gateway_names(v: &mut Validator, gateways: &[String]) {
    v.each("gateways", gateways, |v, gateway| {
        let valid = match gateway.split_once('/') {
            Some((namespace, name)) => syntax::is_label(namespace) && syntax::fqdn(name).is_ok(),
            None => syntax::fqdn(gateway).is_ok(),
        };
        if !valid {
            let message = format!("`{gateway}` is not `name` or `namespace/name` of a Gateway");
            v.error(Code::BadValue, message);
        }
    });
}

fn tls_route(v: &mut Validator, route: &TlsRoute, hosts: &[String]) {
    if route.r#match.is_empty() {
        v.missing("match", "a TLS route needs a condition");
    }
    v.each("match", &route.r#match, |v, attributes| tls_match(v, attributes, hosts));
    route_destinations(v, &route.route);
}

fn tls_match(v: &mut Validator, attributes: &TlsMatchAttributes, hosts: &[String]) {
    if attributes.sni_hosts.is_empty() {
        v.missing("sniHosts", "a TLS route needs server names");
    }
    let hosts: Vec<HostPattern> = hosts.iter().map(|host| HostPattern::new(host)).collect();
    v.each("sniHosts", &attributes.sni_hosts, |v, name| {
        v.check(syntax::sni_domain(name));
        if !hosts.iter().any(|host| host.covers(&HostPattern::new(name))) {
            v.error(Code::Inconsistent, format!("none of `hosts` covers `{name}`"));
        }
    });
    v.each("destinationSubnets", &attributes.destination_subnets, |v, subnet| {
        v.check(syntax::ip_or_cidr(subnet));
    });
    match_port(v, attributes.port);
    labels(v, "sourceLabels", &attributes.source_labels);
    gateway_names(v, &attributes.gateways);
}

fn tcp_route(v: &mut Validator, route: &TcpRoute) {
    v.each("match", &route.r#match, |v, attributes: &L4MatchAttributes| {
        v.each("destinationSubnets", &attributes.destination_subnets, |v, subnet| {
            v.check(syntax::ip_or_cidr(subnet));
        });
        match_port(v, attributes.port);
        labels(v, "sourceLabels", &attributes.source_labels);
        gateway_names(v, &attributes.gateways);
    });
    route_destinations(v, &route.route);
}

/// The port of a condition; 0 is any.
pub(super) fn match_port(v: &mut Validator, port: u32) {
    if port != 0 {
        v.check_field("port", syntax::port(port));
    }
}

fn route_destinations(v: &mut Validator, destinations: &[RouteDestination]) {
    if destinations.is_empty() {
        v.missing("route", "a destination is needed");
    }
    v.each("route", destinations, |v, route| {
        destination(v, "destination", route.destination.as_ref());
        weight(v, route.weight);
    });
    total_weight(v, destinations.iter().map(|route| route.weight));
}

pub(super) fn weight(v: &mut Validator, weight: i32) {
    if weight < 0 {
        v.check_field("weight", Err(format!("{weight} is less than 0")));
    }
}

/// Several destinations that all weigh nothing take no traffic at all.
pub(super) fn total_weight(v: &mut Validator, weights: impl Iterator<Item = i32> + Clone) {
    if weights.clone().count() > 1 && weights.map(i64::from).sum::<i64>() == 0 {
        v.field("route", |v| {
            v.error(Code::Inconsistent, "the weights of all destinations add up to 0");
        });
    }
}
