//! ProxyConfig: settings of a proxy.

use std::collections::BTreeMap;

use super::private_key_provider::PrivateKeyProvider;
use super::readiness_probe::ReadinessProbe;
use crate::duration::Duration;
use crate::mesh_config::Tracing;
use crate::message::{enumeration, message, oneof};
use crate::networking::{ClientTlsSettings, TcpKeepalive};

message! {
    /// Settings of a proxy.
    pub struct ProxyConfig {
        /// Where the proxy keeps its files.
        config_path: String, pending;
        /// The proxy's program.
        binary_path: String, pending;
        /// What the proxy calls itself.
        cluster_name: Option<ClusterName>, oneof;
        /// How long connections drain while the configuration changes. The default is 45 s.
        drain_duration: Option<Duration>, pending;
        /// The control plane. The default is `istiod.istio-system.svc:15012`.
        discovery_address: String, pending;
        /// Not looked at by Istio either.
        discovery_refresh_delay: Option<Duration>, pending;
        /// Superseded by `tracing`.
        zipkin_address: String, pending;
        /// Where StatsD listens.
        statsd_udp_address: String, pending;
        /// The port for administration. The default is 15000.
        proxy_admin_port: i32, pending;
        /// Not looked at by Istio either.
        control_plane_auth_policy: AuthenticationPolicy, pending;
        /// A bootstrap of the user's own.
        custom_config_file: String, pending;
        /// The longest name in statistics. The default is 189.
        stat_name_length: i32, pending;
        /// How many workers; 0: one for each core. Not set: as the CPU limit says.
        concurrency: Option<i32>, pending;
        /// A bootstrap template of the user's own.
        proxy_bootstrap_template_path: String, pending;
        /// How traffic gets to the proxy.
        interception_mode: InboundInterceptionMode, pending;
        /// Where traces go.
        tracing: Option<Tracing>, pending;
        /// Where access logs go.
        envoy_access_log_service: Option<RemoteService>, pending;
        /// Where metrics go.
        envoy_metrics_service: Option<RemoteService>, pending;
        /// Environment variables of the proxy.
        proxy_metadata: BTreeMap<String, String>, pending;
        /// Envoy's runtime.
        runtime_values: BTreeMap<String, String>, pending;
        /// The port for health and metrics. The default is 15020.
        status_port: i32, pending;
        /// Further labels of metrics.
        extra_stat_tags: Vec<String>, pending;
        /// What stands before a gateway.
        gateway_topology: Option<Topology>, pending;
        /// How long connections drain at the end. The default is 5 s.
        termination_drain_duration: Option<Duration>, pending;
        /// The mesh's identifier.
        mesh_id: String, pending;
        /// How the proxy's readiness is found out.
        readiness_probe: Option<ReadinessProbe>, pending;
        /// Which of Envoy's statistics are kept.
        proxy_stats_matcher: Option<ProxyStatsMatcher>, pending;
        /// Whether the application starts after the proxy.
        hold_application_until_proxy_starts: Option<bool>, pending;
        /// Further root certificates as PEM.
        ca_certificates_pem: Vec<String>, pending;
        /// Which image.
        image: Option<ProxyImage>, pending;
        /// Hardware for keys.
        private_key_provider: Option<PrivateKeyProvider>, pending;
        /// Which headers the proxy adds.
        proxy_headers: Option<ProxyHeaders>, pending;
        /// Limits of a gateway's connections.
        connection_settings: Option<ConnectionSettings>, pending;
        /// How often logs are written. The default is 1 s.
        file_flush_interval: Option<Duration>, pending;
        /// How much log is collected before it is written. The default is 64 KiB.
        file_flush_min_size_kb: Option<u32>, pending;
        /// Whether metrics are compressed. The default is true.
        stats_compression: Option<bool>, pending;
    }

    /// Limits of a gateway's connections.
    pub struct ConnectionSettings: open {
        /// The initial window of a stream in HTTP/2, in bytes.
        http2_initial_stream_window_size: Option<i64>, pending;
        /// The initial window of a connection in HTTP/2, in bytes.
        http2_initial_connection_window_size: Option<i64>, pending;
        /// The largest number of streams on a connection in HTTP/2.
        http2_max_concurrent_streams: Option<i64>, pending;
        /// The largest number of connections.
        global_downstream_connection_limit: Option<i64>, pending;
    }

    /// A service and how to talk to it.
    pub struct RemoteService {
        /// Its address.
        address: String, pending;
        /// TLS towards it.
        tls_settings: Option<ClientTlsSettings>, pending;
        /// Keep-alive probes.
        tcp_keepalive: Option<TcpKeepalive>, pending;
    }

    /// What stands before a gateway.
    pub struct Topology {
        /// How many proxies whose `x-forwarded-for` is trusted.
        num_trusted_proxies: u32, pending;
        /// What becomes of the client's certificate.
        forward_client_cert_details: ForwardClientCertDetails, pending;
        /// Whether connections begin with a PROXY protocol header.
        proxy_protocol: Option<ProxyProtocolConfiguration>, pending;
    }

    /// That connections begin with a PROXY protocol header; there is nothing to set.
    pub struct ProxyProtocolConfiguration {}

    /// Which of Envoy's statistics are kept.
    pub struct ProxyStatsMatcher {
        /// By beginning.
        inclusion_prefixes: Vec<String>, pending;
        /// By end.
        inclusion_suffixes: Vec<String>, pending;
        /// By regular expression.
        inclusion_regexps: Vec<String>, pending;
    }

    /// Which image.
    pub struct ProxyImage {
        /// default, debug or distroless.
        image_type: String, pending;
    }

    /// Which headers the proxy adds.
    pub struct ProxyHeaders {
        /// `x-forwarded-client-cert`.
        forwarded_client_cert: ForwardClientCertDetails, pending;
        /// What is in it.
        set_current_client_cert_details: Option<SetCurrentClientCertDetails>, pending;
        /// `x-request-id`.
        request_id: Option<ProxyHeaderSwitch>, pending;
        /// `server`.
        server: Option<ProxyHeaderServer>, pending;
        /// `x-envoy-attempt-count`.
        attempt_count: Option<ProxyHeaderSwitch>, pending;
        /// Envoy's headers for debugging.
        envoy_debug_headers: Option<ProxyHeaderSwitch>, pending;
        /// Headers that carry the peer's metadata.
        metadata_exchange_headers: Option<MetadataExchangeHeaders>, pending;
        /// Whether the case of HTTP/1 headers is kept.
        preserve_http1_header_case: Option<bool>, pending;
        /// `x-forwarded-host`.
        x_forwarded_host: Option<ProxyHeaderEnable>, pending;
        /// `x-forwarded-port`.
        x_forwarded_port: Option<ProxyHeaderEnable>, pending;
    }

    /// What of the client's certificate is forwarded.
    pub struct SetCurrentClientCertDetails {
        /// The subject.
        subject: Option<bool>, pending;
        /// The certificate.
        cert: Option<bool>, pending;
        /// The chain.
        chain: Option<bool>, pending;
        /// The DNS names.
        dns: Option<bool>, pending;
        /// The URI.
        uri: Option<bool>, pending;
    }

    /// A header that can be switched off.
    pub struct ProxyHeaderSwitch {
        /// Whether it is off.
        disabled: Option<bool>, pending;
    }

    /// A header that can be switched on.
    pub struct ProxyHeaderEnable {
        /// Whether it is on.
        enabled: Option<bool>, pending;
    }

    /// The header `server`.
    pub struct ProxyHeaderServer {
        /// Whether it is off.
        disabled: Option<bool>, pending;
        /// Its value.
        value: String, pending;
    }

    /// Headers that carry the peer's metadata.
    pub struct MetadataExchangeHeaders {
        /// Where they are sent.
        mode: MetadataExchangeMode, pending;
    }
}

