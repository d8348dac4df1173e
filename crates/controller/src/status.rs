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

/// One connected proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProxyStatus {
    /// `<workload>.<namespace>`.
    pub proxy: String,
    /// `sidecar` or `router`.
    pub proxy_type: String,
    /// The SPIFFE ID that it proved.
    pub identity: String,
    /// The program that it runs, as it says.
    pub proxy_version: String,
    /// How far it is.
    pub status: SyncState,
    /// RFC 3339.
    pub connected_since: String,
    /// The cut that it acknowledged last; 0: none on this connection, which a proxy that came back
    /// with all that it should have never needs.
    pub cut: u64,
    /// How many names may have changed since.
    pub pending: usize,
    /// How many hosts it subscribed to.
    pub hosts: usize,
    /// What it said when it refused a cut, the last time on this connection.
    pub last_nack: Option<String>,
    /// When it did; RFC 3339.
    pub last_nack_at: Option<String>,
}
