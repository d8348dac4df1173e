//! Traffic policies: balancing, connection pools, outlier detection, TLS towards a destination.

use std::collections::BTreeMap;

use crate::duration::Duration;
use crate::message::{enumeration, message, oneof};
use crate::networking::PortSelector;

message! {
    /// How a destination is talked to.
    pub struct TrafficPolicy {
        /// How an endpoint is chosen.
        load_balancer: Option<LoadBalancerSettings>, honoured;
        /// Limits and timeouts of connections.
        connection_pool: Option<ConnectionPoolSettings>, honoured;
        /// When an endpoint is left out for a while.
        outlier_detection: Option<OutlierDetection>, pending;
        /// TLS towards the destination. Setting it at all turns automatic mutual TLS off for this
        /// destination.
        tls: Option<ClientTlsSettings>, honoured;
        /// Policies for single ports; such a policy replaces the whole one above for its port.
        port_level_settings: Vec<PortTrafficPolicy>, honoured, MaxItems(4096);
        /// Carry TCP through an HTTP tunnel.
        tunnel: Option<TunnelSettings>, pending;
        /// Begin connections with a PROXY protocol header.
        proxy_protocol: Option<ProxyProtocol>, pending;
        /// How many retries may be in flight.
        retry_budget: Option<RetryBudget>, pending;
    }

    /// How one port of a destination is talked to.
    pub struct PortTrafficPolicy {
        /// The port.
        port: Option<PortSelector>, honoured;
        /// How an endpoint is chosen.
        load_balancer: Option<LoadBalancerSettings>, honoured;
        /// Limits and timeouts of connections.
        connection_pool: Option<ConnectionPoolSettings>, honoured;
        /// When an endpoint is left out for a while.
        outlier_detection: Option<OutlierDetection>, pending;
        /// TLS towards the destination.
        tls: Option<ClientTlsSettings>, honoured;
    }

    /// How an endpoint is chosen.
    pub struct LoadBalancerSettings [
        Holds(
            "(has(self.warmupDurationSecs) ? 1 : 0) + (has(self.warmup) ? 1 : 0) <= 1",
            "only one of warmupDurationSecs or warmup can be set"
        ),
    ] {
        /// The algorithm.
        lb_policy: Option<LbPolicy>, oneof;
        /// Preferences among localities.
        locality_lb_setting: Option<LocalityLoadBalancerSetting>, pending;
        /// Preferences among zones.
        zone_aware_lb_setting: Option<ZoneAwareLoadBalancerSetting>, pending;
        /// How long a new endpoint gets less. Superseded by `warmup`.
        warmup_duration_secs: Option<Duration>, pending;
        /// How a new endpoint is eased in.
        warmup: Option<WarmupConfiguration>, pending;
    }

    /// How a new endpoint is eased in.
    pub struct WarmupConfiguration {
        /// How long it gets less.
        duration: Option<Duration>, pending, Required;
        /// The smallest share of its weight, in per cent. The default is 10.
        minimum_percent: Option<f64>, pending, Minimum(0), Maximum(100);
        /// How fast its share grows; 1, the default, is linear.
        aggression: Option<f64>, pending, Minimum(1);
    }

    /// The same endpoint for the same key.
    pub struct ConsistentHashLb {
        /// What the key is.
        hash_key: Option<HashKey>, oneof;
        /// How keys are spread.
        hash_algorithm: Option<HashAlgorithm>, oneof;
        /// The smallest size of the ring. Superseded by `ringHash`.
        minimum_ring_size: u64, pending;
    }

    /// A cookie as key.
    pub struct HttpCookie {
        /// Its name.
        name: String, pending, Required;
        /// Its path.
        path: String, pending;
        /// Its lifetime. Set, even to 0: the proxy makes the cookie where it is missing.
        ttl: Option<Duration>, pending, OrZero;
        /// Further attributes.
        attributes: Vec<HttpCookieAttribute>, pending;
    }

    /// An attribute of a cookie.
    pub struct HttpCookieAttribute {
        /// Its name.
        name: String, pending, Required;
        /// Its value.
        value: String, pending;
    }

    /// Ketama ring.
    pub struct RingHash {
        /// The smallest size of the ring. The default is 1024.
        minimum_ring_size: u64, pending;
    }

    /// Maglev table.
    pub struct MagLev {
        /// The size of the table, a prime. The default is 65537.
        table_size: u64, pending;
    }

    /// Preferences among localities.
    pub struct LocalityLoadBalancerSetting {
        /// Shares by the caller's locality. Excludes `failover`.
        distribute: Vec<LocalityDistribute>, pending;
        /// Where to go when a region fails. Excludes `distribute`.
        failover: Vec<LocalityFailover>, pending;
        /// Labels in whose order endpoints are preferred that have the same values.
        failover_priority: Vec<String>, pending;
        /// Whether localities count at all. The default is true.
        enabled: Option<bool>, pending;
    }

    /// Shares of traffic that starts in a locality.
    pub struct LocalityDistribute {
        /// The caller's locality, `region/zone/subzone` with `*` at the end.
        from: String, pending;
        /// The shares by locality, 100 in all.
        to: BTreeMap<String, u32>, pending;
    }

    /// Where to go when a region fails.
    pub struct LocalityFailover {
        /// The region.
        from: String, pending;
        /// The other region.
        to: String, pending;
    }

    /// Preferences among zones.
    pub struct ZoneAwareLoadBalancerSetting {
        /// Whether zones count at all.
        enabled: Option<bool>, pending;
        /// Where to go when a region fails.
        failover: Vec<LocalityFailover>, pending;
        /// Labels in whose order endpoints are preferred that have the same values.
        failover_priority: Vec<String>, pending;
        /// The smallest number of endpoints for which zones count. The default is 6.
        min_cluster_size: Option<u32>, pending;
    }

    /// Limits and timeouts of connections.
    pub struct ConnectionPoolSettings {
        /// For all connections.
        tcp: Option<TcpSettings>, honoured;
        /// For HTTP.
        http: Option<HttpSettings>, pending;
    }

    /// Limits and timeouts of connections.
    pub struct TcpSettings {
        /// The largest number of connections; 0: no limit.
        max_connections: i32, pending;
        /// How long connecting may take. The default is MeshConfig's `connectTimeout`.
        connect_timeout: Option<Duration>, honoured;
        /// Keep-alive probes of the operating system.
        tcp_keepalive: Option<TcpKeepalive>, pending;
        /// How long a connection may last.
        max_connection_duration: Option<Duration>, pending;
        /// How long a connection may be idle.
        idle_timeout: Option<Duration>, pending, OrZero;
    }

    /// Keep-alive probes of the operating system.
    pub struct TcpKeepalive {
        /// How many go unanswered before the connection counts as dead.
        probes: u32, pending;
        /// How long a connection is idle before probes begin.
        time: Option<Duration>, pending;
        /// The pause between probes.
        interval: Option<Duration>, pending;
    }

    /// Limits and timeouts for HTTP.
    pub struct HttpSettings {
        /// The largest number of requests that wait for a connection; 0: no limit.
        http1_max_pending_requests: i32, pending;
        /// The largest number of requests in flight; 0: no limit.
        http2_max_requests: i32, pending;
        /// How many requests a connection carries; 0: no limit.
        max_requests_per_connection: i32, pending;
        /// The largest number of retries in flight; 0: no limit.
        max_retries: i32, pending;
        /// How long a connection may be without a request.
        idle_timeout: Option<Duration>, pending, OrZero;
        /// Whether HTTP/1 is carried over HTTP/2.
        h2_upgrade_policy: H2UpgradePolicy, pending;
        /// Whether the client's version of HTTP is kept.
        use_client_protocol: bool, pending;
        /// The largest number of streams on an HTTP/2 connection; 0: no limit.
        max_concurrent_streams: i32, pending;
        /// HTTP/2 pings.
        http2_keep_alive: Option<Http2KeepAlive>, pending;
    }

    /// HTTP/2 pings.
    pub struct Http2KeepAlive {
        /// The pause between pings.
        interval: Option<Duration>, pending;
        /// How long the answer may take.
        timeout: Option<Duration>, pending;
        /// The interval's jitter in per cent.
        interval_jitter: Option<Percentage>, pending;
    }

    /// A share from 0 to 100.
    pub struct Percentage {
        /// Per cent.
        value: f64, pending, Minimum(0), Maximum(100);
    }

    /// When an endpoint is left out for a while.
    pub struct OutlierDetection {
        /// Not looked at by Istio either.
        consecutive_errors: i32, pending;
        /// Whether failures to connect are counted apart from answers.
        split_external_local_origin_errors: bool, pending;
        /// How many failures to connect in a row.
        consecutive_local_origin_failures: Option<u32>, pending;
        /// How many 502, 503 and 504 in a row; 0: off.
        consecutive_gateway_errors: Option<u32>, pending;
        /// How many 5xx in a row; 0: off. The default is 5.
        consecutive_5xx_errors = "consecutive5xxErrors": Option<u32>, pending;
        /// The pause between looks. The default is 10 s.
        interval: Option<Duration>, pending;
        /// How long an endpoint is left out at first. The default is 30 s.
        base_ejection_time: Option<Duration>, pending;
        /// The largest share of endpoints that may be left out, in per cent. The default is 10.
        max_ejection_percent: i32, pending;
        /// Below this share of healthy endpoints, in per cent, all are used.
        min_health_percent: i32, pending;
        /// The codes that count as errors, instead of 5xx.
        outlier_detection_http_error_codes: Vec<String>, pending;
    }

    /// TLS towards a destination.
    pub struct ClientTlsSettings {
        /// Whether, and with which certificates.
        mode: ClientTlsMode, honoured;
        /// The file of the client certificate. Required for MUTUAL without `credentialName`.
        client_certificate: String, honoured;
        /// The file of the client's key.
        private_key: String, honoured;
        /// The file of the certificates that verify the server. The default is the system's store.
        ca_certificates: String, honoured;
        /// The Secret with all of these.
        credential_name: String, pending;
        /// Names of which the server's certificate must have one.
        subject_alt_names: Vec<String>, honoured;
        /// The server name that is sent.
        sni: String, honoured;
        /// Whether any certificate will do.
        insecure_skip_verify: Option<bool>, honoured;
        /// The file of revoked certificates.
        ca_crl: String, pending;
    }

    /// Carry TCP through an HTTP tunnel.
    pub struct TunnelSettings {
        /// CONNECT (the default) or POST.
        protocol: String, pending;
        /// The host at the tunnel's end.
        target_host: String, pending, Required;
        /// The port at the tunnel's end.
        target_port: u32, pending, Required;
    }

    /// The PROXY protocol towards a destination.
    pub struct ProxyProtocol {
        /// Its version.
        version: ProxyProtocolVersion, pending;
    }

    /// How many retries may be in flight.
    pub struct RetryBudget {
        /// The share of requests in flight, in per cent. The default is 20.
        percent: Option<Percentage>, pending;
        /// The number that is always allowed. The default is 3.
        min_retry_concurrency: u32, pending;
        /// The time over which requests are counted.
        budget_interval: Option<Duration>, pending;
    }
}

