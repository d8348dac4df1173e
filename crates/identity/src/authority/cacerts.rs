//! An authority plugged in from Istio's `cacerts` layout.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{KeyPair, PublicKeyData};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issuer::{AuthorityError, Issuer, read_key};
use super::{CertificateAuthority, Name, SignError};
use crate::workload::{unix_time, validity};
use crate::{MeshTrust, PeerVerifier, private_file};

/// The lifetime of the certificate that proves an authority; it is thrown away at once.
const PROOF_LIFETIME: std::time::Duration = std::time::Duration::from_secs(60);

type Certificates = Vec<CertificateDer<'static>>;

/// The names of the files in one of the two layouts.
struct Layout {
    certificate: PathBuf,
    key: PathBuf,
    roots: PathBuf,
    /// Only the first layout has it; there it may be missing.
    chain: Option<PathBuf>,
}

/// Reads issuer, intermediates and roots. That they make a chain is for
/// [`CertificateAuthority::prove`] to say.
pub(super) fn load(dir: &Path) -> Result<(Issuer, Certificates, Certificates), AuthorityError> {
    let layout = Layout::find(dir)?;
    if let Some(mode) = private_file::exposed_mode(&layout.key) {
        // Kubernetes mounts a secret with mode 0644 unless told otherwise, inside a container where
        // nobody else lives, so this cannot be refused.
        let path = layout.key.display();
        tracing::warn!("others can read the key of the certificate authority {path} ({mode:04o})");
    }
    let key = read_key(&layout.key, &private_file::read(&layout.key)?)?;
    let own = certificates(&layout.certificate)?;
    let roots = certificates(&layout.roots)?;
    let mut issuer = Issuer::new((&layout.certificate, &own[0]), (&layout.key, key))?;

    let mut intermediates: Certificates = Vec::new();
    let chain = layout.chain.as_deref().map(certificates).transpose()?.unwrap_or_default();
    for certificate in own.into_iter().chain(chain) {
        if !roots.contains(&certificate) && !intermediates.contains(&certificate) {
            intermediates.push(certificate);
        }
    }
    for certificate in &intermediates {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| {
            AuthorityError::malformed(&layout.certificate, "certificate chain", &error)
        })?;
        issuer.end_no_later_than(validity(&parsed).1);
    }
    Ok((issuer, intermediates, roots))
}

impl Layout {
    fn find(dir: &Path) -> Result<Self, AuthorityError> {
        let istio = ["ca-cert.pem", "ca-key.pem", "root-cert.pem"];
        let tls = ["tls.crt", "tls.key", "ca.crt"];
        let missing =
            |names: [&'static str; 3]| names.into_iter().find(|name| !dir.join(name).exists());
        let (names, chain) = match (missing(istio), missing(tls)) {
            (None, _) => (istio, Some(dir.join("cert-chain.pem")).filter(|path| path.exists())),
            (Some(_), None) => (tls, None),
            (Some(of_istio), Some(of_tls)) => {
                let tls_in_part = tls.iter().any(|name| dir.join(name).exists());
                let missing = if tls_in_part { of_tls } else { of_istio };
                return Err(AuthorityError::Incomplete { dir: dir.to_owned(), missing });
            }
        };
        let [certificate, key, roots] = names.map(|name| dir.join(name));
        Ok(Self { certificate, key, roots, chain })
    }
}

impl CertificateAuthority {
    /// Signs a certificate and verifies it as every peer will.
    pub(super) fn prove(&self, dir: &Path, now: SystemTime) -> Result<(), AuthorityError> {
        let broken = |reason: String| AuthorityError::BrokenChain { dir: dir.to_owned(), reason };
        let key =
            KeyPair::generate().map_err(|error| SignError::Cryptography(error.to_string()))?;
        let name = format!("spiffe://{}/proof", self.trust_domain());
        let names = [Name::Uri(&name)];
        let leaf = self.issue(&key.subject_public_key_info(), &names, PROOF_LIFETIME, now)?;
        let trust = MeshTrust::new(&self.roots, []).map_err(|error| broken(error.to_string()))?;
        PeerVerifier::required(trust)
            .verify_client_cert(&leaf.der, &self.intermediates, unix_time(now))
            .map_err(|error| broken(error.to_string()))?;
        Ok(())
    }
}

/// All certificates of a PEM file; at least one.
fn certificates(path: &Path) -> Result<Certificates, AuthorityError> {
    let malformed =
        |reason: &dyn std::fmt::Display| AuthorityError::malformed(path, "certificate", reason);
    let pem = private_file::read(path)?;
    let read: Result<Certificates, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let read = read.map_err(|error| malformed(&error))?;
    if read.is_empty() {
        return Err(malformed(&"there is none in it"));
    }
    Ok(read)
}
