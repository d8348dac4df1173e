//! The certificate authority of the control plane.
//!
//! Its root is either its own, made at the first start, or given in the layout of Istio's secret
//! `cacerts`, so that both meshes authenticate each other during a migration. What it signs it signs
//! for the identity of the authenticated caller.

mod cacerts;
mod encode;
mod issuer;
mod own_root;
mod request;
mod serving;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls_pki_types::CertificateDer;

pub use encode::CLOCK_SKEW;
pub use issuer::AuthorityError;
pub use request::{MIN_RSA_BITS, WeakKey};
pub use serving::ServingCertificate;

use cacerts::Files;
use encode::{Leaf, Name};
use issuer::Issuer;

use crate::{SpiffeId, private_file};

const ROOT_FILE: &str = "root-cert.pem";
const PLUGGED_IN_DIR: &str = "cacerts";

/// How long certificates live. The defaults are Istio's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// The mesh's trust domain; the organization in a root of our own.
    pub trust_domain: String,
    /// The lifetime of a workload's certificate when none is requested: 24 hours
    /// (`DEFAULT_WORKLOAD_CERT_TTL`).
    pub default_lifetime: Duration,
    /// The longest lifetime that may be requested: 90 days (`MAX_WORKLOAD_CERT_TTL`).
    pub max_lifetime: Duration,
    /// The lifetime of a root of our own: 3650 days (`CITADEL_SELF_SIGNED_CA_CERT_TTL`).
    pub root_lifetime: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl AuthoritySettings {
    /// Istio's defaults for a trust domain.
    pub fn new(trust_domain: impl Into<String>) -> Self {
        Self {
            trust_domain: trust_domain.into(),
            default_lifetime: DAY,
            max_lifetime: 90 * DAY,
            root_lifetime: 3650 * DAY,
        }
    }
}

/// Signs certificates for workloads and for the control plane's own server.
#[derive(Debug)]
pub struct CertificateAuthority {
    settings: AuthoritySettings,
    issuer: Issuer,
    /// Between the leaf and the roots, the issuer's own certificate first unless it is a root.
    intermediates: Vec<CertificateDer<'static>>,
    roots: Vec<CertificateDer<'static>>,
}

/// A certificate with everything that its holder presents or trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedChain {
    /// PEM, as `CreateCertificate` answers it: the leaf, the intermediates one by one, and all
    /// roots in the last element.
    pub cert_chain: Vec<String>,
    /// From when on the leaf is valid.
    pub not_before: SystemTime,
    /// Until when the leaf is valid.
    pub not_after: SystemTime,
    /// The leaf's serial number in lower-case hexadecimal, for the log.
    pub serial: String,
}

/// Why a request is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The request is no PKCS #10 request in PEM.
    #[error("the certificate request is malformed: {0}")]
    Malformed(String),
    /// The key in the request is too weak, or of a kind that not every peer understands.
    #[error("the key in the certificate request is refused: {0}")]
    WeakKey(WeakKey),
    /// The request is not signed by the key that it holds.
    #[error("the certificate request is not signed by the key that it holds")]
    BadSignature,
    /// A longer lifetime than allowed.
    #[error("a lifetime of {requested:?} is requested, the longest allowed is {longest:?}")]
    LifetimeTooLong {
        /// What was requested.
        requested: Duration,
        /// What is allowed.
        longest: Duration,
    },
    /// The authority's own certificate has ended.
    #[error("the certificate authority's own certificate has expired; replace it")]
    AuthorityExpired,
    /// The cryptographic library failed.
    #[error("the certificate cannot be signed: {0}")]
    Cryptography(String),
}

impl SignError {
    /// A stable word for metrics and logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed-request",
            Self::WeakKey(_) => "weak-key",
            Self::BadSignature => "bad-signature",
            Self::LifetimeTooLong { .. } => "lifetime-too-long",
            Self::AuthorityExpired => "authority-expired",
            Self::Cryptography(_) => "cryptography",
        }
    }
}

impl CertificateAuthority {
    /// The authority of a state folder: what is plugged in under `cacerts/` there, else the root of
    /// our own, which is made at the first start (`ca-key.pem`, mode 0600) and renewed with the same
    /// key when less than a fifth of its life remains. The roots are written to `root-cert.pem`.
    ///
    /// # Errors
    /// Files that cannot be read or written, that others can read, or that do not belong together.
    pub fn load_or_create(
        state_dir: &Path,
        settings: AuthoritySettings,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let plugged_in = state_dir.join(PLUGGED_IN_DIR);
        if plugged_in.is_dir() {
            let authority = Self::plugged_in(&plugged_in, settings, now)?;
            private_file::write_public(
                &state_dir.join(ROOT_FILE),
                authority.root_pem().as_bytes(),
            )?;
            return Ok(authority);
        }
        let (issuer, root) = own_root::load_or_create(state_dir, &settings, now)?;
        Ok(Self { settings, issuer, intermediates: Vec::new(), roots: vec![root] })
    }

