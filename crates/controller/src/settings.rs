//! Everything that can be set.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use lateen_compiler::Options;

/// Settings of a control plane; [`Settings::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder with the mesh's YAML, followed as it changes.
    pub dir: PathBuf,
    /// Where proxies connect to (the native stream and the certificate service, over TLS). Port 0
    /// takes a free one.
    pub listen: SocketAddr,
    /// Where proxies connect to by plain text, for debugging and load tools: nowhere. Istio has it on
    /// port 15010. Nobody is asked there who they are, and no keys are sent. Port 0 takes a free one.
    pub plaintext: Option<SocketAddr>,
    /// The state folder: root certificate, keys, tokens, the accounts of workloads.
    pub state: PathBuf,
    /// Where health, metrics and debug pages are served: 127.0.0.1:15014, as Istio's. Port 0 takes
    /// a free one. Debug pages answer to loopback only.
    pub monitoring: SocketAddr,
    /// What the compiler must know beside the objects. Local mode, here.
    pub compiler: Options,
    /// Lifetime of a workload's certificate when none is requested: 24 h (Istio's
    /// `DEFAULT_WORKLOAD_CERT_TTL`).
    pub certificate_lifetime: Duration,
    /// The longest lifetime that may be requested: 90 days (`MAX_WORKLOAD_CERT_TTL`).
    pub max_certificate_lifetime: Duration,
    /// Lifetime of the server's own certificate, renewed at half of it: 24 h.
    pub serving_lifetime: Duration,
    /// Lifetime of the tokens in the state folder, written anew at half of it: 1 h.
    pub token_lifetime: Duration,
    /// Bytes of resources in one response, about: 1 MiB. A larger cut travels in chunks.
    pub chunk_bytes: usize,
    /// Bytes of the largest request that is taken: 16 MiB, the names and versions of what a
    /// large gateway knows.
    pub max_request_bytes: usize,
    /// Connections at a time: 10,000. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a TLS handshake may take: 10 s.
    pub handshake_timeout: Duration,
    /// How long a stream is served before the client has to come back and prove itself again, ± a
    /// tenth: 30 min, as Istio's (`PILOT_GRPC_MAX_CONNECTION_AGE`). Coming back transfers nothing.
    pub max_stream_age: Duration,
    /// How long open calls may take to end when the control plane stops: 5 s.
    pub stop_timeout: Duration,
}

impl Settings {
    /// The defaults, for a folder of YAML in local mode.
    pub fn new(dir: impl Into<PathBuf>, listen: SocketAddr, state: impl Into<PathBuf>) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            dir: dir.into(),
            listen,
            plaintext: None,
            state: state.into(),
            monitoring: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15014),
            compiler: Options { local: true, ..Options::default() },
            certificate_lifetime: DAY,
            max_certificate_lifetime: 90 * DAY,
            serving_lifetime: DAY,
            token_lifetime: Duration::from_secs(60 * 60),
            chunk_bytes: 1 << 20,
            max_request_bytes: 16 << 20,
            max_connections: 10_000,
            handshake_timeout: Duration::from_secs(10),
            max_stream_age: Duration::from_secs(30 * 60),
            stop_timeout: Duration::from_secs(5),
        }
    }
}