oneof! {
    /// An algorithm that chooses an endpoint.
    pub enum LbPolicy {
        /// One without a key.
        Simple(SimpleLb) = simple, honoured;
        /// The same endpoint for the same key.
        ConsistentHash(ConsistentHashLb) = consistent_hash, pending;
    }

    /// What a hash is made of.
    pub enum HashKey {
        /// A header's value.
        HttpHeaderName(String) = http_header_name, pending;
        /// A cookie's value.
        HttpCookie(HttpCookie) = http_cookie, pending;
        /// The caller's address.
        UseSourceIp(bool) = use_source_ip, pending;
        /// The value of a parameter of the query.
        HttpQueryParameterName(String) = http_query_parameter_name, pending;
    }

    /// How keys are spread over endpoints.
    pub enum HashAlgorithm {
        /// Ketama ring.
        RingHash(RingHash) = ring_hash, pending;
        /// Maglev table.
        Maglev(MagLev) = maglev, pending;
    }
}

enumeration! {
    /// An algorithm that chooses an endpoint without a key.
    pub enum SimpleLb {
        /// The default, LEAST_REQUEST.
        Unspecified = 0 "UNSPECIFIED", honoured;
        /// The old name of LEAST_REQUEST.
        LeastConn = 1 "LEAST_CONN", honoured;
        /// Any.
        Random = 2 "RANDOM", honoured;
        /// The address that the caller dialled, without a choice.
        Passthrough = 3 "PASSTHROUGH", honoured;
        /// One after the other.
        RoundRobin = 4 "ROUND_ROBIN", honoured;
        /// The less busy one of two.
        LeastRequest = 5 "LEAST_REQUEST", honoured;
    }

    /// Whether a connection uses TLS, and with which certificates.
    pub enum ClientTlsMode {
        /// No TLS.
        Disable = 0 "DISABLE", honoured;
        /// TLS without a client certificate.
        Simple = 1 "SIMPLE", honoured;
        /// TLS with a client certificate of the user's own.
        Mutual = 2 "MUTUAL", honoured;
        /// TLS with the workload's certificate.
        IstioMutual = 3 "ISTIO_MUTUAL", honoured;
    }

    /// Whether HTTP/1 is carried over HTTP/2.
    pub enum H2UpgradePolicy {
        /// As MeshConfig says.
        Default = 0 "DEFAULT", pending;
        /// No.
        DoNotUpgrade = 1 "DO_NOT_UPGRADE", pending;
        /// Yes.
        Upgrade = 2 "UPGRADE", pending;
    }

    /// A version of the PROXY protocol.
    pub enum ProxyProtocolVersion {
        /// As text.
        V1 = 0 "V1", pending;
        /// Binary.
        V2 = 1 "V2", pending;
    }
}
