//! rustls' verifiers for the two ends of mutual TLS.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::MeshTrust;
use crate::crypto_provider;
use crate::peer::Names;

/// The chain is good but the name in it is not the one that was to be reached, or may not come in.
/// It travels inside rustls' error, so that a log or a reason code can tell it from a bad chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityRefused {
    /// None of the certificate's names is expected.
    #[error("the server is {presented:?}, expected one of {expected:?}")]
    Unexpected {
        /// What was expected.
        expected: Vec<String>,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate has no SPIFFE ID of a trusted domain.
    #[error("the peer is {presented:?}, which is in no trust domain of this mesh")]
    ForeignTrustDomain {
        /// The URI names in the certificate.
        presented: Vec<String>,
    },
    /// The names in the certificate cannot be read.
    #[error("the names in the peer's certificate cannot be read")]
    Unreadable,
}

impl IdentityRefused {
    /// Finds this reason in the error of a handshake.
    pub fn find(error: &Error) -> Option<&Self> {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref()
            }
            _ => None,
        }
    }
}

impl From<IdentityRefused> for Error {
    fn from(refused: IdentityRefused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// Verifies the server end of a mesh connection: a chain to the mesh's roots, and one of the
/// expected names among its names. The name that was dialled does not matter: Istio's SNI names a
/// cluster, not a host.
#[derive(Debug)]
pub struct ServerIdentityVerifier {
    trust: Arc<MeshTrust>,
    /// Empty: any identity of the trust domains.
    expected: Arc<[String]>,
}

impl ServerIdentityVerifier {
    /// Expects one of the names `expected` exactly (URIs, as a rule; DNS names and addresses too,
    /// as `subjectAltNames` may hold any of them). None: any SPIFFE ID of the trust domains.
    pub fn new(trust: Arc<MeshTrust>, expected: Arc<[String]>) -> Arc<Self> {
        Arc::new(Self { trust, expected })
    }
}

impl ServerCertVerifier for ServerIdentityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let trust = self.trust.current.load();
        let algorithms = crypto_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &trust.roots,
            intermediates,
            now,
            algorithms.all,
        )?;
        let names = Names::of(end_entity).ok_or(IdentityRefused::Unreadable)?;
        if self.expected.is_empty() {
            if !trust.trusts_one_of(&names.uris) {
                return Err(IdentityRefused::ForeignTrustDomain { presented: names.uris }.into());
            }
        } else if !self.expected.iter().any(|expected| names.contains(expected)) {
            return Err(IdentityRefused::Unexpected {
                expected: self.expected.to_vec(),
                presented: [names.uris, names.dns_names].concat(),
            }
            .into());
        }
        Ok(ServerCertVerified::assertion())
    }

    crate::handshake_signatures!();
}

/// Verifies the client end of a mesh connection: a chain to the mesh's roots, and a SPIFFE ID of a
/// trusted domain. Which identity may do what is for policy to say.
#[derive(Debug)]
pub struct PeerVerifier {
    trust: Arc<MeshTrust>,
    mandatory: bool,
}

impl PeerVerifier {
    /// A client must present a certificate.
    pub fn required(trust: Arc<MeshTrust>) -> Arc<Self> {
        Arc::new(Self { trust, mandatory: true })
    }

    /// A client may present a certificate; one that it presents is verified.
    pub fn optional(trust: Arc<MeshTrust>) -> Arc<Self> {
        Arc::new(Self { trust, mandatory: false })
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// No hints: the roots change while the verifier lives, and mesh clients have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let trust = self.trust.current.load();
        let verified = trust.client_chain.verify_client_cert(end_entity, intermediates, now)?;
        let names = Names::of(end_entity).ok_or(IdentityRefused::Unreadable)?;
        if !trust.trusts_one_of(&names.uris) {
            return Err(IdentityRefused::ForeignTrustDomain { presented: names.uris }.into());
        }
        Ok(verified)
    }

    crate::handshake_signatures!();
}
