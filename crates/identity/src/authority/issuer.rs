//! The certificate and key that sign.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData,
    SigningKey,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};
use yasna::models::ObjectIdentifier;

use super::{MIN_RSA_BITS, SignError};
use crate::private_file::FileError;
use crate::workload::validity;

/// Why a certificate authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written, or others can read it.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is missing from a `cacerts` folder.
    #[error(
        "{dir} holds neither `ca-cert.pem`, `ca-key.pem` and `root-cert.pem` nor `tls.crt`, \
         `tls.key` and `ca.crt`; missing: {missing}",
        dir = dir.display()
    )]
    Incomplete {
        /// The folder.
        dir: PathBuf,
        /// What is missing of the layout that is there in part.
        missing: &'static str,
    },
    /// A root of our own without its key.
    #[error(
        "{root} is there but its key {key} is not; restore the key, or remove the root to start \
         a new mesh that trusts none of the former certificates",
        root = root.display(), key = key.display()
    )]
    KeyLost {
        /// The root's file.
        root: PathBuf,
        /// Where the key should be.
        key: PathBuf,
    },
    /// A file holds something else than it should.
    #[error("{path} holds no usable {expected}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The key is another certificate's.
    #[error(
        "the key in {key} does not belong to the certificate in {certificate}",
        key = key.display(), certificate = certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not one that may sign others.
    #[error(
        "the certificate in {certificate} may not sign others: {reason}",
        certificate = certificate.display()
    )]
    NotAuthority {
        /// The certificate's file.
        certificate: PathBuf,
        /// What it lacks.
        reason: &'static str,
    },
    /// A certificate signed by it would not be accepted by anyone.
    #[error(
        "what is in {dir} does not make a chain that ends in its root: {reason}",
        dir = dir.display()
    )]
    BrokenChain {
        /// The folder.
        dir: PathBuf,
        /// What a verifier says.
        reason: String,
    },
    /// Signing failed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl AuthorityError {
    pub(super) fn malformed(
        path: &Path,
        expected: &'static str,
        reason: &dyn std::fmt::Display,
    ) -> Self {
        Self::Malformed { path: path.to_owned(), expected, reason: reason.to_string() }
    }
}

/// A signing key with what a certificate copies from its issuer.
pub(super) struct Issuer {
    key: KeyPair,
    /// An encoded `AlgorithmIdentifier`.
    signature_algorithm: Vec<u8>,
    /// The encoded name, byte for byte.
    subject: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    not_after: SystemTime,
}

impl Issuer {
    /// Takes a certificate and its key, whose files are named for the errors. `not_after` of the
    /// issuer is its own; see [`Issuer::end_no_later_than`].
    pub(super) fn new(
        certificate: (&Path, &CertificateDer<'_>),
        key: (&Path, KeyPair),
    ) -> Result<Self, AuthorityError> {
        let (certificate_path, der) = certificate;
        let (key_path, key) = key;
        let (_, parsed) = X509Certificate::from_der(der)
            .map_err(|error| AuthorityError::malformed(certificate_path, "certificate", &error))?;
        if *parsed.public_key().subject_public_key.data != *key.der_bytes() {
            return Err(AuthorityError::KeyMismatch {
                key: key_path.to_owned(),
                certificate: certificate_path.to_owned(),
            });
        }
        if let Some(reason) = not_an_authority(&parsed) {
            let certificate = certificate_path.to_owned();
            return Err(AuthorityError::NotAuthority { certificate, reason });
        }
        let key_identifier =
            parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
                _ => None,
            });
        Ok(Self {
            signature_algorithm: signature_algorithm(&key),
            subject: parsed.subject().as_raw().to_vec(),
            key_identifier,
            not_after: validity(&parsed).1,
            key,
        })
    }

    /// Lowers the end of what this issuer signs to the end of another certificate of its chain.
    pub(super) fn end_no_later_than(&mut self, not_after: SystemTime) {
        self.not_after = self.not_after.min(not_after);
    }

    pub(super) fn not_after(&self) -> SystemTime {
        self.not_after
    }

    pub(super) fn signature_algorithm(&self) -> &[u8] {
        &self.signature_algorithm
    }

    pub(super) fn subject(&self) -> &[u8] {
        &self.subject
    }

    pub(super) fn key_identifier(&self) -> Option<&[u8]> {
        self.key_identifier.as_deref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.key.sign(message).map_err(|error| SignError::Cryptography(error.to_string()))
    }
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Reads a private key in PEM: PKCS #8, PKCS #1 or SEC 1; RSA from 2048 bits on, ECDSA on P-256 or
/// P-384.
pub(super) fn read_key(path: &Path, pem: &[u8]) -> Result<KeyPair, AuthorityError> {
    let malformed =
        |reason: &dyn std::fmt::Display| AuthorityError::malformed(path, "private key", reason);
    let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| malformed(&error))?;
    let key = KeyPair::try_from(&der).map_err(|error| malformed(&error))?;
    if key.algorithm() == &PKCS_RSA_SHA256 {
        let (_, public) =
            x509_parser::x509::SubjectPublicKeyInfo::from_der(&key.subject_public_key_info())
                .map(|(rest, public)| (rest.len(), public.parsed().map(|key| key.key_size())))
                .map_err(|error| malformed(&error))?;
        let bits = public.map_err(|error| malformed(&error))?;
        if bits < MIN_RSA_BITS {
            return Err(malformed(&format!("RSA with {bits} bits is too weak to sign with")));
        }
    } else if ![&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384].contains(&key.algorithm()) {
        return Err(malformed(&"neither RSA nor ECDSA on P-256 or P-384"));
    }
    Ok(key)
}

/// What a certificate lacks to sign others.
fn not_an_authority(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    if !certificate.is_ca() {
        return Some("it lacks the basic constraint CA:TRUE");
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => Some("its key usage lacks keyCertSign"),
        Err(_) => Some("its key usage cannot be read"),
        Ok(_) => None,
    }
}

/// The `AlgorithmIdentifier` of what the key signs: `ecdsa-with-SHA256`, `ecdsa-with-SHA384` or
/// `sha256WithRSAEncryption`, which alone has parameters (NULL).
fn signature_algorithm(key: &KeyPair) -> Vec<u8> {
    const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
    const ECDSA_SHA384: &[u64] = &[1, 2, 840, 10045, 4, 3, 3];
    const RSA_SHA256: &[u64] = &[1, 2, 840, 113_549, 1, 1, 11];
    let algorithm = key.algorithm();
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            let mut write = |identifier| {
                writer.next().write_oid(&ObjectIdentifier::from_slice(identifier));
            };
            if algorithm == &PKCS_ECDSA_P256_SHA256 {
                write(ECDSA_SHA256);
            } else if algorithm == &PKCS_ECDSA_P384_SHA384 {
                write(ECDSA_SHA384);
            } else {
                write(RSA_SHA256);
                writer.next().write_null();
            }
        });
    })
}
