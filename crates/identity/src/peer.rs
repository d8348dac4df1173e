//! What is read out of a peer's certificate.

mod subject;

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::SpiffeId;

/// The facts of a peer's leaf certificate that policy, `x-forwarded-client-cert` and telemetry use.
///
/// Reading it verifies nothing: it is for certificates that a verifier has accepted already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The URI names, in their order.
    pub uris: Vec<String>,
    /// The DNS names, in their order.
    pub dns_names: Vec<String>,
    /// The address names, in their order.
    pub addresses: Vec<IpAddr>,
    /// The subject as RFC 2253 writes it (most specific part first); empty in mesh certificates.
    pub subject: String,
    /// SHA-256 over the certificate, 64 lower-case hexadecimal digits: XFCC's `Hash`.
    pub hash: String,
}

impl PeerCertificate {
    /// Reads a leaf certificate; `None` when it is no X.509 certificate.
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (rest, parsed) = X509Certificate::from_der(certificate).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut names = Names::default();
        names.read(&parsed)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        Some(Self {
            uris: names.uris,
            dns_names: names.dns_names,
            addresses: names.addresses,
            subject: subject::rfc2253(parsed.subject()),
            hash: hexadecimal(digest.as_ref()),
        })
    }

    /// The workload's identity: its only URI name, when that is a SPIFFE ID of Istio's form. Two
    /// URI names identify nobody (SPIFFE X.509-SVID, section 2).
    pub fn identity(&self) -> Option<SpiffeId> {
        single_identity(&self.uris)
    }
}

/// The identity in the leaf of a chain that a verifier has accepted; see
/// [`PeerCertificate::identity`].
pub fn peer_identity(chain: &[CertificateDer<'_>]) -> Option<SpiffeId> {
    single_identity(&Names::of(chain.first()?)?.uris)
}

/// The subject alternative names of a certificate.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) uris: Vec<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

impl Names {
    /// Reads them; `None` when the certificate or one of its names cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let mut names = Self::default();
        names.read(&parsed)?;
        Some(names)
    }

    fn read(&mut self, certificate: &X509Certificate<'_>) -> Option<()> {
        let Some(extension) = certificate.subject_alternative_name().ok()? else {
            return Some(());
        };
        for name in &extension.value.general_names {
            match name {
                GeneralName::URI(uri) => self.uris.push((*uri).to_owned()),
                GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(octets) => self.addresses.push(address(octets)?),
                GeneralName::Invalid(..) => return None,
                _ => {}
            }
        }
        Some(())
    }

    /// Whether one of the names, as text, is `expected`. Byte for byte, but for the case of DNS
    /// names and the spelling of addresses.
    pub(crate) fn contains(&self, expected: &str) -> bool {
        self.uris.iter().any(|uri| uri == expected)
            || self.dns_names.iter().any(|name| name.eq_ignore_ascii_case(expected))
            || expected.parse().is_ok_and(|address: IpAddr| self.addresses.contains(&address))
    }
}

fn single_identity(uris: &[String]) -> Option<SpiffeId> {
    let [uri] = uris else { return None };
    uri.parse().ok()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

#[cfg(test)]
mod tests;
