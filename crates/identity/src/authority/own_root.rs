//! A root of our own, in the state folder.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issuer::{AuthorityError, Issuer, read_key};
use super::{AuthoritySettings, CLOCK_SKEW, ROOT_FILE, SignError, encode};
use crate::private_file;
use crate::workload::validity;

const KEY_FILE: &str = "ca-key.pem";

/// The certificate in a secret, where it stands apart from the roots.
const CERTIFICATE: &str = "ca-cert.pem";

/// The root and its key; made at the first start. Of several processes that start at once all end
/// up with the same.
pub(super) fn load_or_create(
    state_dir: &Path,
    settings: &AuthoritySettings,
    now: SystemTime,
) -> Result<(Issuer, CertificateDer<'static>), AuthorityError> {
    let root_path = state_dir.join(ROOT_FILE);
    let key_path = state_dir.join(KEY_FILE);
    let key = load_or_create_key(state_dir, &root_path, &key_path)?;
    let mut root = match private_file::read(&root_path) {
        Err(error) if error.is_missing() => {
            let root = self_signed(&key, settings, now)?;
            private_file::create_public(&root_path, root.pem().as_bytes())?;
            read_root(&root_path, &private_file::read(&root_path)?)?
        }
        read => read_root(&root_path, &read?)?,
    };
    if due_for_renewal(&root_path, &root, now)? {
        let renewed = self_signed(&key, settings, now)?;
        private_file::write_public(&root_path, renewed.pem().as_bytes())?;
        root = renewed.into();
    }
    let issuer = Issuer::new((&root_path, &root), (&key_path, key))?;
    Ok((issuer, root))
}

/// A new root and its key, in PEM.
pub(super) fn make(
    settings: &AuthoritySettings,
    now: SystemTime,
) -> Result<(String, String), SignError> {
    let key = KeyPair::generate().map_err(|error| cryptography(&error))?;
    let root = self_signed(&key, settings, now)?;
    Ok((root.pem(), key.serialize_pem()))
}

/// See [`super::CertificateAuthority::renewed_secret`].
pub(super) fn renewed(
    data: &BTreeMap<String, Vec<u8>>,
    secret: &Path,
    settings: &AuthoritySettings,
    now: SystemTime,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, AuthorityError> {
    let read = |name: &str| data.get(name).map_or(&[][..], Vec::as_slice);
    let path = secret.join(CERTIFICATE);
    let current = read_root(&path, read(CERTIFICATE))?;
    let roots_path = secret.join(ROOT_FILE);
    let bundle: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(read(ROOT_FILE)).collect();
    let bundle =
        bundle.map_err(|error| AuthorityError::malformed(&roots_path, "certificates", &error))?;
    let mut valid = Vec::new();
    for root in &bundle {
        if end_of(&roots_path, root)? > now {
            valid.push(root.clone());
        }
    }
    let is_due = due_for_renewal(&path, &current, now)?;
    if !is_due && valid.len() == bundle.len() {
        return Ok(None);
    }
    let mut renewed = data.clone();
    let mut roots = Vec::new();
    if is_due {
        let key_path = secret.join(KEY_FILE);
        let root = self_signed(&read_key(&key_path, read(KEY_FILE))?, settings, now)?;
        renewed.insert(CERTIFICATE.to_owned(), root.pem().into_bytes());
        roots.push(root.into());
    }
    if end_of(&path, &current)? > now {
        roots.push(current);
    }
    for root in valid {
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    let pem: String = roots.iter().map(|root| encode::pem("CERTIFICATE", root)).collect();
    renewed.insert(ROOT_FILE.to_owned(), pem.into_bytes());
    Ok(Some(renewed))
}

fn end_of(path: &Path, certificate: &CertificateDer<'_>) -> Result<SystemTime, AuthorityError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| AuthorityError::malformed(path, "certificate", &error))?;
    Ok(validity(&parsed).1)
}

fn read_root(path: &Path, pem: &[u8]) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(pem)
        .map_err(|error| AuthorityError::malformed(path, "certificate", &error))
}

/// The key is always written before the root, so a root without a key has lost it.
fn load_or_create_key(
    state_dir: &Path,
    root_path: &Path,
    key_path: &Path,
) -> Result<KeyPair, AuthorityError> {
    let has_root = root_path.exists();
    let pem = match private_file::read_private(key_path) {
        Err(error) if error.is_missing() && has_root => {
            let (root, key) = (root_path.to_owned(), key_path.to_owned());
            return Err(AuthorityError::KeyLost { root, key });
        }
        Err(error) if error.is_missing() => {
            private_file::create_private_dir(state_dir)?;
            let key = KeyPair::generate().map_err(|error| cryptography(&error))?;
            private_file::create_private(key_path, key.serialize_pem().as_bytes())?;
            private_file::read_private(key_path)?
        }
        read => read?,
    };
    read_key(key_path, &pem)
}

/// Whether less than a fifth of the root's life remains (Istio's rule).
fn due_for_renewal(
    path: &Path,
    root: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<bool, AuthorityError> {
    let (_, parsed) = X509Certificate::from_der(root)
        .map_err(|error| AuthorityError::malformed(path, "certificate", &error))?;
    let (not_before, not_after) = validity(&parsed);
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let remaining = not_after.duration_since(now).unwrap_or_default();
    Ok(remaining < life / 5)
}

/// Signs a root with its own key. The name and the key identifier depend on settings and key alone,
/// so that what an earlier root of the same key signed verifies against this one too.
fn self_signed(
    key: &KeyPair,
    settings: &AuthoritySettings,
    now: SystemTime,
) -> Result<Certificate, SignError> {
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| SignError::Cryptography("no random numbers".to_owned()))?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, settings.trust_domain.as_str());
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.serial_number = Some(serial.to_vec().into());
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + settings.root_lifetime).into();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key).map_err(|error| cryptography(&error))
}

fn cryptography(error: &rcgen::Error) -> SignError {
    SignError::Cryptography(error.to_string())
}
