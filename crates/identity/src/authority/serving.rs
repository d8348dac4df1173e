//! The certificate of the control plane's own server.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{KeyPair, PublicKeyData};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::{CertificateAuthority, Name, SignError};
use crate::crypto_provider;

/// A certificate for names instead of an identity, with its key. The key lives in memory only.
#[derive(Debug, Clone)]
pub struct ServingCertificate {
    /// Chain and key as rustls uses them.
    pub certified_key: Arc<CertifiedKey>,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
}

impl CertificateAuthority {
    /// Makes a key and certifies it for host names and addresses, for `lifetime` from `now` on.
    ///
    /// # Errors
    /// An authority that has expired, or a cryptographic library that fails.
    pub fn serving_certificate(
        &self,
        dns_names: &[&str],
        addresses: &[IpAddr],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<ServingCertificate, SignError> {
        let cryptography =
            |error: &dyn std::fmt::Display| SignError::Cryptography(error.to_string());
        let key = KeyPair::generate().map_err(|error| cryptography(&error))?;
        let names: Vec<Name<'_>> = dns_names
            .iter()
            .map(|name| Name::Dns(name))
            .chain(addresses.iter().map(|address| Name::Address(*address)))
            .collect();
        let leaf = self.issue(&key.subject_public_key_info(), &names, lifetime, now)?;
        let chain: Vec<CertificateDer<'static>> =
            std::iter::once(leaf.der).chain(self.intermediates.iter().cloned()).collect();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let certified_key = CertifiedKey::from_der(chain, key.into(), &crypto_provider())
            .map_err(|error| cryptography(&error))?;
        Ok(ServingCertificate {
            certified_key: Arc::new(certified_key),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
        })
    }
}
