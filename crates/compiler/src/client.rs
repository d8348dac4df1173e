//! Who asks: a workload's proxy, as the control plane's own record has it.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// What a proxy does for its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Role {
    /// Beside a workload: takes its outbound and inbound traffic.
    #[default]
    Sidecar,
    /// The workload itself: takes traffic on the ports that Gateways name.
    Gateway,
}

/// A workload whose proxy asks for configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// What the proxy does.
    pub role: Role,
    /// The workload's namespace.
    pub namespace: String,
    /// The workload's name: of the pod or the WorkloadEntry.
    pub name: String,
    /// The workload's labels.
    pub labels: BTreeMap<String, String>,
    /// The workload's service account; empty: `default`.
    pub service_account: String,
    /// The workload's addresses.
    pub addresses: Vec<IpAddr>,
    /// The workload's network; empty: the compiler's own.
    pub network: String,
    /// `region/zone/subzone`; may be empty.
    pub locality: String,
    /// The workload that owns the pod and its kind in lower case (`deployment`), where it is known.
    pub owner: Option<(String, String)>,
    /// Whether the proxy wants the routes of every directory entry at once instead of on demand.
    /// Gateways always take their whole scope.
    pub whole_scope: bool,
}
