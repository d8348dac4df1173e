use tempfile::TempDir;

use super::*;
use crate::{AuthoritySettings, CertificateAuthority};

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn new_authority() -> (TempDir, CertificateAuthority) {
    let dir = tempfile::tempdir().unwrap();
    let settings = AuthoritySettings::new("cluster.local");
    let authority = CertificateAuthority::load_or_create(dir.path(), settings, now()).unwrap();
    (dir, authority)
}

fn identity() -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", "cart").unwrap()
}

fn chain(authority: &CertificateAuthority, key: &KeyAndCsr, lifetime: Duration) -> Vec<String> {
    authority.sign(key.csr_pem(), &identity(), lifetime, now()).unwrap().cert_chain
}

#[test]
fn a_certificate_knows_its_identity_and_times() {
    let (_dir, authority) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    let certificate = key.certificate(&chain(&authority, &key, HOUR), now()).unwrap();
    assert_eq!(certificate.identity(), &identity());
    assert_eq!(certificate.not_before(), now() - Duration::from_secs(120));
    assert_eq!(certificate.not_after(), now() + HOUR);
    assert_eq!(certificate.roots(), authority.roots());
    assert_eq!(certificate.chain().len(), 1);
    certificate.certified_key().keys_match().unwrap();
}

#[test]
fn a_root_among_the_intermediates_is_not_presented() {
    let (_dir, authority) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    let [leaf, root] = &chain(&authority, &key, HOUR)[..] else { panic!() };
    for answer in
        [vec![leaf.clone(), root.clone(), root.clone()], vec![leaf.clone() + root, root.clone()]]
    {
        assert_eq!(key.certificate(&answer, now()).unwrap().chain().len(), 1);
    }
}

#[test]
fn is_renewed_at_half_its_remaining_life() {
    let (_dir, authority) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    for (lifetime, jitter, expected) in [
        (HOUR, 0.0, 1800.0),
        (HOUR, 1.0, 1836.0),
        (HOUR, -1.0, 1764.0),
        (HOUR, 100.0, 1836.0),
        // Shorter than the two minutes by which certificates are dated back.
        (Duration::from_secs(10), 0.0, 5.0),
    ] {
        let certificate = key.certificate(&chain(&authority, &key, lifetime), now()).unwrap();
        let after = certificate.renew_at(jitter).duration_since(now()).unwrap().as_secs_f64();
        assert!((after - expected).abs() < 0.001, "{lifetime:?} {jitter}: {after}");
    }
}

#[test]
fn answers_that_no_peer_would_accept_are_refused() {
    let (_dir, authority) = new_authority();
    let (_other_dir, other) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    let good = chain(&authority, &key, HOUR);
    let refuse = |chain: &[String], at| key.certificate(chain, at).unwrap_err();

    let stranger = KeyAndCsr::generate().unwrap();
    let error = stranger.certificate(&good, now()).unwrap_err();
    assert!(matches!(error, CertificateError::WrongKey(_)), "{error}");

    let error = refuse(&[good[0].clone(), other.root_pem()], now());
    assert!(matches!(error, CertificateError::Unverifiable(_)), "{error}");
    for at in [now() + 2 * HOUR, now() - HOUR] {
        let error = refuse(&good, at);
        assert!(matches!(error, CertificateError::Unverifiable(_)), "{error}");
    }

    assert!(matches!(refuse(&[], now()), CertificateError::Incomplete(0)));
    let error = refuse(&good[..1], now());
    assert!(matches!(error, CertificateError::Incomplete(1)), "{error}");
    for chain in [
        [good[0].clone(), String::new()],
        [good[0].clone(), "no PEM".to_owned()],
        [String::new(), good[1].clone()],
        [key.csr_pem().to_owned(), good[1].clone()],
    ] {
        let error = refuse(&chain, now());
        assert!(matches!(error, CertificateError::Malformed(_)), "{error}");
    }
}

#[test]
fn a_certificate_for_a_server_is_no_workloads() {
    let (_dir, authority) = new_authority();
    let serving = authority.serving_certificate(&["istiod"], &[], HOUR, now()).unwrap();
    let roots = authority.roots().to_vec();
    let key = KeyPair::generate().unwrap();
    // The chain of the server with some key: refused for the key. There is no way to get at the
    // server's own, so the identity is asked for directly.
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let chain = serving.certified_key.cert.clone();
    let error = WorkloadCertificate::new(chain.clone(), roots, der, now()).unwrap_err();
    assert!(matches!(error, CertificateError::WrongKey(_)), "{error}");
    assert_eq!(peer_identity(&chain), None);
}

#[test]
fn a_successor_takes_over_where_its_predecessor_was() {
    let (_dir, authority) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    let certificate = key.certificate(&chain(&authority, &key, HOUR), now()).unwrap();
    let parcel = certificate.hand_over();

    let later = now() + Duration::from_secs(600);
    let taken = WorkloadCertificate::take_over(&parcel, later).unwrap();
    assert_eq!(taken.identity(), certificate.identity());
    assert_eq!(taken.chain(), certificate.chain());
    assert_eq!(taken.roots(), certificate.roots());
    assert_eq!(taken.renew_at(0.5), certificate.renew_at(0.5));
    taken.certified_key().keys_match().unwrap();

    let error = WorkloadCertificate::take_over(&parcel, now() + 2 * HOUR).unwrap_err();
    assert!(matches!(error, HandoverError::Unusable(_)), "{error}");
    for bytes in [&b""[..], b"{}", b"\xff", &parcel[..parcel.len() / 2]] {
        let error = WorkloadCertificate::take_over(bytes, later).unwrap_err();
        assert!(matches!(error, HandoverError::Malformed(_)), "{error}");
    }
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let (_dir, authority) = new_authority();
    let key = KeyAndCsr::generate().unwrap();
    let certificate = key.certificate(&chain(&authority, &key, HOUR), now()).unwrap();
    let shown = format!("{key:?} {certificate:?} {authority:?}");
    assert!(shown.contains("spiffe://cluster.local/ns/shop/sa/cart"), "{shown}");
    for secret in ["key:", "secret", "[48, "] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}
