//! The settings of the mesh.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::mesh_config::{ExtensionProvider, ProxyConfig};
use crate::message::{Any, enumeration, message, oneof};
use crate::networking::{
    ClientTlsSettings, ConnectionPoolSettings, HttpRetry, LocalityLoadBalancerSetting,
    OutboundTrafficPolicyMode, OutlierDetection, TcpKeepalive, TlsProtocol,
    ZoneAwareLoadBalancerSetting,
};

message! {
    /// The settings of the mesh.
    pub struct MeshConfig {
        /// The port on which sidecars take captured outbound traffic. The default is 15001.
        proxy_listen_port: i32, pending;
        /// The port on which sidecars take captured inbound traffic. The default is 15006.
        proxy_inbound_listen_port: i32, pending;
        /// The port of the explicit HTTP proxy; 0: none.
        proxy_http_port: i32, pending;
        /// How long connecting may take. The default is 10 s.
        connect_timeout: Option<Duration>, honoured;
        /// How long the first bytes are waited for where the protocol is not declared; 0: forever.
        protocol_detection_timeout: Option<Duration>, honoured;
        /// Keep-alive probes of the operating system.
        tcp_keepalive: Option<TcpKeepalive>, pending;
        /// The class of Ingresses that are served. The default is `istio`.
        ingress_class: String, pending;
        /// The gateway's Service that Ingresses take their address from.
        ingress_service: String, pending;
        /// Which Ingresses are served.
        ingress_controller_mode: IngressControllerMode, pending;
        /// The value of the label `istio` of the gateway for Ingresses.
        ingress_selector: String, pending;
        /// Whether requests are traced. The default is true.
        enable_tracing: bool, pending;
        /// Where access logs go; empty: nowhere.
        access_log_file: String, honoured;
        /// How a line of the access log looks; empty: Istio's default.
        access_log_format: String, honoured;
        /// Whether it is text or JSON.
        access_log_encoding: AccessLogEncoding, honoured;
        /// Whether access logs go to a service.
        enable_envoy_access_log_service: bool, pending;
        /// Whether connections that no listener takes go unlogged.
        disable_envoy_listener_log: bool, pending;
        /// Settings of all proxies.
        default_config: Option<Box<ProxyConfig>>, inert;
        /// What becomes of traffic to unknown destinations. The default is ALLOW_ANY.
        outbound_traffic_policy: Option<MeshOutboundTrafficPolicy>, honoured;
        /// How inbound traffic reaches the application.
        inbound_traffic_policy: Option<InboundTrafficPolicy>, inert;
        /// Where else configuration comes from.
        config_sources: Vec<ConfigSource>, pending;
        /// Whether sidecars use mutual TLS with each other by themselves. The default is true.
        enable_auto_mtls: Option<bool>, honoured;
        /// The trust domain. The default is `cluster.local`.
        trust_domain: String, honoured;
        /// Other trust domains that mean the same.
        trust_domain_aliases: Vec<String>, honoured;
        /// Further root certificates.
        ca_certificates: Vec<CertificateData>, pending;
        /// Who sees services that do not say so. The default is `["*"]`.
        default_service_export_to: Vec<String>, honoured;
        /// Who sees VirtualServices that do not say so. The default is `["*"]`.
        default_virtual_service_export_to: Vec<String>, honoured;
        /// Who sees DestinationRules that do not say so. The default is `["*"]`.
        default_destination_rule_export_to: Vec<String>, honoured;
        /// The namespace whose policies concern the whole mesh. The default is `istio-system`.
        root_namespace: String, honoured;
        /// Preferences among localities.
        locality_lb_setting: Option<LocalityLoadBalancerSetting>, pending;
        /// Preferences among zones.
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>, pending;
        /// The pause after a failed DNS lookup. The default is 60 s.
        dns_refresh_rate: Option<Duration>, pending;
        /// Whether HTTP/1 between sidecars is carried over HTTP/2.
        h2_upgrade_policy: MeshH2UpgradePolicy, pending;
        /// How inbound clusters are called in statistics.
        inbound_cluster_stat_name: String, pending;
        /// How outbound clusters are called in statistics.
        outbound_cluster_stat_name: String, pending;
        /// Not looked at by Istio either.
        certificates: Vec<ManagedCertificate>, pending;
        /// Not looked at by Istio either.
        thrift_config: Option<ThriftConfig>, pending;
        /// Settings of services.
        service_settings: Vec<ServiceSettings>, pending;
        /// Which services are global, for ambient meshes.
        service_scope_configs: Vec<ServiceScopeConfig>, pending;
        /// Whether the application's own metrics are merged into the proxy's. The default is true.
        enable_prometheus_merge: Option<bool>, pending;
        /// Not looked at by Istio either.
        verify_certificate_at_client: Option<bool>, pending;
        /// Who signs certificates instead of the control plane.
        ca: Option<MeshCa>, pending;
        /// Services that take part in requests: authorizers, tracers, logs.
        extension_providers: Vec<ExtensionProvider>, pending;
        /// Which providers are used where nobody says so.
        default_providers: Option<DefaultProviders>, pending;
        /// The namespaces that belong to the mesh. The default is all.
        discovery_selectors: Vec<KubernetesLabelSelector>, pending;
        /// How paths are brought into a normal form before policies see them.
        path_normalization: Option<ProxyPathNormalization>, honoured;
        /// What is tried again where a route does not say so.
        default_http_retry_policy: Option<HttpRetry>, honoured;
        /// What a server's sidecar tries again.
        default_inbound_http_retry_policy: Option<HttpRetry>, pending;
        /// TLS between sidecars.
        mesh_mtls = "meshMTLS": Option<TlsConfig>, pending;
        /// TLS elsewhere.
        tls_defaults: Option<TlsConfig>, pending;
        /// How long an HBONE connection may be idle. The default is 1 h.
        hbone_idle_timeout: Option<Duration>, pending;
        /// Limits for destinations that have none.
        default_traffic_policy: Option<DefaultTrafficPolicy>, pending;
        /// Which ServiceEntries are seen where.
        service_entry_visibility: Option<Any>, pending;
    }

    /// What becomes of traffic to unknown destinations.
    pub struct MeshOutboundTrafficPolicy {
        /// Whether it may pass.
        mode: OutboundTrafficPolicyMode, honoured;
    }

    /// How inbound traffic reaches the application.
    pub struct InboundTrafficPolicy {
        /// At which address.
        mode: InboundTrafficPolicyMode, honoured;
    }

    /// Where else configuration comes from.
    pub struct ConfigSource {
        /// Its address.
        address: String, pending;
        /// TLS towards it.
        tls_settings: Option<ClientTlsSettings>, pending;
        /// What is read from it.
        subscribed_resources: Vec<String>, pending;
    }

    /// A root certificate.
    pub struct CertificateData {
        /// Where it is.
        certificate_data: Option<CertificateSource>, oneof;
        /// The signers that it is for.
        cert_signers: Vec<String>, pending;
        /// The trust domains that it is for.
        trust_domains: Vec<String>, pending;
    }

    /// Not looked at by Istio either.
    pub struct ThriftConfig {
        /// Where limits of rates are asked for.
        rate_limit_url: String, pending;
        /// How long that may take.
        rate_limit_timeout: Option<Duration>, pending;
    }

    /// Not looked at by Istio either.
    pub struct ManagedCertificate {
        /// The Secret.
        secret_name: String, pending;
        /// The names.
        dns_names: Vec<String>, pending;
    }

    /// Settings of services.
    pub struct ServiceSettings {
        /// The settings.
        settings: Option<ServiceSettingsDetail>, pending;
        /// The services.
        hosts: Vec<String>, pending;
    }

    /// Settings of a service.
    pub struct ServiceSettingsDetail {
        /// Whether only endpoints of the caller's cluster are used.
        cluster_local: bool, pending;
    }

    /// Which services are global.
    pub struct ServiceScopeConfig {
        /// By namespace.
        namespace_selector: Option<KubernetesLabelSelector>, pending;
        /// By service.
        services_selector: Option<KubernetesLabelSelector>, pending;
        /// LOCAL or GLOBAL.
        scope: String, pending;
    }

    /// Who signs certificates instead of the control plane.
    pub struct MeshCa {
        /// Its address.
        address: String, pending;
        /// TLS towards it.
        tls_settings: Option<ClientTlsSettings>, pending;
        /// How long it may take.
        request_timeout: Option<Duration>, pending;
        /// Whether the control plane asks it instead of the proxies.
        istiod_side: bool, pending;
    }

    /// Which providers are used where nobody says so.
    pub struct DefaultProviders {
        /// For traces.
        tracing: Vec<String>, pending;
        /// For metrics.
        metrics: Vec<String>, pending;
        /// For access logs.
        access_logging: Vec<String>, pending;
    }

    /// Labels and expressions on labels, all of which must hold.
    pub struct KubernetesLabelSelector {
        /// Labels.
        match_labels: BTreeMap<String, String>, honoured;
        /// Expressions.
        match_expressions: Vec<LabelSelectorRequirement>, honoured;
    }

    /// An expression on a label.
    pub struct LabelSelectorRequirement {
        /// The label.
        key: String, honoured;
        /// In, NotIn, Exists or DoesNotExist.
        operator: String, honoured;
        /// The values.
        values: Vec<String>, honoured;
    }

    /// How paths are brought into a normal form.
    pub struct ProxyPathNormalization {
        /// How far.
        normalization: PathNormalization, honoured;
    }

    /// What TLS may be made of.
    pub struct TlsConfig {
        /// The lowest version.
        min_protocol_version: TlsProtocol, pending;
        /// The highest version.
        max_protocol_version: TlsProtocol, pending;
        /// The curves.
        ecdh_curves: Vec<String>, pending;
        /// The cipher suites for TLS 1.2.
        cipher_suites: Vec<String>, pending;
    }

    /// Limits for destinations that have none.
    pub struct DefaultTrafficPolicy {
        /// Limits and timeouts of connections.
        connection_pool: Option<ConnectionPoolSettings>, pending;
        /// When an endpoint is left out for a while.
        outlier_detection: Option<OutlierDetection>, pending;
    }
}

