//! Ways to break exactly one promise of the demo, to show that its checks can fail.

use clap::ValueEnum;

use super::files::Folders;

/// What is broken. Each changes the YAML or what stands between the processes, never a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sabotage {
    /// The orders take plain text, so nobody proves who they are.
    MtlsOff,
    /// The policy of the root namespace is gone.
    PolicyRemoved,
    /// Another VirtualService for the catalog, which goes first, sends everybody to one version.
    WeightIgnored,
    /// The rule for `/fragile` retries nothing.
    RetryOff,
    /// The rule for `/slow` has no timeout.
    TimeoutOff,
    /// What Prometheus scrapes is stripped of the requests on the way.
    MetricMissing,
}

impl Sabotage {
    /// Name of the check that must fail, and no other.
    pub fn breaks(self) -> &'static str {
        match self {
            Self::MtlsOff => "mutual-tls",
            Self::PolicyRemoved => "policy",
            Self::WeightIgnored => "canary",
            Self::RetryOff => "retry",
            Self::TimeoutOff => "timeout",
            Self::MetricMissing => "metrics",
        }
    }

    /// Changes the mesh's YAML, where that is how this one works.
    pub fn apply(self, folders: &Folders) -> anyhow::Result<()> {
        match self {
            Self::MtlsOff => folders.write("90-sabotage.yaml", MTLS_OFF),
            Self::PolicyRemoved => {
                folders.edit("60-policy.yaml", &[("\"/forbidden*\"", "\"/nothing-is-here\"")])
            }
            Self::WeightIgnored => folders.write("90-sabotage.yaml", WEIGHT_IGNORED),
            Self::RetryOff => folders.edit(
                "50-routes.yaml",
                &[("attempts: 3\n        perTryTimeout: 2s\n        retryOn: 5xx", "attempts: 0")],
            ),
            Self::TimeoutOff => folders.edit("50-routes.yaml", &[("timeout: 0.5s", "timeout: 0s")]),
            Self::MetricMissing => Ok(()),
        }
    }

    /// Lines for Prometheus' scrape configuration.
    pub fn scrape_configuration(self) -> &'static str {
        match self {
            Self::MetricMissing => {
                "    metric_relabel_configs:\n      - source_labels: [__name__]\n        regex: istio_requests_total\n        action: drop\n"
            }
            _ => "",
        }
    }
}

const MTLS_OFF: &str = "\
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: orders
  namespace: shop
spec:
  selector:
    matchLabels:
      app: orders
  mtls:
    mode: DISABLE
";

const WEIGHT_IGNORED: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: all-to-the-first
  namespace: shop
spec:
  hosts:
    - catalog
  http:
    - name: fragile
      match:
        - uri:
            prefix: /fragile
      retries:
        attempts: 3
        retryOn: 5xx
      route:
        - destination:
            host: catalog
    - name: canary
      route:
        - destination:
            host: catalog
            subset: v1
";
