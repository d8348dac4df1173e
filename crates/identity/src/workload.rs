//! The proxy's side: a key, the request for a certificate, and the certificate.

mod handle;
mod handover;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

pub use handle::CertificateHandle;
pub use handover::HandoverError;

use crate::trust::TrustError;
use crate::{MeshTrust, PeerVerifier, SpiffeId, crypto_provider, peer_identity};

/// How far jitter moves the renewal, as a share of the certificate's life (Istio's
/// `SECRET_GRACE_PERIOD_RATIO_JITTER`).
const RENEWAL_JITTER: f64 = 0.01;

/// A new key and the request to certify it. The key never leaves the process but to a successor.
pub struct KeyAndCsr {
    key: KeyPair,
    csr: String,
}

/// Why no certificate could be had from what was generated or received.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The cryptographic library failed.
    #[error("cannot generate a key and its request: {0}")]
    Generate(#[source] rcgen::Error),
    /// The answer holds too little.
    #[error("the certificate authority answered {0} PEM elements; a leaf and a root are needed")]
    Incomplete(usize),
    /// An element of the answer is no certificate.
    #[error("the certificate authority's answer cannot be read: {0}")]
    Malformed(String),
    /// The answer certifies another key.
    #[error("the certificate received is for another key: {0}")]
    WrongKey(rustls::Error),
    /// The roots cannot be used.
    #[error(transparent)]
    Roots(#[from] TrustError),
    /// No peer would accept the chain.
    #[error("the certificate received does not verify against the roots received with it: {0}")]
    Unverifiable(rustls::Error),
    /// The leaf names no workload.
    #[error("the certificate received holds no workload identity")]
    NoIdentity,
}

impl KeyAndCsr {
    /// Generates an ECDSA P-256 key and a request without any name: the authority takes the
    /// identity from the authenticated caller.
    ///
    /// # Errors
    /// The cryptographic library fails.
    pub fn generate() -> Result<Self, CertificateError> {
        let key = KeyPair::generate().map_err(CertificateError::Generate)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(CertificateError::Generate)?;
        let csr = request.pem().map_err(CertificateError::Generate)?;
        Ok(Self { key, csr })
    }

    /// The request in PEM, for `CreateCertificate`.
    pub fn csr_pem(&self) -> &str {
        &self.csr
    }

    /// Makes the certificate from the answer's `cert_chain`: the leaf, the intermediates one by
    /// one, and the root or roots in the last element. What no peer would accept is refused here.
    ///
    /// # Errors
    /// An answer that cannot be read, is for another key, does not verify at `now`, or names no
    /// workload.
    pub fn certificate(
        &self,
        cert_chain: &[impl AsRef<[u8]>],
        now: SystemTime,
    ) -> Result<WorkloadCertificate, CertificateError> {
        let [leaf_and_intermediates @ .., roots] = cert_chain else {
            return Err(CertificateError::Incomplete(0));
        };
        let mut chain = Vec::new();
        for element in leaf_and_intermediates {
            chain.extend(certificates(element.as_ref())?);
        }
        let roots = certificates(roots.as_ref())?;
        // Some authorities repeat the root among the intermediates; no peer needs it.
        chain.retain(|certificate| !roots.contains(certificate));
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        WorkloadCertificate::new(chain, roots, key, now)
    }
}

impl std::fmt::Debug for KeyAndCsr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyAndCsr").field("csr", &self.csr).finish_non_exhaustive()
    }
}

/// A workload's certificate with its key and the roots that came with it.
pub struct WorkloadCertificate {
    identity: SpiffeId,
    /// Leaf first, then the intermediates; no root.
    chain: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    certified_key: Arc<CertifiedKey>,
    received: SystemTime,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl WorkloadCertificate {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        roots: Vec<CertificateDer<'static>>,
        key: PrivatePkcs8KeyDer<'static>,
        received: SystemTime,
    ) -> Result<Self, CertificateError> {
        let Some((leaf, intermediates)) = chain.split_first() else {
            return Err(CertificateError::Incomplete(usize::from(!roots.is_empty())));
        };
        let private = PrivateKeyDer::Pkcs8(key.clone_key());
        let certified_key = CertifiedKey::from_der(chain.clone(), private, &crypto_provider())
            .map_err(CertificateError::WrongKey)?;
        PeerVerifier::required(MeshTrust::new(&roots, [])?)
            .verify_client_cert(leaf, intermediates, unix_time(received))
            .map_err(CertificateError::Unverifiable)?;
        let identity = peer_identity(&chain).ok_or(CertificateError::NoIdentity)?;
        let (_, parsed) = X509Certificate::from_der(leaf)
            .map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let (not_before, not_after) = validity(&parsed);
        let certified_key = Arc::new(certified_key);
        Ok(Self { identity, chain, roots, key, certified_key, received, not_before, not_after })
    }

    /// Whose certificate it is.
    pub fn identity(&self) -> &SpiffeId {
        &self.identity
    }

    /// The chain to present: leaf first, then the intermediates, no root.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The roots that the authority handed out with it.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The private key, for the data plane beside this process: it goes there in memory, and
    /// nowhere else.
    pub fn private_key(&self) -> &PrivatePkcs8KeyDer<'static> {
        &self.key
    }

    /// Chain and key as rustls uses them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        self.certified_key.clone()
    }

    /// From when on it is valid.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// Until when it is valid.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to renew it: halfway between its arrival and its end, moved by `jitter` (from −1 to 1,
    /// uniformly random) times a hundredth of that span. Counted from the arrival and not from
    /// `not_before`, which lies two minutes before the issue.
    pub fn renew_at(&self, jitter: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.received).unwrap_or(Duration::ZERO);
        self.received + life.mul_f64(0.5 + RENEWAL_JITTER * jitter.clamp(-1.0, 1.0))
    }
}

impl std::fmt::Debug for WorkloadCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkloadCertificate")
            .field("identity", &self.identity)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// All certificates in a PEM text; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let read = read.map_err(|error| CertificateError::Malformed(error.to_string()))?;
    if read.is_empty() {
        return Err(CertificateError::Malformed("an element holds no certificate".to_owned()));
    }
    Ok(read)
}

/// `notBefore` and `notAfter`.
pub(crate) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (validity.not_before.to_datetime().into(), validity.not_after.to_datetime().into())
}

/// The clock reading as rustls wants it; before 1970 counts as 1970.
pub(crate) fn unix_time(time: SystemTime) -> UnixTime {
    UnixTime::since_unix_epoch(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests;
