use proptest::prelude::*;
use rustls_pki_types::pem::PemObject;

use super::*;
use crate::openssl::Openssl;

/// A self-signed certificate that OpenSSL makes of sections of its configuration.
fn certificate(openssl: &Openssl, subject: &str, names: &str) -> CertificateDer<'static> {
    let extensions = if names.is_empty() { "" } else { "x509_extensions = ext\n" };
    let names =
        if names.is_empty() { String::new() } else { format!("subjectAltName = {names}\n") };
    openssl.write(
        "cert.cnf",
        &format!(
            "[req]\nprompt = no\nutf8 = yes\nstring_mask = utf8only\ndistinguished_name = dn\n\
             {extensions}[dn]\n{subject}\n[ext]\n{names}"
        ),
    );
    openssl.run(
        "req -new -x509 -config cert.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
         -keyout key.pem -out cert.pem",
    );
    CertificateDer::from_pem_slice(openssl.read("cert.pem").as_bytes()).unwrap()
}

#[test]
fn reads_what_openssl_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = Openssl::in_dir(dir.path());
    let names = "URI:spiffe://td/ns/a/sa/b, DNS:a.example, DNS:*.b.example, IP:10.0.0.1, IP:2001:db8::1, email:x@y";
    let der = certificate(&openssl, "O = Example\nCN = a", names);
    let read = PeerCertificate::read(&der).unwrap();
    assert_eq!(read.uris, ["spiffe://td/ns/a/sa/b"]);
    assert_eq!(read.dns_names, ["a.example", "*.b.example"]);
    let addresses: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    assert_eq!(read.addresses, addresses);
    assert_eq!(read.identity().unwrap().as_str(), "spiffe://td/ns/a/sa/b");
    assert_eq!(peer_identity(std::slice::from_ref(&der)), read.identity());

    let printed = openssl.run("x509 -in cert.pem -noout -fingerprint -sha256");
    let fingerprint = printed.trim().rsplit_once('=').unwrap().1.replace(':', "").to_lowercase();
    assert_eq!(read.hash, fingerprint);
}

#[test]
fn subjects_are_written_as_openssl_writes_them() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = Openssl::in_dir(dir.path());
    for subject in [
        "CN = plain",
        "C = DE\nO = Example\nOU = one\nCN = name",
        "0.DC = com\n1.DC = example\nCN = two components",
        "O = with\\, comma + plus\nCN = \\\"quoted\\\" <angle>\\; back\\\\slash",
        "CN = \\#hash",
        "O = Zoë\nCN = Ünïcode 名",
        "CN = a\nemailAddress = a@b.example",
        "CN = a\nserialNumber = 7",
        "O = multi\n+CN = valued",
        "L = a\nST = b\nstreet = c\ntitle = d\nGN = e\nSN = f\nUID = g\norganizationIdentifier = h",
        "CN = a\n1.2.3.4.5 = unnamed",
    ] {
        let der = certificate(&openssl, subject, "");
        let printed = openssl.run("x509 -in cert.pem -noout -subject -nameopt RFC2253");
        let expected = printed.trim_end().strip_prefix("subject=").unwrap();
        assert_eq!(PeerCertificate::read(&der).unwrap().subject, expected, "{subject}");
    }
}

#[test]
fn only_a_single_spiffe_uri_is_an_identity() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = Openssl::in_dir(dir.path());
    for (names, identified) in [
        ("URI:spiffe://td/ns/a/sa/b", true),
        ("DNS:a, URI:spiffe://td/ns/a/sa/b", true),
        ("URI:spiffe://td/ns/a/sa/b, URI:spiffe://td/ns/c/sa/d", false),
        ("URI:spiffe://td/ns/a/sa/b, URI:https://example", false),
        ("URI:spiffe://td/workload", false),
        ("DNS:td", false),
        ("", false),
    ] {
        let der = certificate(&openssl, "CN = a", names);
        assert_eq!(peer_identity(&[der]).is_some(), identified, "{names}");
    }
}

#[test]
fn what_is_no_certificate_is_nobody() {
    for bytes in [&b""[..], b"0", &[0x30, 0x03, 0x02, 0x01, 0x00]] {
        let der = CertificateDer::from(bytes);
        assert_eq!(PeerCertificate::read(&der), None);
        assert_eq!(peer_identity(&[der]), None);
    }
    assert_eq!(peer_identity(&[]), None);
}

proptest! {
    #[test]
    fn a_damaged_certificate_does_no_harm(at in 0..400_usize, bits in 1..=255_u8, cut in 0..400_usize) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
            let dir = tempfile::tempdir().unwrap();
            let openssl = Openssl::in_dir(dir.path());
            certificate(&openssl, "O = Zoë\nCN = a", "URI:spiffe://td/ns/a/sa/b, IP:10.0.0.1").to_vec()
        });
        let mut damaged = WHOLE.clone();
        if let Some(byte) = damaged.get_mut(at) {
            *byte ^= bits;
        }
        let _ = PeerCertificate::read(&CertificateDer::from(&damaged[..]));
        let cut = CertificateDer::from(&WHOLE[..cut.min(WHOLE.len() - 1)]);
        prop_assert_eq!(PeerCertificate::read(&cut), None);
    }
}
