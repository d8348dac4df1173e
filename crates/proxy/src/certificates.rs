//! The workload's key and certificate.
//!
//! The key is made in this process and never written anywhere. [`Certificates`] asks the control
//! plane's authority for a certificate with the token that is in its file at that time, puts it
//! into the handle from which every handshake takes it, and renews it at half of its life. When the
//! authority is away or refuses, it is asked again with growing pauses, and the certificate in use
//! stays in use.

mod request;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use lateen_identity::{CertificateHandle, MeshTrust, WorkloadCertificate};
use lateen_mesh::v1;
use lateen_xds::client::Backoff;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::watch;

use crate::config::Credentials;

/// The first and the longest wait between attempts.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// A renewal that is due is never put off by less than this: a certificate that has half a second
/// to live is not asked for in a busy loop.
const SHORTEST: Duration = Duration::from_millis(100);

/// The sleep until a renewal is taken in steps, so that a clock that was set is noticed.
const STEP: Duration = Duration::from_secs(60);

/// The workload's certificate and the mesh's trust, kept up to date.
#[derive(Debug)]
pub struct Certificates {
    handle: Arc<CertificateHandle>,
    /// `None` until there is a root.
    trust: watch::Sender<Option<Arc<MeshTrust>>>,
    sources: Mutex<Sources>,
    issued: watch::Sender<bool>,
    renewals: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// Where roots and trust domains come from.
#[derive(Debug, Default)]
struct Sources {
    /// With the workload's certificate, and before that from the state folder.
    roots: Vec<CertificateDer<'static>>,
    /// `caCertificates` of the mesh.
    configured: Vec<CertificateDer<'static>>,
    domains: Vec<String>,
}

/// How the workload's certificate stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The certificate in use.
    pub certificate: Option<Arc<WorkloadCertificate>>,
    /// Certificates received.
    pub renewals: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Why the last attempt failed; `None` once a later one went well.
    pub last_error: Option<String>,
}

impl Certificates {
    /// No certificate yet. `roots` are what the mesh's trust begins with.
    #[must_use]
    pub fn new(roots: Vec<CertificateDer<'static>>) -> Arc<Self> {
        let certificates = Self {
            handle: CertificateHandle::new(),
            trust: watch::Sender::new(None),
            sources: Mutex::new(Sources { roots, ..Sources::default() }),
            issued: watch::Sender::new(false),
            renewals: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_error: Mutex::new(None),
        };
        certificates.update_trust(|_| {});
        Arc::new(certificates)
    }

    /// The certificate in use, for handshakes.
    #[must_use]
    pub fn handle(&self) -> &Arc<CertificateHandle> {
        &self.handle
    }

    /// Whom the proxy believes; `None` until there is a root.
    #[must_use]
    pub fn mesh_trust(&self) -> Option<Arc<MeshTrust>> {
        self.trust.borrow().clone()
    }

    /// Tells when there is a certificate.
    #[must_use]
    pub fn issued(&self) -> watch::Receiver<bool> {
        self.issued.subscribe()
    }

    /// How the certificate stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            certificate: self.handle.get(),
            renewals: self.renewals.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Puts a certificate into use: a new one, or what a predecessor left.
    pub fn set(&self, certificate: WorkloadCertificate) {
        let roots = certificate.roots().to_vec();
        self.update_trust(|sources| sources.roots = roots);
        self.handle.set(Arc::new(certificate));
        self.issued.send_replace(true);
    }

    /// Takes over the trust domains and the further roots of the mesh.
    pub fn trust(&self, settings: &v1::Settings) {
        let mut roots = Vec::new();
        for pem in &settings.ca_certificates {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            match read {
                Ok(certificates) => roots.extend(certificates),
                Err(error) => {
                    tracing::warn!(%error, "a CA certificate of the mesh cannot be read");
                }
            }
        }
        let own = std::iter::once(&settings.trust_domain).filter(|domain| !domain.is_empty());
        let domains = own.chain(&settings.trust_domain_aliases).cloned().collect();
        self.update_trust(|sources| {
            sources.configured = roots;
            sources.domains = domains;
        });
    }

    fn update_trust(&self, change: impl FnOnce(&mut Sources)) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut sources);
        let roots: Vec<_> = sources.roots.iter().chain(&sources.configured).cloned().collect();
        if roots.is_empty() {
            return;
        }
        let domains = sources.domains.clone();
        let result = match self.mesh_trust() {
            Some(trust) => {
                trust.set_trust_domains(domains);
                trust.set_roots(&roots)
            }
            None => MeshTrust::new(&roots, domains).map(|trust| {
                self.trust.send_replace(Some(trust));
            }),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the mesh's roots cannot be used, the former ones stay");
        }
    }

    /// Asks for certificates for as long as the task runs. `random` gives numbers in 0.0..1.0.
    pub async fn run(
        self: Arc<Self>,
        credentials: Arc<Credentials>,
        random: impl Fn() -> f64 + Clone + Send + 'static,
    ) {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1, random.clone());
        if let Some(inherited) = self.handle.get() {
            self.until(inherited.renew_at(random() * 2.0 - 1.0)).await;
        }
        loop {
            match request::certificate(&credentials).await {
                Ok(certificate) => {
                    backoff.reset();
                    let renew_at = certificate.renew_at(random() * 2.0 - 1.0);
                    tracing::info!(
                        identity = %certificate.identity(),
                        not_after = %time(certificate.not_after()),
                        "a certificate was issued"
                    );
                    self.set(certificate);
                    self.renewals.fetch_add(1, Ordering::Relaxed);
                    self.note(None);
                    self.until(renew_at).await;
                }
                Err(error) => {
                    let wait = backoff.next_delay();
                    tracing::warn!(%error, ?wait, "no certificate");
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    self.note(Some(error.to_string()));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn note(&self, error: Option<String>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Sleeps until then.
    async fn until(&self, time: SystemTime) {
        let mut wait = SHORTEST;
        loop {
            tokio::time::sleep(wait).await;
            match time.duration_since(SystemTime::now()) {
                Ok(left) if !left.is_zero() => wait = left.min(STEP),
                _ => return,
            }
        }
    }
}

/// A time of day, for people.
fn time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| time.to_string()).unwrap_or_default()
}
