//! TLS contexts, and where their keys come from.

pub(crate) mod downstream;
mod upstream;

use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, ConfigSource, GrpcService, api_config_source, config_source,
    grpc_service,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::SdsSecretConfig;
use envoy_types::pb::google::protobuf::Duration;

use crate::names::SDS_CLUSTER;

pub(crate) use upstream::{UpstreamTls, Version, upstream, version};

/// A secret that the agent serves.
pub(crate) fn sds(name: &str) -> SdsSecretConfig {
    let agent = GrpcService {
        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(grpc_service::EnvoyGrpc {
            cluster_name: SDS_CLUSTER.to_owned(),
            ..grpc_service::EnvoyGrpc::default()
        })),
        ..GrpcService::default()
    };
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            resource_api_version: ApiVersion::V3.into(),
            initial_fetch_timeout: Some(Duration::default()),
            config_source_specifier: Some(config_source::ConfigSourceSpecifier::ApiConfigSource(
                ApiConfigSource {
                    api_type: api_config_source::ApiType::Grpc.into(),
                    transport_api_version: ApiVersion::V3.into(),
                    grpc_services: vec![agent],
                    set_node_on_first_message_only: true,
                    ..ApiConfigSource::default()
                },
            )),
            ..ConfigSource::default()
        }),
    }
}