    /// The authority in a folder of Istio's `cacerts` layout: `ca-cert.pem`, `ca-key.pem`,
    /// `root-cert.pem` and `cert-chain.pem`, or `tls.crt`, `tls.key` and `ca.crt`.
    ///
    /// # Errors
    /// Files missing or malformed, a key that is not the certificate's, a certificate that may not
    /// sign, or a chain that does not end in the root.
    pub fn plugged_in(
        dir: &Path,
        settings: AuthoritySettings,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        Self::of_files(&Files::Folder(dir), settings, now)
    }

    /// The authority in the data of a secret of the same layout, as Kubernetes keeps it (Istio's `cacerts`);
    /// `secret` names it in errors. What is there but empty counts as missing.
    ///
    /// # Errors
    /// As [`CertificateAuthority::plugged_in`].
    pub fn of_secret(
        data: &BTreeMap<String, Vec<u8>>,
        secret: &Path,
        settings: AuthoritySettings,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        Self::of_files(&Files::Data(secret, data), settings, now)
    }

    /// The data of a secret with a new root of our own, as Istio keeps it in `istio-ca-secret`:
    /// `ca-cert.pem` and `ca-key.pem`.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn make_secret(
        settings: &AuthoritySettings,
        now: SystemTime,
    ) -> Result<BTreeMap<String, Vec<u8>>, SignError> {
        let (certificate, key) = own_root::make(settings, now)?;
        Ok([("ca-cert.pem", certificate), ("ca-key.pem", key)]
            .map(|(name, pem)| (name.to_owned(), pem.into_bytes()))
            .into())
    }

    /// The data of such a secret with what is due: a root of which less than a fifth of its life remains is
    /// renewed with the same key (Istio's rule for `istio-ca-secret`), and roots that have ended are left out.
    /// The former root stays in `root-cert.pem` for as long as it is valid, so that both are trusted
    /// meanwhile. `None`: nothing is due. `secret` names it in errors.
    ///
    /// # Errors
    /// What is in the secret is of no use, or the cryptographic library fails.
    pub fn renewed_secret(
        data: &BTreeMap<String, Vec<u8>>,
        secret: &Path,
        settings: &AuthoritySettings,
        now: SystemTime,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, AuthorityError> {
        own_root::renewed(data, secret, settings, now)
    }

    fn of_files(
        files: &Files<'_>,
        settings: AuthoritySettings,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let (issuer, intermediates, roots) = cacerts::load(files)?;
        let authority = Self { settings, issuer, intermediates, roots };
        authority.prove(files.place(), now)?;
        Ok(authority)
    }

    /// Signs a request for `identity`, which the caller has authenticated as; names in the request
    /// are not read. A `requested` lifetime of zero means the default. The certificate ends no later
    /// than its issuers.
    ///
    /// # Errors
    /// A malformed request, a weak key, a bad signature, too long a lifetime, or an authority that
    /// has expired.
    pub fn sign(
        &self,
        csr_pem: &str,
        identity: &SpiffeId,
        requested: Duration,
        now: SystemTime,
    ) -> Result<IssuedChain, SignError> {
        let longest = self.settings.max_lifetime;
        if requested > longest {
            return Err(SignError::LifetimeTooLong { requested, longest });
        }
        let lifetime = if requested.is_zero() { self.settings.default_lifetime } else { requested };
        let public_key = request::public_key(csr_pem)?;
        let names = [Name::Uri(identity.as_str())];
        let leaf = self.issue(&public_key, &names, lifetime, now)?;
        Ok(self.chain(&leaf))
    }

    /// The roots, to be trusted by every workload.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// The roots in PEM, one after the other.
    pub fn root_pem(&self) -> String {
        self.roots.iter().map(|root| encode::pem("CERTIFICATE", root)).collect()
    }

    /// When the first of the certificates between a leaf and its root ends.
    pub fn not_after(&self) -> SystemTime {
        self.issuer.not_after()
    }

    /// The trust domain whose workloads it certifies.
    pub fn trust_domain(&self) -> &str {
        &self.settings.trust_domain
    }

    fn issue(
        &self,
        public_key: &[u8],
        names: &[Name<'_>],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Leaf, SignError> {
        if self.issuer.not_after() <= now {
            return Err(SignError::AuthorityExpired);
        }
        let not_after = (now + lifetime).min(self.issuer.not_after());
        encode::leaf(&self.issuer, public_key, names, now - CLOCK_SKEW, not_after)
    }

    fn chain(&self, leaf: &Leaf) -> IssuedChain {
        let before_the_roots = std::iter::once(&leaf.der).chain(&self.intermediates);
        let mut cert_chain: Vec<String> =
            before_the_roots.map(|der| encode::pem("CERTIFICATE", der)).collect();
        cert_chain.push(self.root_pem());
        IssuedChain {
            cert_chain,
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            serial: leaf.serial.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
