//! Access logs: the file that MeshConfig names, and the stream from which the agent makes Istio's
//! metrics.
//!
//! # What the agent is sent
//!
//! With `placement.telemetry` every listener logs to the cluster `lateen-access-log` by
//! `envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs`. The identifier's `log_name` is
//! `<place>-<protocol>`: place `outbound`, `inbound` or `gateway` (Istio's reporter is `destination`
//! for `inbound`, `source` for the others), protocol `http` or `tcp`. An entry carries besides
//! Envoy's own fields:
//!
//! | where | what |
//! | --- | --- |
//! | `common_properties.upstream_cluster` | cluster (`outbound\|port\|subset\|host`, `inbound\|port\|\|`, `PassthroughCluster`, `InboundPassthroughCluster`, `BlackHoleCluster`; absent: none was chosen) |
//! | `common_properties.metadata["lateen.peer"]` | HTTP only: `metadata` and `id`, the peer's headers `x-envoy-peer-metadata` and `-id` as they came; to be believed only if they agree with the peer's principal |
//! | custom tag `services` | JSON list of the cluster's `{host, name, namespace}` |
//! | custom tag `workload` | the chosen endpoint's `<workload>;<namespace>;<canonical name>;<canonical revision>;<cluster>` |
//! | custom tag `peer_labels` | JSON object of the chosen endpoint's labels `app` and `version` |
//! | custom tag `peer_principal` | URI SAN of the proven peer: inbound the caller's, else the endpoint's |
//! | custom tag `local_principal` | URI SAN of the own certificate on that connection |
//! | custom tag `connection` | Envoy's number of the downstream connection |
//! | `request.request_headers["content-type"]` | tells gRPC |
//! | `response.response_headers` / `response_trailers` `["grpc-status"]` | the gRPC status |
//!
//! A tag without a value is absent or empty. A TCP connection is logged when it is connected
//! (`TcpUpstreamConnected`), every 5 seconds (`TcpPeriodic`), and at its end (`TcpConnectionEnd`),
//! each time with its byte counts since the beginning; the file gets the end only.

use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, LogTypeFilter, ResponseFlagFilter, access_log::ConfigType,
    access_log_filter::FilterSpecifier,
};
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, GrpcService, grpc_service};
use envoy_types::pb::envoy::data::accesslog::v3::AccessLogType;
use envoy_types::pb::envoy::extensions::access_loggers::grpc::v3::{
    CommonGrpcAccessLogConfig, HttpGrpcAccessLogConfig, TcpGrpcAccessLogConfig,
};
use envoy_types::pb::envoy::r#type::tracing::v3::{CustomTag, custom_tag};
use grpc_service::{EnvoyGrpc, TargetSpecifier};

use super::{Place, format};
use crate::lowering::Context;
use crate::message::{any, millis, uint32};
use crate::names::ACCESS_LOG_CLUSTER;

/// Namespace of the dynamic metadata that holds what a peer said of itself.
pub(crate) const PEER_METADATA_NAMESPACE: &str = "lateen.peer";

/// How long entries wait for company, in milliseconds.
const FLUSH_INTERVAL: u64 = 500;

/// How many bytes of entries wait for company.
const BUFFER: u32 = 64 * 1024;

/// The logs of requests.
pub(super) fn http(context: &Context<'_>, place: Place) -> Vec<AccessLog> {
    let mut logs = file(context);
    if context.placement.telemetry {
        logs.push(log(
            "envoy.access_loggers.http_grpc",
            any(&HttpGrpcAccessLogConfig {
                common_config: Some(stream(place, "http")),
                additional_request_headers_to_log: vec!["content-type".to_owned()],
                additional_response_headers_to_log: vec!["grpc-status".to_owned()],
                additional_response_trailers_to_log: vec!["grpc-status".to_owned()],
            }),
        ));
    }
    logs
}

/// The logs of connections of opaque bytes.
pub(super) fn tcp(context: &Context<'_>, place: Place) -> Vec<AccessLog> {
    let mut logs = file(context);
    if context.placement.telemetry {
        for log in &mut logs {
            log.filter = Some(AccessLogFilter {
                filter_specifier: Some(FilterSpecifier::LogTypeFilter(LogTypeFilter {
                    types: vec![AccessLogType::TcpConnectionEnd.into()],
                    ..LogTypeFilter::default()
                })),
            });
        }
        logs.push(log(
            "envoy.access_loggers.tcp_grpc",
            any(&TcpGrpcAccessLogConfig { common_config: Some(stream(place, "tcp")) }),
        ));
    }
    logs
}

/// A listener's own log: connections that none of its filter chains take.
pub(crate) fn listener_log(context: &Context<'_>) -> Vec<AccessLog> {
    let mut logs = file(context);
    for log in &mut logs {
        log.filter = Some(AccessLogFilter {
            filter_specifier: Some(FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
                flags: vec!["NR".to_owned()],
            })),
        });
    }
    logs
}

fn file(context: &Context<'_>) -> Vec<AccessLog> {
    let Some(settings) = context.settings.access_log.as_ref().filter(|log| !log.file.is_empty())
    else {
        return Vec::new();
    };
    vec![log("envoy.access_loggers.file", format::file(settings))]
}

fn log(name: &str, config: envoy_types::pb::google::protobuf::Any) -> AccessLog {
    AccessLog {
        name: name.to_owned(),
        config_type: Some(ConfigType::TypedConfig(config)),
        ..AccessLog::default()
    }
}

fn stream(place: Place, protocol: &str) -> CommonGrpcAccessLogConfig {
    let (peer, own) = match place {
        Place::Inbound => ("%DOWNSTREAM_PEER_URI_SAN%", "%DOWNSTREAM_LOCAL_URI_SAN%"),
        Place::Outbound | Place::Gateway => ("%UPSTREAM_PEER_URI_SAN%", "%UPSTREAM_LOCAL_URI_SAN%"),
    };
    CommonGrpcAccessLogConfig {
        log_name: format!("{}-{protocol}", place.name()),
        grpc_service: Some(GrpcService {
            target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
                cluster_name: ACCESS_LOG_CLUSTER.to_owned(),
                ..EnvoyGrpc::default()
            })),
            ..GrpcService::default()
        }),
        transport_api_version: ApiVersion::V3.into(),
        buffer_flush_interval: Some(millis(FLUSH_INTERVAL)),
        buffer_size_bytes: Some(uint32(BUFFER)),
        custom_tags: vec![
            tag("services", "%CLUSTER_METADATA(istio:services)%"),
            tag("workload", "%UPSTREAM_METADATA(istio:workload)%"),
            tag("peer_labels", "%UPSTREAM_METADATA(istio:labels)%"),
            tag("peer_principal", peer),
            tag("local_principal", own),
            tag("connection", "%CONNECTION_ID%"),
        ],
        ..CommonGrpcAccessLogConfig::default()
    }
}

fn tag(name: &str, value: &str) -> CustomTag {
    CustomTag { tag: name.to_owned(), r#type: Some(custom_tag::Type::Value(value.to_owned())) }
}
