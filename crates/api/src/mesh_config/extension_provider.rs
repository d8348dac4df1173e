//! Services that take part in requests: authorizers, tracers, logs.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::message::{Any, SecretText, message, oneof};

message! {
    /// A service that takes part in requests.
    pub struct ExtensionProvider {
        /// Its name, unique in the mesh.
        name: String, pending;
        /// What it is.
        provider: Option<ExtensionProviderDetail>, oneof;
    }

    /// The part of a request's body that an authorizer gets.
    pub struct ExtAuthzRequestBody {
        /// The most that is sent.
        max_request_bytes: u32, pending;
        /// Whether a longer body is cut instead of refused.
        allow_partial_message: bool, pending;
        /// Whether it is sent as bytes.
        pack_as_bytes: bool, pending;
    }

    /// An authorizer over HTTP.
    pub struct EnvoyExternalAuthorizationHttpProvider {
        /// Its host, `[namespace/]host`.
        service: String, pending;
        /// Its port.
        port: u32, pending;
        /// How long it may take. The default is 600 s.
        timeout: Option<Duration>, pending;
        /// A prefix before the path.
        path_prefix: String, pending;
        /// Whether requests pass when it does not answer.
        fail_open: bool, pending;
        /// Whether the cached route is dropped after its answer.
        clear_route_cache: bool, pending;
        /// The status when it does not answer. The default is 403.
        status_on_error: String, pending;
        /// Superseded by `includeRequestHeadersInCheck`.
        include_headers_in_check: Vec<String>, pending;
        /// Headers that it gets.
        include_request_headers_in_check: Vec<String>, pending;
        /// Further headers that it gets.
        include_additional_headers_in_check: BTreeMap<String, String>, pending;
        /// How much of the body it gets.
        include_request_body_in_check: Option<ExtAuthzRequestBody>, pending;
        /// Headers of its answer that the destination gets.
        headers_to_upstream_on_allow: Vec<String>, pending;
        /// Headers of its refusal that the caller gets.
        headers_to_downstream_on_deny: Vec<String>, pending;
        /// Headers of its answer that the caller gets.
        headers_to_downstream_on_allow: Vec<String>, pending;
    }

    /// An authorizer over gRPC.
    pub struct EnvoyExternalAuthorizationGrpcProvider {
        /// Its host, `[namespace/]host`.
        service: String, pending;
        /// Its port.
        port: u32, pending;
        /// How long it may take. The default is 600 s.
        timeout: Option<Duration>, pending;
        /// Whether requests pass when it does not answer.
        fail_open: bool, pending;
        /// Whether the cached route is dropped after its answer.
        clear_route_cache: bool, pending;
        /// The status when it does not answer. The default is 403.
        status_on_error: String, pending;
        /// How much of the body it gets.
        include_request_body_in_check: Option<ExtAuthzRequestBody>, pending;
    }

    /// A service that takes traces or logs.
    pub struct ProviderService: open {
        /// Its host, `[namespace/]host`.
        service: String, pending;
        /// Its port.
        port: u32, pending;
    }

    /// Lightstep.
    pub struct LightstepProvider: open {
        /// Its host, `[namespace/]host`.
        service: String, pending;
        /// Its port.
        port: u32, pending;
        /// What proves who we are.
        access_token: SecretText, pending;
    }

    /// A log in a file.
    pub struct EnvoyFileAccessLogProvider {
        /// The file.
        path: String, pending;
        /// How a line looks.
        log_format: Option<Any>, pending;
        /// Which headers and metadata are left out.
        omit_empty_values: bool, pending;
    }
}

oneof! {
    /// What a provider is.
    pub enum ExtensionProviderDetail {
        /// An authorizer over HTTP.
        EnvoyExtAuthzHttp(EnvoyExternalAuthorizationHttpProvider) = envoy_ext_authz_http, pending;
        /// An authorizer over gRPC.
        EnvoyExtAuthzGrpc(EnvoyExternalAuthorizationGrpcProvider) = envoy_ext_authz_grpc, pending;
        /// Zipkin.
        Zipkin(ProviderService) = zipkin, pending;
        /// Lightstep.
        Lightstep(LightstepProvider) = lightstep, pending;
        /// Datadog.
        Datadog(ProviderService) = datadog, pending;
        /// Stackdriver.
        Stackdriver(Any) = stackdriver, pending;
        /// OpenCensus.
        Opencensus(ProviderService) = opencensus, pending;
        /// SkyWalking.
        Skywalking(ProviderService) = skywalking, pending;
        /// OpenTelemetry.
        Opentelemetry(ProviderService) = opentelemetry, pending;
        /// Prometheus.
        Prometheus(Any) = prometheus, pending;
        /// A log in a file.
        EnvoyFileAccessLog(EnvoyFileAccessLogProvider) = envoy_file_access_log, pending;
        /// A log at a service, for HTTP.
        EnvoyHttpAls(ProviderService) = envoy_http_als, pending;
        /// A log at a service, for TCP.
        EnvoyTcpAls(ProviderService) = envoy_tcp_als, pending;
        /// A log at a service, by OpenTelemetry.
        EnvoyOtelAls(ProviderService) = envoy_otel_als, pending;
        /// Secrets from a service.
        Sds(ProviderService) = sds, pending;
    }
}
