//! Verifying peers outside of the mesh.

use std::sync::Arc;

use lateen_identity::{PeerCertificate, crypto_provider};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::upstream::DialError;

/// A chain to given roots, and a name: one of the expected ones, or without any the server name
/// that was asked for.
///
/// Envoy, left alone, looks at no name at all when none is written; Istio's control plane puts the
/// host there. Here a name is always looked at.
#[derive(Debug)]
pub(super) struct NamedServer {
    roots: Arc<RootCertStore>,
    by_name: Arc<WebPkiServerVerifier>,
    expected: Arc<[Arc<str>]>,
}

impl NamedServer {
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        expected: Arc<[Arc<str>]>,
    ) -> Result<Arc<Self>, DialError> {
        let by_name =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), crypto_provider())
                .build()
                .map_err(|error| DialError::Settings(error.to_string()))?;
        Ok(Arc::new(Self { roots, by_name, expected }))
    }
}

/// Whether the certificate has one of the names.
fn has_one_of(certificate: &CertificateDer<'_>, expected: &[Arc<str>]) -> bool {
    let Some(names) = PeerCertificate::read(certificate) else { return false };
    expected.iter().any(|expected| {
        names.uris.iter().any(|uri| **uri == **expected)
            || names.dns_names.iter().any(|name| covers(name, expected))
            || expected.parse().is_ok_and(|address| names.addresses.contains(&address))
    })
}

/// Whether the DNS name in a certificate, which may be `*.suffix`, covers `name`: one label each,
/// RFC 6125, 6.4.3.
pub(super) fn covers(presented: &str, name: &str) -> bool {
    if presented.eq_ignore_ascii_case(name) {
        return true;
    }
    match (presented.strip_prefix("*."), name.split_once('.')) {
        (Some(suffix), Some((_, rest))) => suffix.eq_ignore_ascii_case(rest),
        _ => false,
    }
}

/// The name in the certificate is another one.
#[derive(Debug, thiserror::Error)]
#[error("the peer's certificate has none of the names {0:?}")]
struct NoExpectedName(Arc<[Arc<str>]>);

fn no_expected_name(expected: &Arc<[Arc<str>]>) -> Error {
    let error = NoExpectedName(Arc::clone(expected));
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

/// Why a handshake failed, where the certificate has another name than was expected.
pub(crate) fn unexpected_name(error: &Error) -> Option<String> {
    match error {
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some(error.to_string()),
        // rustls shows what it does not know as Rust does, not in its own words.
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            inner.is::<NoExpectedName>().then(|| inner.to_string())
        }
        _ => None,
    }
}

impl ServerCertVerifier for NamedServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.expected.is_empty() {
            return self.by_name.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            crypto_provider().signature_verification_algorithms.all,
        )?;
        if !has_one_of(end_entity, &self.expected) {
            return Err(no_expected_name(&self.expected));
        }
        Ok(ServerCertVerified::assertion())
    }

    lateen_identity::handshake_signatures!();
}

/// `insecureSkipVerify`: whoever answers is believed.
#[derive(Debug)]
pub(super) struct AnyServer;

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    lateen_identity::handshake_signatures!();
}

/// A client whose chain is good must also have one of the names that a Gateway lists.
#[derive(Debug)]
pub(super) struct NamedClient {
    chain: Arc<dyn ClientCertVerifier>,
    expected: Arc<[Arc<str>]>,
}

impl NamedClient {
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, expected: Vec<String>) -> Self {
        Self { chain, expected: expected.into_iter().map(Arc::from).collect() }
    }
}

impl ClientCertVerifier for NamedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if has_one_of(end_entity, &self.expected) {
            Ok(verified)
        } else {
            Err(no_expected_name(&self.expected))
        }
    }

    lateen_identity::handshake_signatures!();
}