oneof! {
    /// Where a root certificate is.
    pub enum CertificateSource {
        /// Here, as PEM.
        Pem(String) = pem, pending;
        /// At this URL, as a SPIFFE bundle.
        SpiffeBundleUrl(String) = spiffe_bundle_url, pending;
    }
}

enumeration! {
    /// Which Ingresses are served.
    pub enum IngressControllerMode {
        /// As DEFAULT.
        Unspecified = 0 "UNSPECIFIED", pending;
        /// None.
        Off = 1 "OFF", pending;
        /// Those of the class and those without one.
        Default = 2 "DEFAULT", pending;
        /// Those of the class.
        Strict = 3 "STRICT", pending;
    }

    /// How access logs are written.
    pub enum AccessLogEncoding {
        /// A line of text.
        Text = 0 "TEXT", honoured;
        /// A line of JSON.
        Json = 1 "JSON", honoured;
    }

    /// At which address the application gets inbound traffic.
    pub enum InboundTrafficPolicyMode {
        /// The workload's.
        Passthrough = 0 "PASSTHROUGH", honoured;
        /// 127.0.0.1.
        Localhost = 1 "LOCALHOST", pending;
    }

    /// Whether HTTP/1 between sidecars is carried over HTTP/2.
    pub enum MeshH2UpgradePolicy {
        /// No.
        DoNotUpgrade = 0 "DO_NOT_UPGRADE", pending;
        /// Yes.
        Upgrade = 1 "UPGRADE", pending;
    }

    /// How far paths are brought into a normal form.
    pub enum PathNormalization {
        /// As BASE.
        Default = 0 "DEFAULT", honoured;
        /// Not at all.
        None = 1 "NONE", honoured;
        /// `.` and `..` are resolved, as RFC 3986 says.
        Base = 2 "BASE", honoured;
        /// And slashes are merged.
        MergeSlashes = 3 "MERGE_SLASHES", honoured;
        /// And escaped slashes are decoded before.
        DecodeAndMergeSlashes = 4 "DECODE_AND_MERGE_SLASHES", honoured;
    }
}
