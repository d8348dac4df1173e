//! An authority plugged in from Istio's `cacerts` layout: a folder, or the data of a secret.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{KeyPair, PublicKeyData};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issuer::{AuthorityError, Issuer, read_key};
use super::{CertificateAuthority, Name, SignError};
use crate::private_file::{self, FileError};
use crate::workload::{unix_time, validity};
use crate::{MeshTrust, PeerVerifier};

/// The lifetime of the certificate that proves an authority; it is thrown away at once.
const PROOF_LIFETIME: std::time::Duration = std::time::Duration::from_secs(60);

type Certificates = Vec<CertificateDer<'static>>;

/// The files of an authority, wherever they are.
#[derive(Clone, Copy)]
pub(super) enum Files<'a> {
    /// In a folder.
    Folder(&'a Path),
    /// In memory, as the data of a secret; the path names the secret in errors. What is empty is not
    /// there: Istio writes its secrets with all keys.
    Data(&'a Path, &'a BTreeMap<String, Vec<u8>>),
}

impl Files<'_> {
    pub(super) fn place(&self) -> &Path {
        match self {
            Self::Folder(place) | Self::Data(place, _) => place,
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Folder(place) => place.join(name).exists(),
            Self::Data(_, data) => data.get(name).is_some_and(|bytes| !bytes.is_empty()),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, FileError> {
        match self {
            Self::Folder(place) => private_file::read(&place.join(name)),
            Self::Data(_, data) => Ok(data.get(name).cloned().unwrap_or_default()),
        }
    }

    /// The mode of a file that others can read, too.
    fn exposed_mode(&self, name: &str) -> Option<u32> {
        match self {
            Self::Folder(place) => private_file::exposed_mode(&place.join(name)),
            Self::Data(..) => None,
        }
    }

    /// All certificates of a PEM file; at least one.
    fn certificates(&self, name: &str) -> Result<Certificates, AuthorityError> {
        let path = self.place().join(name);
        let malformed = |reason: &dyn std::fmt::Display| {
            AuthorityError::malformed(&path, "certificate", reason)
        };
        let pem = self.read(name)?;
        let read: Result<Certificates, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let read = read.map_err(|error| malformed(&error))?;
        if read.is_empty() {
            return Err(malformed(&"there is none in it"));
        }
        Ok(read)
    }
}

/// The names of the files in one of the two layouts.
struct Layout {
    certificate: &'static str,
    key: &'static str,
    roots: &'static str,
    /// Only the first layout has it; there it may be missing.
    chain: Option<&'static str>,
}

/// Reads issuer, intermediates and roots. That they make a chain is for
/// [`CertificateAuthority::prove`] to say.
pub(super) fn load(
    files: &Files<'_>,
) -> Result<(Issuer, Certificates, Certificates), AuthorityError> {
    let layout = Layout::find(files)?;
    let path = |name: &str| -> PathBuf { files.place().join(name) };
    let (certificate, key_path) = (path(layout.certificate), path(layout.key));
    if let Some(mode) = files.exposed_mode(layout.key) {
        // Kubernetes mounts a secret with mode 0644 unless told otherwise, inside a container where
        // nobody else lives, so this cannot be refused.
        let path = key_path.display();
        tracing::warn!("others can read the key of the certificate authority {path} ({mode:04o})");
    }
    let key = read_key(&key_path, &files.read(layout.key)?)?;
    let own = files.certificates(layout.certificate)?;
    let roots = files.certificates(layout.roots)?;
    let mut issuer = Issuer::new((&certificate, &own[0]), (&key_path, key))?;

    let mut intermediates: Certificates = Vec::new();
    let chain = layout.chain.map(|name| files.certificates(name)).transpose()?.unwrap_or_default();
    for certificate in own.into_iter().chain(chain) {
        if !roots.contains(&certificate) && !intermediates.contains(&certificate) {
            intermediates.push(certificate);
        }
    }
    for intermediate in &intermediates {
        let (_, parsed) = X509Certificate::from_der(intermediate).map_err(|error| {
            AuthorityError::malformed(&certificate, "certificate chain", &error)
        })?;
        issuer.end_no_later_than(validity(&parsed).1);
    }
    Ok((issuer, intermediates, roots))
}

impl Layout {
    fn find(files: &Files<'_>) -> Result<Self, AuthorityError> {
        let istio = ["ca-cert.pem", "ca-key.pem", "root-cert.pem"];
        let tls = ["tls.crt", "tls.key", "ca.crt"];
        let missing = |names: [&'static str; 3]| names.into_iter().find(|name| !files.has(name));
        let (names, chain) = match (missing(istio), missing(tls)) {
            (None, _) => (istio, Some("cert-chain.pem").filter(|name| files.has(name))),
            (Some(_), None) => (tls, None),
            (Some(of_istio), Some(of_tls)) => {
                let tls_in_part = tls.iter().any(|name| files.has(name));
                let missing = if tls_in_part { of_tls } else { of_istio };
                return Err(AuthorityError::Incomplete { dir: files.place().to_owned(), missing });
            }
        };
        let [certificate, key, roots] = names;
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
