//! Certificates of scenarios: for the servers and clients that are not of the mesh.

use std::collections::BTreeMap;

use anyhow::Context;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Names that begin so are certified by the other authority, `foreign-ca.crt`.
const FOREIGN: &str = "foreign.";

/// Two authorities: one that scenarios trust, and one that they do not.
pub struct Certificates {
    ours: Authority,
    foreign: Authority,
    /// Key and certificate by name, once they were made.
    made: BTreeMap<String, (String, String)>,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }
}

impl Certificates {
    /// Makes the authorities.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn new() -> anyhow::Result<Self> {
        let ours = Authority::new("bed")?;
        Ok(Self { ours, foreign: Authority::new("foreign")?, made: BTreeMap::new() })
    }

    /// The files for these names: `NAME.crt` and `NAME.key` for each, `ca.crt`, `foreign-ca.crt`.
    ///
    /// # Errors
    /// When a name is none that a certificate can have.
    pub fn files(&mut self, names: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::from([
            ("ca.crt".to_owned(), self.ours.pem.clone()),
            ("foreign-ca.crt".to_owned(), self.foreign.pem.clone()),
        ]);
        for name in names {
            let (certificate, key) = self.certificate(name).with_context(|| name.clone())?;
            files.insert(format!("{name}.crt"), certificate);
            files.insert(format!("{name}.key"), key);
        }
        Ok(files)
    }

    fn certificate(&mut self, name: &str) -> anyhow::Result<(String, String)> {
        if let Some(made) = self.made.get(name) {
            return Ok(made.clone());
        }
        let authority = if name.starts_with(FOREIGN) { &self.foreign } else { &self.ours };
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &authority.issuer)?.pem();
        let made = (certificate, key.serialize_pem());
        self.made.insert(name.to_owned(), made.clone());
        Ok(made)
    }
}
