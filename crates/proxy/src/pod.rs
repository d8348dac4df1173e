//! What others ask a pod's application through its proxy: the kubelet's probes, which injection has
//! led here, and Prometheus' scrape, which is answered together with the proxy's own metrics
//! (`istio-contracts.md`, "Agent HTTP"). Native proxies and the agent of an Envoy share it.

mod ask;
mod check;
mod probe;
mod scrape;
mod trust;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, StatusCode};
use hyper::body::Bytes;

pub use probe::Probe;
pub use scrape::Scrape;

/// What is known of the application for that purpose.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Where the application is asked.
    address: IpAddr,
    /// By the path under which the kubelet asks the proxy.
    probes: BTreeMap<String, Probe>,
    scrape: Option<Scrape>,
}

impl Default for Pod {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), probes: BTreeMap::new(), scrape: None }
    }
}

/// A text that describes probes or the scrape is not understood.
#[derive(Debug, thiserror::Error)]
#[error("{variable} is not understood: {source}")]
pub struct PodError {
    variable: &'static str,
    source: serde_json::Error,
}

/// What the application answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status for the kubelet.
    pub status: StatusCode,
    /// For people.
    pub body: Bytes,
}

impl Pod {
    /// The variable that holds the probes.
    pub const PROBES: &'static str = "ISTIO_KUBE_APP_PROBERS";
    /// The variable that holds what Prometheus is to ask the application.
    pub const SCRAPE: &'static str = "ISTIO_PROMETHEUS_ANNOTATIONS";

    /// A pod whose application is asked at `address`, with the texts of [`Pod::PROBES`] and
    /// [`Pod::SCRAPE`].
    ///
    /// # Errors
    /// When a text is not what injection writes there.
    pub fn new(
        address: IpAddr,
        probes: Option<&str>,
        scrape: Option<&str>,
    ) -> Result<Self, PodError> {
        let failed = |variable| move |source| PodError { variable, source };
        let probes = match probes {
            Some(text) => serde_json::from_str(text).map_err(failed(Self::PROBES))?,
            None => BTreeMap::new(),
        };
        let scrape = match scrape {
            Some(text) => Scrape::parse(text).map_err(failed(Self::SCRAPE))?,
            None => None,
        };
        Ok(Self { address, probes, scrape })
    }

    /// Whether the kubelet asks for a probe under this path.
    #[must_use]
    pub fn has_probe(&self, path: &str) -> bool {
        self.probes.contains_key(path)
    }

    /// Asks the application what the kubelet asks under `path`; `None`: there is no such probe.
    pub async fn probe(&self, path: &str, headers: &HeaderMap) -> Option<Answered> {
        let probe = self.probes.get(path)?;
        Some(match probe.ask(self.address, headers).await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::debug!(path, %error, "a probe failed");
                let body = format!("{error}\n").into();
                Answered { status: StatusCode::INTERNAL_SERVER_ERROR, body }
            }
        })
    }

    /// Whether the application has metrics to be shown with the proxy's.
    #[must_use]
    pub fn has_metrics(&self) -> bool {
        self.scrape.is_some()
    }

    /// The application's metrics in Prometheus' text format, without the mark of an end. `None`: there
    /// are none, or they could not be had, which is logged.
    pub async fn metrics(&self, headers: &HeaderMap) -> Option<Bytes> {
        let scrape = self.scrape.as_ref()?;
        scrape
            .fetch(headers)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the application's metrics are missing"))
            .ok()
    }
}
