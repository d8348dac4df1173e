//! What each connected proxy runs on, as `lateen proxy-status` prints it.

use serde::Serialize;

/// How far a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncState {
    /// It acknowledged all that it should have.
    Synced,
    /// Something is on its way, or will be.
    Pending,
    /// It refused something, and runs on what it had before.
    Refused,
}

/// What a proxy is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataPlane {
    /// A proxy of ours.
    Native,
    /// A stock Envoy.
    Envoy,
}

/// How far an Envoy is with each kind of resource; none: it has not asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EnvoySync {
    /// Clusters.
    pub cds: Option<SyncState>,
    /// Endpoints.
    pub eds: Option<SyncState>,
    /// Listeners.
    pub lds: Option<SyncState>,
    /// Route configurations.
    pub rds: Option<SyncState>,
    /// Virtual hosts.
    pub vhds: Option<SyncState>,
    /// Certificates of gateways.
    pub sds: Option<SyncState>,
}

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyStatus {
    /// `<workload>.<namespace>`.
    pub proxy: String,
    /// `sidecar` or `router`.
    pub proxy_type: String,
    /// What it is made of.
    pub data_plane: DataPlane,
    /// The SPIFFE ID that it proved; on the plain-text port it proved none.
    pub identity: String,
    /// The program that it runs, as it says.
    pub proxy_version: String,
    /// How far it is.
    pub status: SyncState,
    /// For an Envoy, how far it is with each kind of resource.
    pub envoy: Option<EnvoySync>,
    /// RFC 3339.
    pub connected_since: String,
    /// The cut that it acknowledged last; 0: none on this connection, which a proxy that came back
    /// with all that it should have never needs.
    pub cut: u64,
    /// How many names may have changed since.
    pub pending: usize,
    /// How many hosts (an Envoy: resources) it subscribed to by name.
    pub hosts: usize,
    /// What it said when it refused something, the last time on this connection.
    pub last_nack: Option<String>,
    /// When it did; RFC 3339.
    pub last_nack_at: Option<String>,
}
