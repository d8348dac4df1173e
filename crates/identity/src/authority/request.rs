//! What is taken from a certificate request: the public key, if it is strong enough and the request
//! is signed by it. Nothing else in it is read.

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{AlgorithmIdentifier, CertificateSigningRequestDer, alg_id};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AlgorithmIdentifier as ParsedAlgorithm, SubjectPublicKeyInfo};

use super::SignError;
use crate::crypto_provider;

/// The shortest RSA key that is accepted, in bits.
pub const MIN_RSA_BITS: usize = 2048;
const MAX_RSA_BITS: usize = 8192;
/// A request with a key of 8192 bits has about 3 kB.
const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Why a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeakKey {
    /// An RSA key that is too short, or so long that it serves to waste time.
    #[error("RSA with {0} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted")]
    RsaBits(usize),
    /// An elliptic curve other than the two that every TLS stack of a mesh understands.
    #[error("ECDSA on a curve other than P-256 and P-384")]
    Curve,
    /// Neither RSA nor ECDSA.
    #[error("neither RSA nor ECDSA")]
    Kind,
}

/// The `SubjectPublicKeyInfo` of a request in PEM, DER-encoded.
pub(super) fn public_key(csr_pem: &str) -> Result<Vec<u8>, SignError> {
    let malformed = |error: &dyn std::fmt::Display| SignError::Malformed(error.to_string());
    if csr_pem.len() > MAX_REQUEST_BYTES {
        return Err(malformed(&"it is longer than 64 KiB"));
    }
    let der = CertificateSigningRequestDer::from_pem_slice(csr_pem.as_bytes())
        .map_err(|error| malformed(&error))?;
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|error| malformed(&error))?;
    if !rest.is_empty() {
        return Err(malformed(&"bytes follow it"));
    }
    let key = &request.certification_request_info.subject_pki;
    let key_algorithm = strong(key)?;
    verify(&request, key_algorithm)?;
    Ok(key.raw.to_vec())
}

/// The algorithm of a key that is strong enough.
fn strong(key: &SubjectPublicKeyInfo<'_>) -> Result<AlgorithmIdentifier, SignError> {
    let algorithm = encoded(&key.algorithm);
    let refuse = |why| Err(SignError::WeakKey(why));
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let significant: usize = rsa.modulus.iter().skip_while(|byte| **byte == 0).count();
            let bits = significant * 8;
            if (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
                Ok(alg_id::RSA_ENCRYPTION)
            } else {
                refuse(WeakKey::RsaBits(bits))
            }
        }
        Ok(PublicKey::EC(_)) => [alg_id::ECDSA_P256, alg_id::ECDSA_P384]
            .into_iter()
            .find(|known| algorithm.as_deref() == Some(known.as_ref()))
            .map_or_else(|| refuse(WeakKey::Curve), Ok),
        Ok(_) => refuse(WeakKey::Kind),
        Err(error) => Err(SignError::Malformed(error.to_string())),
    }
}

/// Proof of possession: the request's signature by the key that it holds. Signatures that the TLS
/// stack would not accept on a certificate (SHA-1) are not accepted here.
fn verify(
    request: &X509CertificationRequest<'_>,
    key_algorithm: AlgorithmIdentifier,
) -> Result<(), SignError> {
    let signature_algorithm = encoded(&request.signature_algorithm);
    let provider = crypto_provider();
    let algorithm = provider
        .signature_verification_algorithms
        .all
        .iter()
        .find(|known| {
            known.public_key_alg_id() == key_algorithm
                && signature_algorithm.as_deref() == Some(known.signature_alg_id().as_ref())
        })
        .ok_or_else(|| SignError::Malformed("its signature algorithm is not known".to_owned()))?;
    let key = &request.certification_request_info.subject_pki.subject_public_key.data;
    algorithm
        .verify_signature(
            key,
            request.certification_request_info.raw,
            &request.signature_value.data,
        )
        .map_err(|_| SignError::BadSignature)
}

/// The contents of an `AlgorithmIdentifier`, as rustls compares them: the object identifier and the
/// parameters. `None` from 128 bytes on; all that are known here are far shorter.
fn encoded(algorithm: &ParsedAlgorithm<'_>) -> Option<Vec<u8>> {
    const OBJECT_IDENTIFIER: u8 = 6;
    let mut contents = value(OBJECT_IDENTIFIER, algorithm.algorithm.as_bytes())?;
    if let Some(parameters) = &algorithm.parameters {
        contents.extend(value(u8::try_from(parameters.tag().0).ok()?, parameters.data)?);
    }
    Some(contents)
}

fn value(tag: u8, data: &[u8]) -> Option<Vec<u8>> {
    let length @ 0..128 = u8::try_from(data.len()).ok()? else { return None };
    Some([&[tag, length], data].concat())
}