oneof! {
    /// What a proxy calls itself.
    pub enum ClusterName {
        /// By this name.
        ServiceCluster(String) = service_cluster, pending;
        /// By a name made of its labels.
        TracingServiceName(TracingServiceName) = tracing_service_name, pending;
    }
}

enumeration! {
    /// How a name is made of labels.
    pub enum TracingServiceName {
        /// Label `app`, and the namespace.
        AppLabelAndNamespace = 0 "APP_LABEL_AND_NAMESPACE", pending;
        /// The canonical name.
        CanonicalNameOnly = 1 "CANONICAL_NAME_ONLY", pending;
        /// The canonical name, and the namespace.
        CanonicalNameAndNamespace = 2 "CANONICAL_NAME_AND_NAMESPACE", pending;
    }

    /// Not looked at by Istio either.
    pub enum AuthenticationPolicy {
        /// Plain text.
        None = 0 "NONE", pending;
        /// Mutual TLS.
        MutualTls = 1 "MUTUAL_TLS", pending;
        /// As the mesh.
        Inherit = 1000 "INHERIT", pending;
    }

    /// How traffic gets to the proxy.
    pub enum InboundInterceptionMode {
        /// By REDIRECT.
        Redirect = 0 "REDIRECT", pending;
        /// By TPROXY.
        Tproxy = 1 "TPROXY", pending;
        /// Not at all.
        None = 2 "NONE", pending;
    }

    /// What becomes of the client's certificate at a gateway.
    pub enum ForwardClientCertDetails {
        /// The default.
        Undefined = 0 "UNDEFINED", pending;
        /// It is not forwarded.
        Sanitize = 1 "SANITIZE", pending;
        /// What came is forwarded.
        ForwardOnly = 2 "FORWARD_ONLY", pending;
        /// The client's is appended to what came.
        AppendForward = 3 "APPEND_FORWARD", pending;
        /// The client's instead of what came.
        SanitizeSet = 4 "SANITIZE_SET", pending;
        /// What came is forwarded, whatever the connection.
        AlwaysForwardOnly = 5 "ALWAYS_FORWARD_ONLY", pending;
    }

    /// Where metadata headers are sent.
    pub enum MetadataExchangeMode {
        /// Everywhere.
        Undefined = 0 "UNDEFINED", pending;
        /// In the mesh only.
        InMesh = 1 "IN_MESH", pending;
    }
}
