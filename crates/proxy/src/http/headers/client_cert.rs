//! `x-forwarded-client-cert`: whose certificate the client showed.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::connection::PeerCertificate;

/// The element that a sidecar appends for its mesh peer: hash, subject, URI and DNS names.
/// `by`: the identity of the certificate that we showed.
pub(in crate::http) fn forwarded_client_cert(
    by: &str,
    peer: &PeerCertificate,
) -> Option<HeaderValue> {
    let mut element = start(by, peer);
    push_names(&mut element, peer);
    HeaderValue::try_from(element).ok()
}

/// The value that a gateway sets for its client: as [`forwarded_client_cert`], with the whole
/// certificate.
pub(in crate::http) fn sanitized_client_cert(
    by: &str,
    peer: &PeerCertificate,
) -> Option<HeaderValue> {
    let mut element = start(by, peer);
    element.push_str(";Cert=\"");
    push_pem(&mut element, &peer.der);
    element.push('"');
    push_names(&mut element, peer);
    HeaderValue::try_from(element).ok()
}

fn start(by: &str, peer: &PeerCertificate) -> String {
    let mut element = String::with_capacity(256);
    if !by.is_empty() {
        element.push_str("By=");
        element.push_str(by);
        element.push(';');
    }
    element.push_str("Hash=");
    element.push_str(&peer.sha256);
    element
}

fn push_names(element: &mut String, peer: &PeerCertificate) {
    element.push_str(";Subject=\"");
    for character in peer.subject.chars() {
        if matches!(character, '"' | '\\') {
            element.push('\\');
        }
        element.push(character);
    }
    element.push('"');
    if peer.uri_sans.is_empty() {
        // Envoy names the key without a value.
        element.push_str(";URI=");
    }
    for uri in &peer.uri_sans {
        element.push_str(";URI=");
        element.push_str(uri);
    }
    for name in &peer.dns_sans {
        element.push_str(";DNS=");
        element.push_str(name);
    }
}

/// The certificate in PEM, percent-encoded.
fn push_pem(out: &mut String, der: &[u8]) {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    for byte in pem.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
