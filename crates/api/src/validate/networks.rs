//! MeshNetworks.

use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::mesh_config::{
    MeshNetworks, NetworkEndpoints, NetworkGateway, NetworkGatewayPlace, NetworkMembers,
};

pub(super) fn mesh_networks(v: &mut Validator, networks: &MeshNetworks) {
    v.each_key("networks", &networks.networks, |v, name, network| {
        if name.is_empty() {
            v.error(Code::BadValue, "the network needs a name");
        }
        v.each("endpoints", &network.endpoints, endpoints);
        v.each("gateways", &network.gateways, gateway);
    });
}

fn endpoints(v: &mut Validator, endpoints: &NetworkEndpoints) {
    match &endpoints.ne {
        Some(NetworkMembers::FromCidr(block)) => {
            v.check_field("fromCidr", syntax::ip_or_cidr(block));
        }
        Some(NetworkMembers::FromRegistry(cluster)) if !syntax::is_label(cluster) => {
            let message = format!("`{cluster}` is not the name of a cluster");
            v.check_field("fromRegistry", Err(message));
        }
        Some(NetworkMembers::FromRegistry(_)) => {}
        None => v.error(Code::MissingField, "one of `fromCidr` and `fromRegistry` is needed"),
    }
}

fn gateway(v: &mut Validator, gateway: &NetworkGateway) {
    match &gateway.gw {
        Some(NetworkGatewayPlace::RegistryServiceName(host)) => {
            v.check_field("registryServiceName", syntax::fqdn(host));
        }
        Some(NetworkGatewayPlace::Address(address)) if !syntax::is_ip(address) => {
            v.check_field("address", syntax::fqdn(address));
        }
        Some(NetworkGatewayPlace::Address(_)) => {}
        None => {
            let message = "one of `registryServiceName` and `address` is needed";
            v.error(Code::MissingField, message);
        }
    }
    v.check_field("port", syntax::port(gateway.port));
}
