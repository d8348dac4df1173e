//! Certificates for whatever identity a case names.

use std::sync::Arc;

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    SanType,
};
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, Error};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

/// The root of the mesh in the test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, "cluster.local");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// The root, in PEM.
    pub fn root(&self) -> String {
        self.issuer.pem()
    }

    /// The server's own.
    pub fn server(&self) -> anyhow::Result<Pair> {
        let (certificate, key) = self.issue("spiffe://cluster.local/ns/server/sa/server")?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// The client's side of mutual TLS for who has this identity.
    pub fn client(&self, identity: &str, alpn: &[&str]) -> anyhow::Result<Arc<ClientConfig>> {
        let (certificate, key) = self.issue(identity)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let mut config = ClientConfig::builder_with_provider(lateen_identity::crypto_provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyServer))
            .with_client_auth_cert(vec![certificate.der().clone()], key.into())?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn issue(&self, identity: &str) -> anyhow::Result<(rcgen::Certificate, KeyPair)> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = identity.try_into().with_context(|| identity.to_owned())?;
        params.subject_alt_names = vec![SanType::URI(name)];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?, key))
    }
}

/// Who answers is not what is tested.
#[derive(Debug)]
struct AnyServer;

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
