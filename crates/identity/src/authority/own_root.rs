//! A root of our own, in the state folder.

use std::path::Path;
use std::time::SystemTime;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issuer::{AuthorityError, Issuer, read_key};
use super::{AuthoritySettings, CLOCK_SKEW, ROOT_FILE, SignError};
use crate::private_file;
use crate::workload::validity;

const KEY_FILE: &str = "ca-key.pem";

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
    let root = match private_file::read(&root_path) {
        Ok(pem) => CertificateDer::from_pem_slice(&pem)
            .map_err(|error| AuthorityError::malformed(&root_path, "certificate", &error))?,
        Err(error) if error.is_missing() => create_root(&root_path, &key, settings, now)?,
        Err(error) => return Err(error.into()),
    };
    let root = if due_for_renewal(&root_path, &root, now)? {
        create_root(&root_path, &key, settings, now)?
    } else {
        root
    };
    let issuer = Issuer::new((&root_path, &root), (&key_path, key))?;
    Ok((issuer, root))
}

fn load_or_create_key(
    state_dir: &Path,
    root_path: &Path,
    key_path: &Path,
) -> Result<KeyPair, AuthorityError> {
    let pem = match private_file::read_private(key_path) {
        Err(error) if error.is_missing() => {
            if root_path.exists() {
                return Err(AuthorityError::KeyLost {
                    root: root_path.to_owned(),
                    key: key_path.to_owned(),
                });
            }
            private_file::create_private_dir(state_dir)?;
            let key = KeyPair::generate().map_err(cryptography)?;
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

/// Signs a root with its own key and writes it. The name and the key identifier depend on settings
/// and key alone, so that what an earlier root of the same key signed verifies against this one too.
fn create_root(
    path: &Path,
    key: &KeyPair,
    settings: &AuthoritySettings,
    now: SystemTime,
) -> Result<CertificateDer<'static>, AuthorityError> {
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
    let root = params.self_signed(key).map_err(cryptography)?;
    private_file::write_public(path, root.pem().as_bytes())?;
    Ok(root.der().clone())
}

fn cryptography(error: rcgen::Error) -> SignError {
    SignError::Cryptography(error.to_string())
}
