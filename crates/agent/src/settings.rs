//! Everything that can be set, with its default.

use std::path::PathBuf;

/// Settings of an agent and the Envoy beside it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What an agent has in common with a native proxy: the control plane, the workload and its
    /// credentials, the number of workers, ports, the bounds of metrics, the limit of a drain.
    pub proxy: lateen_proxy::settings::Settings,
    /// Envoy's binary.
    pub envoy: PathBuf,
    /// Whether Istio's standard metrics are made from Envoy's access log.
    pub telemetry: bool,
    /// Envoy's log level: `trace`, `debug`, `info`, `warning`, `error`, `critical`, `off`.
    pub envoy_log_level: String,
    /// Where the folder for the bootstrap and the socket is made; `None`: among the system's
    /// temporary folders.
    pub run: Option<PathBuf>,
}

impl Settings {
    /// The defaults, for a native proxy's settings and Envoy's binary.
    #[must_use]
    pub fn new(proxy: lateen_proxy::settings::Settings, envoy: PathBuf) -> Self {
        Self { proxy, envoy, telemetry: true, envoy_log_level: "warning".to_owned(), run: None }
    }
}
