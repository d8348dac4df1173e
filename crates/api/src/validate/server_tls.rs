//! TLS settings of servers: Gateways' and, with narrower rules, Sidecars'.

use std::collections::BTreeSet;

use super::Validator;
use crate::diagnostic::Code;
use crate::networking::{ServerTlsMode, ServerTlsSettings, TlsCertificate, TlsProtocol};

/// The cipher suites that may be chosen for TLS 1.2, in OpenSSL's spelling.
const CIPHER_SUITES: [&str; 14] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
];

pub(super) fn server_tls(v: &mut Validator, tls: &ServerTlsSettings) {
    check_sources(v, tls);
    match tls.mode {
        ServerTlsMode::Simple => {
            if !tls.https_redirect || has_any_certificate(tls) {
                needs_certificate(v, tls);
            }
        }
        ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual => {
            needs_certificate(v, tls);
            needs_ca(v, tls);
        }
        ServerTlsMode::IstioMutual => takes_no_certificate(v, tls),
        ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough => {
            if has_any_certificate(tls) {
                let message = "TLS passes through, so certificates are not looked at";
                v.field("mode", |v| v.warn(Code::NoEffect, message));
            }
        }
    }
    let verifies = matches!(tls.mode, ServerTlsMode::Mutual | ServerTlsMode::OptionalMutual);
    if !tls.ca_crl.is_empty() && !verifies {
        v.conflict("caCrl", "revocation needs clients to show certificates");
    }
    check_versions(v, tls);
    cipher_suites(v, &tls.cipher_suites);
}

fn has_credential(tls: &ServerTlsSettings) -> bool {
    !tls.credential_name.is_empty() || !tls.credential_names.is_empty()
}

fn has_any_certificate(tls: &ServerTlsSettings) -> bool {
    has_credential(tls) || !tls.server_certificate.is_empty() || !tls.tls_certificates.is_empty()
}

/// The certificate comes from one place.
fn check_sources(v: &mut Validator, tls: &ServerTlsSettings) {
    let files = !tls.server_certificate.is_empty() && !tls.private_key.is_empty();
    let places = [
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
        ("serverCertificate", files),
    ];
    let set: Vec<&str> = places.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
    if let [first, others @ ..] = set.as_slice() {
        for other in others {
            v.conflict(other, format!("`{other}` excludes `{first}`"));
        }
    }
    for (name, count) in [
        ("credentialNames", tls.credential_names.len()),
        ("tlsCertificates", tls.tls_certificates.len()),
    ] {
        if count > 2 {
            v.check_field(name, Err("at most two, one RSA and one ECDSA".to_owned()));
        }
    }
}

fn needs_certificate(v: &mut Validator, tls: &ServerTlsSettings) {
    let mode = tls.mode;
    if has_credential(tls) {
        return;
    }
    if !tls.tls_certificates.is_empty() {
        v.each("tlsCertificates", &tls.tls_certificates, |v, it: &TlsCertificate| {
            files(v, &it.server_certificate, &it.private_key, mode);
        });
        return;
    }
    files(v, &tls.server_certificate, &tls.private_key, mode);
}

fn files(v: &mut Validator, certificate: &str, key: &str, mode: ServerTlsMode) {
    for (name, file) in [("serverCertificate", certificate), ("privateKey", key)] {
        if file.is_empty() {
            v.missing(name, format!("{mode} needs it, or `credentialName`"));
        }
    }
}

fn needs_ca(v: &mut Validator, tls: &ServerTlsSettings) {
    let from_files = tls.ca_certificates.is_empty() && tls.ca_cert_credential_name.is_empty();
    if from_files && !has_credential(tls) {
        v.missing("caCertificates", format!("{} needs it, or `credentialName`", tls.mode));
    }
}

fn takes_no_certificate(v: &mut Validator, tls: &ServerTlsSettings) {
    let message = "ISTIO_MUTUAL uses the workload's own certificate";
    for (name, set) in [
        ("serverCertificate", !tls.server_certificate.is_empty()),
        ("privateKey", !tls.private_key.is_empty()),
        ("caCertificates", !tls.ca_certificates.is_empty()),
        ("credentialName", !tls.credential_name.is_empty()),
        ("credentialNames", !tls.credential_names.is_empty()),
        ("tlsCertificates", !tls.tls_certificates.is_empty()),
    ] {
        if set {
            v.conflict(name, message);
        }
    }
}

fn check_versions(v: &mut Validator, tls: &ServerTlsSettings) {
    let both = tls.min_protocol_version != TlsProtocol::TlsAuto
        && tls.max_protocol_version != TlsProtocol::TlsAuto;
    if both && tls.min_protocol_version > tls.max_protocol_version {
        let message = format!(
            "{} is older than the lowest version, {}",
            tls.max_protocol_version, tls.min_protocol_version
        );
        v.field("maxProtocolVersion", |v| v.error(Code::Inconsistent, message));
    }
}

/// A suite that is not known is left out, so that the others still work.
fn cipher_suites(v: &mut Validator, suites: &[String]) {
    let mut seen = BTreeSet::new();
    v.each("cipherSuites", suites, |v, suite| {
        if !CIPHER_SUITES.contains(&suite.as_str()) {
            v.warn(Code::NoEffect, format!("`{suite}` is not a cipher suite and is left out"));
        } else if !seen.insert(suite.clone()) {
            v.warn(Code::NoEffect, format!("`{suite}` is named twice"));
        }
    });
}
