//! The little of Envoy's messages that a client has to read to know what to ask for next.

use prost::Message;

/// Type URLs, in the order in which Envoy asks.
pub mod type_url {
    /// `envoy.config.cluster.v3.Cluster`.
    pub const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`.
    pub const ENDPOINTS: &str =
        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    /// `envoy.config.listener.v3.Listener`.
    pub const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    /// `envoy.config.route.v3.RouteConfiguration`.
    pub const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    /// `envoy.config.route.v3.VirtualHost`.
    pub const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
}

/// `envoy.config.cluster.v3.Cluster`.
#[derive(Clone, PartialEq, Message)]
pub struct Cluster {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How its endpoints are found; 3: by EDS.
    #[prost(int32, tag = "2")]
    pub discovery: i32,
    /// What to ask EDS for.
    #[prost(message, optional, tag = "3")]
    pub eds: Option<EdsClusterConfig>,
}

/// `Cluster.EdsClusterConfig`.
#[derive(Clone, PartialEq, Message)]
pub struct EdsClusterConfig {
    /// Name to ask for; empty: the cluster's.
    #[prost(string, tag = "2")]
    pub service_name: String,
}

/// Number of `EDS` in `Cluster.DiscoveryType`.
const EDS: i32 = 3;

impl Cluster {
    /// What the cluster makes Envoy ask EDS for.
    #[must_use]
    pub fn assignment(self) -> Option<String> {
        let named = self.eds.map(|eds| eds.service_name).filter(|name| !name.is_empty());
        (self.discovery == EDS).then(|| named.unwrap_or(self.name))
    }
}

/// `envoy.config.listener.v3.Listener`.
#[derive(Clone, PartialEq, Message)]
pub struct Listener {
    #[prost(message, repeated, tag = "3")]
    filter_chains: Vec<FilterChain>,
    #[prost(message, optional, tag = "25")]
    default_filter_chain: Option<FilterChain>,
}

#[derive(Clone, PartialEq, Message)]
struct FilterChain {
    #[prost(message, repeated, tag = "3")]
    filters: Vec<Filter>,
}

#[derive(Clone, PartialEq, Message)]
struct Filter {
    #[prost(message, optional, tag = "4")]
    typed_config: Option<prost_types::Any>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpConnectionManager {
    #[prost(message, optional, tag = "3")]
    rds: Option<Rds>,
}

#[derive(Clone, PartialEq, Message)]
struct Rds {
    #[prost(string, tag = "2")]
    route_config_name: String,
}

const CONNECTION_MANAGER: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

impl Listener {
    /// The route configurations that the listener makes Envoy ask for.
    ///
    /// # Errors
    /// When a connection manager's bytes are none.
    pub fn route_configurations(&self) -> Result<Vec<String>, prost::DecodeError> {
        let mut names = Vec::new();
        for chain in self.filter_chains.iter().chain(&self.default_filter_chain) {
            let configs = chain.filters.iter().filter_map(|filter| filter.typed_config.as_ref());
            for config in configs.filter(|config| config.type_url == CONNECTION_MANAGER) {
                let manager = HttpConnectionManager::decode(config.value.as_slice())?;
                names.extend(manager.rds.map(|rds| rds.route_config_name));
            }
        }
        Ok(names)
    }
}

/// `envoy.config.route.v3.RouteConfiguration`.
#[derive(Clone, PartialEq, Message)]
pub struct RouteConfiguration {
    /// Present: its virtual hosts come as resources of their own.
    #[prost(message, optional, tag = "9")]
    pub vhds: Option<Vhds>,
}

/// `envoy.config.route.v3.Vhds`.
#[derive(Clone, PartialEq, Message)]
pub struct Vhds {}
