//! The HTTP connection manager with Istio's settings (`istio-defaults.md`, Routing and HTTP).

use envoy_types::pb::envoy::config::common::mutation_rules::v3::{HeaderMutation, header_mutation};
use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::http::header_to_metadata::v3 as header_to_metadata;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3 as early;
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{BoolValue, Duration};
use hcm::http_connection_manager::{
    ForwardClientCertDetails, PathWithEscapedSlashesAction, RouteSpecifier,
    ServerHeaderTransformation, SetCurrentClientCertDetails, Tracing, UpgradeConfig,
};
use lateen_mesh::v1::{self, PathNormalization};

use super::access_log::{self, PEER_METADATA_NAMESPACE};
use super::{Place, http_filter, network_filter};
use crate::lowering::Context;
use crate::message::{ads, any};
use crate::names::{PEER_METADATA_HEADER, PEER_METADATA_ID_HEADER};

/// Where the routes of a connection manager come from.
#[derive(Debug, Clone)]
pub(crate) enum RouteSource {
    /// A route configuration that is a resource of its own.
    Resource(String),
    /// Here.
    Inline(Box<RouteConfiguration>),
}

/// An HTTP connection manager.
#[derive(Debug, Clone)]
pub(crate) struct HttpConnectionManager<'a> {
    /// On which side of the workload.
    pub(crate) place: Place,
    /// Beginning of the names of its statistics, without the final `;`.
    pub(crate) stat_prefix: &'a str,
    /// Its routes.
    pub(crate) routes: RouteSource,
    /// Filters that decide whether a request may go on (authorization).
    pub(crate) admission: Vec<hcm::HttpFilter>,
}

impl HttpConnectionManager<'_> {
    /// The network filter.
    pub(crate) fn filter(self, context: &Context<'_>) -> Filter {
        let Self { place, stat_prefix, routes, admission } = self;
        let mut http_filters = vec![peer_metadata_filter(place)];
        http_filters.extend(admission);
        http_filters.push(http_filter("envoy.filters.http.router", any(&Router::default())));
        let mut manager = hcm::HttpConnectionManager {
            stat_prefix: format!("{stat_prefix};"),
            http_filters,
            route_specifier: Some(route_specifier(routes)),
            access_log: access_log::http(context, place),
            tracing: Some(tracing()),
            stream_idle_timeout: Some(Duration::default()),
            proxy_100_continue: true,
            upgrade_configs: vec![UpgradeConfig {
                upgrade_type: "websocket".to_owned(),
                ..UpgradeConfig::default()
            }],
            ..hcm::HttpConnectionManager::default()
        };
        normalize_paths(&mut manager, context.settings);
        match place {
            Place::Outbound => {}
            Place::Inbound => inbound(&mut manager),
            Place::Gateway => gateway(&mut manager),
        }
        network_filter("envoy.filters.network.http_connection_manager", any(&manager))
    }
}

/// A sidecar before its workload says who the caller is, behind whatever the caller said.
fn inbound(manager: &mut hcm::HttpConnectionManager) {
    manager.server_name = "istio-envoy".to_owned();
    manager.server_header_transformation = ServerHeaderTransformation::Overwrite.into();
    manager.forward_client_cert_details = ForwardClientCertDetails::AppendForward.into();
    manager.set_current_client_cert_details = Some(SetCurrentClientCertDetails {
        subject: Some(BoolValue { value: true }),
        dns: true,
        uri: true,
        ..SetCurrentClientCertDetails::default()
    });
}

/// The edge of the mesh believes the connection, and nothing that a client says of the mesh.
fn gateway(manager: &mut hcm::HttpConnectionManager) {
    manager.server_name = "istio-envoy".to_owned();
    manager.use_remote_address = Some(BoolValue { value: true });
    manager.forward_client_cert_details = ForwardClientCertDetails::SanitizeSet.into();
    manager.set_current_client_cert_details = Some(SetCurrentClientCertDetails {
        subject: Some(BoolValue { value: true }),
        cert: true,
        dns: true,
        uri: true,
        ..SetCurrentClientCertDetails::default()
    });
    let mutations = [PEER_METADATA_HEADER, PEER_METADATA_ID_HEADER].map(|header| HeaderMutation {
        action: Some(header_mutation::Action::Remove(header.to_owned())),
    });
    manager.early_header_mutation_extensions = vec![TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(any(&early::HeaderMutation { mutations: mutations.into() })),
    }];
}

fn route_specifier(routes: RouteSource) -> RouteSpecifier {
    match routes {
        RouteSource::Inline(routes) => RouteSpecifier::RouteConfig(*routes),
        RouteSource::Resource(name) => RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads(None)),
            route_config_name: name,
        }),
    }
}

/// Istio's sampling. Nobody is told of spans, but operations are named as if somebody were
/// (`x-envoy-decorator-operation`).
fn tracing() -> Tracing {
    let percent = |value| Some(Percent { value });
    Tracing {
        client_sampling: percent(100.0),
        random_sampling: percent(1.0),
        overall_sampling: percent(100.0),
        ..Tracing::default()
    }
}

/// As `engine::path` does it, so that both data planes match the same text.
fn normalize_paths(manager: &mut hcm::HttpConnectionManager, settings: &v1::Settings) {
    let normalization = settings.path_normalization();
    let (normalize, merge, escaped) = match normalization {
        PathNormalization::None => (false, false, PathWithEscapedSlashesAction::KeepUnchanged),
        PathNormalization::Base => {
            (true, settings.merge_slashes, PathWithEscapedSlashesAction::KeepUnchanged)
        }
        PathNormalization::MergeSlashes => {
            (true, true, PathWithEscapedSlashesAction::KeepUnchanged)
        }
        PathNormalization::DecodeAndMergeSlashes => {
            (true, true, PathWithEscapedSlashesAction::UnescapeAndForward)
        }
    };
    manager.normalize_path = Some(BoolValue { value: normalize });
    manager.merge_slashes = merge;
    manager.path_with_escaped_slashes_action = escaped.into();
}

/// Takes the peer's metadata off the message and keeps it for the access log: an inbound listener
/// from requests, the others from answers.
///
/// It must be a filter: what a route removes is not in the log. Inbound, the answer's own pair
/// hangs on a route that was chosen before this filter ran, by the header's presence.
fn peer_metadata_filter(place: Place) -> hcm::HttpFilter {
    use header_to_metadata::config::{KeyValuePair, Rule};
    let rule = |(header, key): (&str, &str)| Rule {
        header: header.to_owned(),
        on_header_present: Some(KeyValuePair {
            metadata_namespace: PEER_METADATA_NAMESPACE.to_owned(),
            key: key.to_owned(),
            ..KeyValuePair::default()
        }),
        remove: true,
        ..Rule::default()
    };
    let rules = [(PEER_METADATA_HEADER, "metadata"), (PEER_METADATA_ID_HEADER, "id")].map(rule);
    let mut config = header_to_metadata::Config::default();
    match place {
        Place::Inbound => config.request_rules = rules.into(),
        Place::Outbound | Place::Gateway => config.response_rules = rules.into(),
    }
    http_filter("envoy.filters.http.header_to_metadata", any(&config))
}
