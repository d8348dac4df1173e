//! MeshNetworks: the networks of a mesh, in the ConfigMap `istio` under `meshNetworks`.

use std::collections::BTreeMap;

use crate::message::{message, oneof};

message! {
    /// The networks of a mesh.
    pub struct MeshNetworks {
        /// By name.
        networks: BTreeMap<String, Network>, inert;
    }

    /// A network.
    pub struct Network {
        /// Which endpoints are in it.
        endpoints: Vec<NetworkEndpoints>, pending;
        /// Through which gateways it is reached from others.
        gateways: Vec<NetworkGateway>, pending;
    }

    /// Some endpoints.
    pub struct NetworkEndpoints {
        /// Which.
        ne: Option<NetworkMembers>, oneof;
    }

    /// A gateway of a network.
    pub struct NetworkGateway {
        /// Where it is.
        gw: Option<NetworkGatewayPlace>, oneof;
        /// Its port.
        port: u32, pending;
        /// Its locality.
        locality: String, pending;
    }
}

oneof! {
    /// Some endpoints.
    pub enum NetworkMembers {
        /// Those with an address in this block.
        FromCidr(String) = from_cidr, pending;
        /// Those of this cluster.
        FromRegistry(String) = from_registry, pending;
    }

    /// Where a gateway is.
    pub enum NetworkGatewayPlace {
        /// A service.
        RegistryServiceName(String) = registry_service_name, pending;
        /// An address or a host.
        Address(String) = address, pending;
    }
}
