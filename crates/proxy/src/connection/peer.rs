//! The certificate of an authenticated peer.

use lateen_identity::SpiffeId;
use rustls_pki_types::CertificateDer;

/// What a verified client certificate says, kept in the forms in which requests need it.
///
/// One value is shared by all requests of a connection.
#[derive(Debug)]
pub struct PeerCertificate {
    /// The identity of the workload: the one URI SAN, where it is one of Istio's form.
    pub spiffe: Option<SpiffeId>,
    /// URI SANs in the certificate's order.
    pub uri_sans: Vec<String>,
    /// DNS SANs in the certificate's order.
    pub dns_sans: Vec<String>,
    /// Subject in RFC 2253 form; empty for mesh certificates.
    pub subject: String,
    /// SHA-256 of the certificate's DER encoding, lower-case hex.
    pub sha256: String,
    /// The certificate itself.
    pub der: CertificateDer<'static>,
}

impl PeerCertificate {
    /// A certificate that another process has verified, of which only the identity is known.
    #[must_use]
    pub(super) fn reported(identity: SpiffeId) -> Self {
        Self {
            uri_sans: vec![identity.to_string()],
            spiffe: Some(identity),
            dns_sans: Vec::new(),
            subject: String::new(),
            sha256: String::new(),
            der: Vec::new().into(),
        }
    }

    /// Reads a leaf certificate that a verifier has accepted; `None` if it cannot be read.
    #[must_use]
    pub fn read(leaf: &CertificateDer<'_>) -> Option<Self> {
        let read = lateen_identity::PeerCertificate::read(leaf)?;
        Some(Self {
            spiffe: read.identity(),
            uri_sans: read.uris,
            dns_sans: read.dns_names,
            subject: read.subject,
            sha256: read.hash,
            der: leaf.clone().into_owned(),
        })
    }
}
