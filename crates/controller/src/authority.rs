//! The certificate authority in force, which may be exchanged while the control plane runs.

use std::sync::Arc;

use lateen_identity::{CertificateAuthority, MeshTrust};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// The authority in force; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Authority(watch::Receiver<Arc<CertificateAuthority>>);

impl Authority {
    /// The authority, and what exchanges it.
    pub(crate) fn new(
        authority: CertificateAuthority,
    ) -> (watch::Sender<Arc<CertificateAuthority>>, Self) {
        let (exchange, receiver) = watch::channel(Arc::new(authority));
        (exchange, Self(receiver))
    }

    /// The authority as it is now.
    pub(crate) fn current(&self) -> Arc<CertificateAuthority> {
        self.0.borrow().clone()
    }

    /// Comes back when it is another than when this was asked last.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody is left who could exchange it.
            std::future::pending::<()>().await;
        }
    }
}

/// Client certificates are verified against the authority's roots, whatever they are, until stopped.
pub(crate) async fn follow(
    mut authority: Authority,
    trust: Arc<MeshTrust>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    loop {
        let current = authority.current();
        metrics.set_root_expiry(current.not_after());
        if let Err(error) = trust.set_roots(current.roots()) {
            tracing::error!(%error, "clients are verified against the former roots");
        }
        if stop.run_until_cancelled(authority.changed()).await.is_none() {
            return;
        }
    }
}
