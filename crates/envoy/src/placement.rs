//! For whom is lowered.

/// What a proxy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Beside a workload.
    Sidecar,
    /// At the edge of the mesh.
    Gateway,
}

/// How connections come to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capture {
    /// By iptables, at the virtual listeners on 15001 and 15006.
    Redirect,
    /// Local mode: every listener is bound at its own 127.*w* address.
    Local,
}

/// Which part of a proxy's configuration is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// What all workloads of a scope share.
    Scope,
    /// What is one workload's own.
    Workload,
}

/// For whom is lowered, and which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Placement {
    /// What the proxy is.
    pub role: Role,
    /// Which part of its configuration.
    pub part: Part,
    /// How connections come to it.
    pub capture: Capture,
    /// Its workload has an IPv6 address, so that it listens on addresses of both families.
    pub ipv6: bool,
    /// Our agent stands beside Envoy: its environment has the peer metadata of the workload.
    pub agent: bool,
    /// Access logs also go to the agent, which makes Istio's metrics from them.
    pub telemetry: bool,
}
