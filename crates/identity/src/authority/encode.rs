//! Encoding a leaf certificate.
//!
//! rcgen makes keys, requests and our own root, but keeps a distinguished name as a map: a plugged-in
//! issuer named `DC=example, DC=com` would come out as another name, and the chain would be broken.
//! Here the issuer's name is copied byte for byte from its certificate.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use yasna::models::{GeneralizedTime, ObjectIdentifier, UTCTime};
use yasna::{DERWriter, DERWriterSeq, Tag};

use super::SignError;
use super::issuer::Issuer;
use crate::peer::hexadecimal;

/// How far `notBefore` lies before the issue, so that a peer whose clock is behind accepts the
/// certificate (Istio's `workloadCertClockSkew`).
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);

const SUBJECT_ALTERNATIVE_NAME: &[u64] = &[2, 5, 29, 17];
const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const AUTHORITY_KEY_IDENTIFIER: &[u64] = &[2, 5, 29, 35];
const SERVER_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const CLIENT_AUTH: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];
/// `digitalSignature` and `keyEncipherment`: bits 0 and 2 of a bit string of 3.
const SIGN_AND_ENCIPHER: (u8, usize) = (0b1010_0000, 3);

/// A subject alternative name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Uri(&'a str),
    Dns(&'a str),
    Address(IpAddr),
}

/// A certificate that was just signed.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) der: CertificateDer<'static>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) serial: String,
}

/// Signs a certificate for a public key (an encoded `SubjectPublicKeyInfo`): empty subject, the
/// names critical, usable on both ends of TLS and for nothing else. Times are cut to whole seconds.
pub(super) fn leaf(
    issuer: &Issuer,
    public_key: &[u8],
    names: &[Name<'_>],
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<Leaf, SignError> {
    let mut serial = [0; 16];
    SystemRandom::new()
        .fill(&mut serial)
        .map_err(|_| SignError::Cryptography("no random numbers".to_owned()))?;
    let not_before = whole_seconds(not_before)?;
    let not_after = whole_seconds(not_after)?;
    let body = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_tagged(Tag::context(0), |writer| writer.write_u8(2));
            writer.next().write_bigint_bytes(&serial, true);
            writer.next().write_der(issuer.signature_algorithm());
            writer.next().write_der(issuer.subject());
            writer.next().write_sequence(|writer| {
                write_time(writer.next(), not_before);
                write_time(writer.next(), not_after);
            });
            writer.next().write_sequence(|_| {});
            writer.next().write_der(public_key);
            writer.next().write_tagged(Tag::context(3), |writer| {
                writer.write_sequence(|writer| write_extensions(writer, issuer, names));
            });
        });
    });
    let signature = issuer.sign(&body)?;
    let der = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_der(&body);
            writer.next().write_der(issuer.signature_algorithm());
            writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
        });
    });
    Ok(Leaf {
        der: der.into(),
        not_before: not_before.into(),
        not_after: not_after.into(),
        serial: hexadecimal(&serial),
    })
}

/// One PEM section.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().copied().map(char::from));
        out.push('\n');
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

fn write_extensions(writer: &mut DERWriterSeq<'_>, issuer: &Issuer, names: &[Name<'_>]) {
    write_extension(writer.next(), KEY_USAGE, true, |writer| {
        let (bits, length) = SIGN_AND_ENCIPHER;
        writer.write_bitvec_bytes(&[bits], length);
    });
    write_extension(writer.next(), EXTENDED_KEY_USAGE, false, |writer| {
        writer.write_sequence(|writer| {
            for usage in [SERVER_AUTH, CLIENT_AUTH] {
                writer.next().write_oid(&ObjectIdentifier::from_slice(usage));
            }
        });
    });
    write_extension(writer.next(), BASIC_CONSTRAINTS, true, |writer| {
        writer.write_sequence(|_| {});
    });
    if let Some(key_identifier) = issuer.key_identifier() {
        write_extension(writer.next(), AUTHORITY_KEY_IDENTIFIER, false, |writer| {
            writer.write_sequence(|writer| {
                let writer = writer.next();
                writer.write_tagged_implicit(Tag::context(0), |writer| {
                    writer.write_bytes(key_identifier);
                });
            });
        });
    }
    write_extension(writer.next(), SUBJECT_ALTERNATIVE_NAME, true, |writer| {
        writer.write_sequence(|writer| names.iter().for_each(|name| name.write(writer.next())));
    });
}

impl Name<'_> {
    fn write(self, writer: DERWriter<'_>) {
        let (tag, contents): (u64, &[u8]) = match &self {
            Self::Dns(name) => (2, name.as_bytes()),
            Self::Uri(uri) => (6, uri.as_bytes()),
            Self::Address(IpAddr::V4(address)) => (7, &address.octets()),
            Self::Address(IpAddr::V6(address)) => (7, &address.octets()),
        };
        writer.write_tagged_implicit(Tag::context(tag), |writer| writer.write_bytes(contents));
    }
}

fn write_extension(
    writer: DERWriter<'_>,
    identifier: &[u64],
    critical: bool,
    contents: impl FnOnce(DERWriter<'_>),
) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&ObjectIdentifier::from_slice(identifier));
        if critical {
            writer.next().write_bool(true);
        }
        writer.next().write_bytes(&yasna::construct_der(contents));
    });
}

/// `UTCTime` until 2049, `GeneralizedTime` from then on (RFC 5280, section 4.1.2.5).
fn write_time(writer: DERWriter<'_>, time: OffsetDateTime) {
    if (1950..2050).contains(&time.year()) {
        writer.write_utctime(&UTCTime::from_datetime(time));
    } else {
        writer.write_generalized_time(&GeneralizedTime::from_datetime(time));
    }
}

fn whole_seconds(time: SystemTime) -> Result<OffsetDateTime, SignError> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or_else(|| SignError::Cryptography("the clock is beyond the year 9999".to_owned()))
}
