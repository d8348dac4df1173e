//! From where rustls takes the certificate at each handshake.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::WorkloadCertificate;

/// The certificate in use, on both ends of mutual TLS; replaced while connections are made.
///
/// Without a certificate a server refuses the handshake, and a client presents none.
#[derive(Debug, Default)]
pub struct CertificateHandle {
    current: ArcSwapOption<WorkloadCertificate>,
}

impl CertificateHandle {
    /// A handle without a certificate yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Puts a certificate into use.
    pub fn set(&self, certificate: Arc<WorkloadCertificate>) {
        self.current.store(Some(certificate));
    }

    /// The certificate in use.
    pub fn get(&self) -> Option<Arc<WorkloadCertificate>> {
        self.current.load_full()
    }

    fn certified_key(&self) -> Option<Arc<CertifiedKey>> {
        self.current.load().as_ref().map(|certificate| certificate.certified_key())
    }
}

impl ResolvesServerCert for CertificateHandle {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified_key()
    }
}

impl ResolvesClientCert for CertificateHandle {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.certified_key()
    }

    fn has_certs(&self) -> bool {
        self.current.load().is_some()
    }
}
