//! The endpoints of a destination.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use envoy_types::pb::envoy::config::core::v3::{Address, HealthStatus, Locality, Pipe, address};
use envoy_types::pb::envoy::config::endpoint::v3::endpoint::AdditionalAddress;
use lateen_mesh::address::decode_address;
use lateen_mesh::local;
use lateen_mesh::name::Name;
use lateen_mesh::v1::{self, Discovery, endpoint};

use crate::lowering::{Context, DestinationKey, Output};
use crate::message::{socket_address, uint32};
use crate::names;
use crate::wire::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, Metadata, Struct, Value,
};
use crate::{Capture, Kind};

/// The key under which endpoints are marked for mesh TLS.
pub(crate) const TRANSPORT_SOCKET_MATCH: &str = "envoy.transport_socket_match";

/// Labels of endpoints that Istio's metrics name.
const TOLD_LABELS: [&str; 2] = ["app", "version"];

/// The assignment of a destination whose endpoints the control plane lists. All its clusters share
/// it.
pub(crate) fn lower(context: &Context<'_>, key: &DestinationKey, out: &mut Output) {
    let Some(destination) = context.model.destination(&key.name()) else { return };
    if destination.discovery() != Discovery::Endpoints {
        return;
    }
    let name = names::outbound(&key.host, key.port, &key.subset);
    let mut localities: BTreeMap<String, Vec<LbEndpoint>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for slice in &destination.endpoint_slices {
        let Some(slice) = Name::parse(slice).and_then(|name| context.model.endpoints(&name)) else {
            continue;
        };
        for endpoint in &slice.endpoints {
            let Some(template) = slice.template(endpoint) else { continue };
            if selects(destination, &template)
                && seen.insert((&endpoint.workload_uid, endpoint.port))
            {
                let made = lb_endpoint(context, endpoint, &template);
                localities.entry(template.locality.clone()).or_default().extend(made);
            }
        }
    }
    let endpoints = localities.into_iter().map(|(locality, lb_endpoints)| LocalityLbEndpoints {
        locality: self::locality(&locality),
        lb_endpoints,
    });
    let assignment =
        ClusterLoadAssignment { cluster_name: name.clone(), endpoints: endpoints.collect() };
    out.put(Kind::Endpoints, name, &assignment);
}

fn selects(destination: &v1::Destination, template: &v1::EndpointTemplate) -> bool {
    let mut labels = destination.subset_labels.iter();
    labels.all(|(name, value)| template.labels.get(name) == Some(value))
}

fn lb_endpoint(
    context: &Context<'_>,
    endpoint: &v1::Endpoint,
    template: &v1::EndpointTemplate,
) -> Option<LbEndpoint> {
    let mut addresses = addresses(context, endpoint);
    let endpoint_addresses = Endpoint {
        address: Some(addresses.next()?),
        additional_addresses: addresses
            .map(|address| AdditionalAddress { address: Some(address) })
            .collect(),
    };
    let health = match (endpoint.reach(), endpoint.health()) {
        (endpoint::Reach::Direct, endpoint::Health::Healthy) => HealthStatus::Unknown,
        (endpoint::Reach::Direct, endpoint::Health::Draining) => HealthStatus::Draining,
        // Neither tunnels nor other networks' gateways are used here.
        (endpoint::Reach::Direct, endpoint::Health::Unhealthy)
        | (endpoint::Reach::Hbone | endpoint::Reach::NetworkGateway, _) => HealthStatus::Unhealthy,
    };
    Some(LbEndpoint {
        endpoint: Some(endpoint_addresses),
        health_status: health.into(),
        metadata: Some(metadata(&workload(template), &template.labels, endpoint.mesh_tls)),
        load_balancing_weight: Some(uint32(endpoint.weight.max(1))),
    })
}

fn addresses(context: &Context<'_>, endpoint: &v1::Endpoint) -> impl Iterator<Item = Address> {
    let capture = context.placement.capture;
    let port = u16::try_from(endpoint.port).unwrap_or_default();
    let pipe = (!endpoint.unix_path.is_empty()).then(|| Address {
        address: Some(address::Address::Pipe(Pipe {
            path: endpoint.unix_path.clone(),
            ..Pipe::default()
        })),
    });
    let sockets = endpoint.addresses.iter().filter_map(|bytes| decode_address(bytes));
    pipe.into_iter()
        .chain(sockets.map(move |address| socket_address(address, dialled(capture, address, port))))
}

/// The port that is dialled at an address: in local mode, what is below 1024 has its place elsewhere.
pub(crate) fn dialled(capture: Capture, address: IpAddr, port: u16) -> u16 {
    if capture == Capture::Local && local::is_in_mesh(address) {
        local::shift_port(port)
    } else {
        port
    }
}

/// `<workload>;<namespace>;<canonical name>;<canonical revision, but for latest>;<cluster>`.
fn workload(template: &v1::EndpointTemplate) -> String {
    let v1::EndpointTemplate { workload, namespace, canonical_name, cluster, .. } = template;
    if workload.is_empty() && canonical_name.is_empty() {
        return String::new();
    }
    let revision = match template.canonical_revision.as_str() {
        "latest" => "",
        revision => revision,
    };
    format!("{workload};{namespace};{canonical_name};{revision};{cluster}")
}

/// What Envoy keeps with an endpoint: whose it is (with the labels that Istio's metrics name), and
/// whether mesh TLS is spoken there.
pub(crate) fn metadata(
    workload: &str,
    labels: &BTreeMap<String, String>,
    mesh_tls: bool,
) -> Metadata {
    let mut whose = Struct::default();
    if !workload.is_empty() {
        whose.fields.insert("workload".to_owned(), Value::string(workload));
    }
    let told = TOLD_LABELS.iter().filter_map(|name| labels.get_key_value(*name));
    let told: BTreeMap<_, _> =
        told.map(|(name, value)| (name.clone(), Value::string(value))).collect();
    if !told.is_empty() {
        whose.fields.insert("labels".to_owned(), Struct { fields: told }.into_value());
    }
    let tls = if mesh_tls {
        Struct::new([("tlsMode", Value::string("istio"))])
    } else {
        Struct::default()
    };
    Metadata::new([("istio", whose), (TRANSPORT_SOCKET_MATCH, tls)])
}

/// `region/zone/subzone`.
fn locality(text: &str) -> Option<Locality> {
    if text.is_empty() {
        return None;
    }
    let mut parts = text.splitn(3, '/').map(str::to_owned);
    let mut next = || parts.next().unwrap_or_default();
    Some(Locality { region: next(), zone: next(), sub_zone: next() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ports_of_local_mode_have_their_place_elsewhere() {
        for (capture, address, port, expected) in [
            (Capture::Local, "127.5.0.1", 80, 20_080),
            (Capture::Local, "127.5.0.1", 8080, 8080),
            (Capture::Local, "127.0.0.1", 80, 80),
            (Capture::Redirect, "127.5.0.1", 80, 80),
        ] {
            assert_eq!(dialled(capture, address.parse().unwrap(), port), expected, "{address}");
        }
    }
}
