//! Handing a certificate and its key to the process that takes this one's place.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use super::{CertificateError, WorkloadCertificate};

/// Why what a predecessor handed over cannot be used; a certificate is then requested anew.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The bytes are not what this version writes.
    #[error("the certificate handed over cannot be read: {0}")]
    Malformed(String),
    /// The certificate is of no use any more.
    #[error("the certificate handed over is of no use: {0}")]
    Unusable(#[source] CertificateError),
}

#[derive(Serialize, Deserialize)]
struct Parcel {
    /// DER in base64, leaf first.
    chain: Vec<String>,
    roots: Vec<String>,
    /// PKCS #8 in base64.
    key: String,
    /// Seconds since 1970, with fraction.
    received: Duration,
}

impl WorkloadCertificate {
    /// Everything a successor needs, the private key included: for a socket between two processes
    /// of one workload, and nothing else.
    pub fn hand_over(&self) -> Vec<u8> {
        let encode = |der: &CertificateDer<'_>| STANDARD.encode(der);
        let parcel = Parcel {
            chain: self.chain.iter().map(encode).collect(),
            roots: self.roots.iter().map(encode).collect(),
            key: STANDARD.encode(self.key.secret_pkcs8_der()),
            received: self.received.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        };
        serde_json::to_vec(&parcel).expect("strings and numbers always become JSON")
    }

    /// Takes over what a predecessor handed out, if it is still valid at `now`.
    ///
    /// # Errors
    /// Bytes that cannot be read, or a certificate that no peer would accept at `now`.
    pub fn take_over(bytes: &[u8], now: SystemTime) -> Result<Self, HandoverError> {
        let malformed = |error: &dyn std::fmt::Display| HandoverError::Malformed(error.to_string());
        let parcel: Parcel = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let decode = |text: &String| STANDARD.decode(text).map_err(|error| malformed(&error));
        let certificates = |texts: &[String]| -> Result<Vec<_>, HandoverError> {
            texts.iter().map(|text| Ok(CertificateDer::from(decode(text)?))).collect()
        };
        let chain = certificates(&parcel.chain)?;
        let roots = certificates(&parcel.roots)?;
        let key = PrivatePkcs8KeyDer::from(decode(&parcel.key)?);
        let received = SystemTime::UNIX_EPOCH
            .checked_add(parcel.received)
            .ok_or_else(|| malformed(&"the time of arrival is out of range"))?;
        let certificate = Self::new(chain, roots, key, now).map_err(HandoverError::Unusable)?;
        Ok(Self { received, ..certificate })
    }
}
