//! Everything that can be set, with its default.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::pod::Pod;
use crate::telemetry;

/// Settings of a proxy. [`Settings::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port` of the control plane.
    pub controller: String,
    /// Namespace of the workload.
    pub namespace: String,
    /// Name of the workload.
    pub workload: String,
    /// Sidecar or gateway.
    pub role: Role,
    /// Folder with `root-cert.pem`, `tokens/<namespace>/<service account>` and
    /// `workloads/<namespace>/<workload>`, which names the workload's service account.
    pub state: PathBuf,
    /// Service account of the workload: which token to present. `None`: the one that the state
    /// folder names.
    pub service_account: Option<String>,
    /// Where a pod has its root certificate and its token; then nothing is read from `state`.
    pub files: Option<CredentialFiles>,
    /// Number of workers, at least 1.
    pub workers: usize,
    /// Local mode: everything on 127.0.0.0/8, no capture, ports below 1024 shifted.
    pub local: bool,
    /// Captured inbound connections come as they are (TPROXY), and reach the application from the
    /// client's address. Not in local mode.
    pub transparent: bool,
    /// Where the admin endpoints are, on loopback, of the family that the pod prefers; health and metrics are
    /// on every address. In local mode all of it is at the workload's own address.
    pub loopback: IpAddr,
    /// What the kubelet and Prometheus ask the application through the proxy.
    pub pod: Arc<Pod>,
    /// Take the whole scope at once instead of details on demand. Gateways always do.
    pub eager: bool,
    /// Unix socket through which a successor takes over the listening sockets.
    pub handover: Option<PathBuf>,
    /// Ports of the proxy itself.
    pub ports: Ports,
    /// Bounds on what a peer can make the proxy hold.
    pub limits: Limits,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Bounds of the metrics, and how the access log is flushed.
    pub telemetry: telemetry::Options,
}

/// Files of a pod, which are replaced now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialFiles {
    /// Certificates that the control plane is verified with, in PEM.
    pub root: PathBuf,
    /// The token of the service account.
    pub token: PathBuf,
}

/// What a proxy stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Beside one workload.
    Sidecar,
    /// At the edge of the mesh.
    Gateway,
}

/// Ports of the proxy itself; Istio's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Captured outbound connections.
    pub outbound: u16,
    /// Captured inbound connections.
    pub inbound: u16,
    /// `/healthz/ready`.
    pub health: u16,
    /// `/stats/prometheus`, the application's metrics included, and its probes.
    pub metrics: u16,
    /// `/stats/prometheus` of the proxy alone. Not in local mode.
    pub prometheus: u16,
    /// Admin endpoints, on loopback only.
    pub admin: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            outbound: 15001,
            inbound: 15006,
            health: 15021,
            metrics: 15020,
            prometheus: 15090,
            admin: 15000,
        }
    }
}

/// Bounds on what a peer can make the proxy hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a request's or response's headers, together. Envoy's 60 KiB.
    pub header_bytes: usize,
    /// Number of headers. Envoy's 100.
    pub header_count: usize,
    /// Streams that one downstream HTTP/2 connection may have open.
    pub concurrent_streams: u32,
    /// Downstream connections of the whole proxy; more are closed as they are accepted.
    pub connections: usize,
    /// Bytes of the first bytes that are looked at to tell a protocol.
    pub detection_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 60 * 1024,
            header_count: 100,
            concurrent_streams: 1024,
            connections: 100_000,
            detection_bytes: 16 * 1024,
        }
    }
}

/// Time limits. What Istio leaves to routes and destinations is not here.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From the first byte of a request's headers to the last one.
    ///
    /// Istio sets none; a stated limit is what keeps a slow sender from holding memory. Sixty
    /// seconds is what Istio's own profile for gateways at the edge uses.
    pub headers: Duration,
    /// For a TLS handshake, and from a connection's first byte until its protocol is clear. Istio's
    /// 15 s.
    pub handshake: Duration,
    /// How long a client may stay silent on an outbound port of unknown protocol before the
    /// destination is dialled to see whether it speaks first.
    pub server_first: Duration,
    /// How long a destination is remembered as one that speaks first.
    pub server_first_memory: Duration,
    /// A relayed TCP connection without a byte either way. Envoy's hour.
    pub tcp_idle: Duration,
    /// A downstream HTTP connection without a request. Envoy's hour.
    pub http_idle: Duration,
    /// From the start of a drain until nothing new is accepted. Others hear of it later than the
    /// pod itself: what they still send is served, and told not to come back.
    pub linger: Duration,
    /// From then on until open connections are cut.
    pub drain: Duration,
    /// How long a request waits for the details of a destination that was not used before.
    pub details: Duration,
    /// For connections that no destination governs. Istio's 10 s.
    pub connect: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            headers: Duration::from_secs(60),
            handshake: Duration::from_secs(15),
            server_first: Duration::from_millis(50),
            server_first_memory: Duration::from_secs(600),
            tcp_idle: Duration::from_secs(3600),
            http_idle: Duration::from_secs(3600),
            linger: Duration::ZERO,
            drain: Duration::from_secs(45),
            details: Duration::from_secs(1),
            connect: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// A sidecar in local mode with all defaults.
    #[must_use]
    pub fn new(
        controller: impl Into<String>,
        namespace: impl Into<String>,
        workload: impl Into<String>,
        state: impl Into<PathBuf>,
    ) -> Self {
        Self {
            controller: controller.into(),
            namespace: namespace.into(),
            workload: workload.into(),
            role: Role::Sidecar,
            state: state.into(),
            service_account: None,
            files: None,
            workers: 2,
            local: true,
            transparent: false,
            loopback: IpAddr::V4(Ipv4Addr::LOCALHOST),
            pod: Arc::default(),
            eager: false,
            handover: None,
            ports: Ports::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            telemetry: telemetry::Options::default(),
        }
    }
}
