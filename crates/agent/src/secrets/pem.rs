//! Binary objects as text, RFC 7468.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Characters of a line.
const LINE: usize = 64;

/// All of them, one after the other.
pub(super) fn encode_all(label: &str, objects: &[impl AsRef<[u8]>]) -> String {
    objects.iter().map(|object| encode(label, object.as_ref())).collect()
}

/// One object.
pub(super) fn encode(label: &str, object: &[u8]) -> String {
    let base64 = STANDARD.encode(object);
    let mut text = format!("-----BEGIN {label}-----\n");
    for (index, character) in base64.chars().enumerate() {
        if index > 0 && index % LINE == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let objects: Vec<Vec<u8>> = [0, 1, 47, 48, 49, 500].map(|size| vec![7; size]).into();
        let text = encode_all("CERTIFICATE", &objects);
        assert!(text.lines().all(|line| line.len() <= LINE), "{text}");
        let read: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| certificate.unwrap().to_vec())
            .collect();
        assert_eq!(read, objects);
    }
}
