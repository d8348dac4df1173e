use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use rustls_pki_types::pem::PemObject;
use tempfile::TempDir;

use super::*;
use crate::openssl::Openssl;
use crate::workload::KeyAndCsr;
use crate::{PeerCertificate, WorkloadCertificate};

mod cacerts;

const HOUR: Duration = Duration::from_secs(3600);

type Data = BTreeMap<String, Vec<u8>>;

fn settings() -> AuthoritySettings {
    AuthoritySettings::new("cluster.local")
}

fn now() -> SystemTime {
    // OpenSSL verifies with its own clock.
    SystemTime::now()
}

fn identity() -> SpiffeId {
    SpiffeId::new("cluster.local", "shop", "cart").unwrap()
}

fn new_authority() -> (TempDir, CertificateAuthority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap();
    (dir, authority)
}

/// A new key and a certificate for it.
fn workload(authority: &CertificateAuthority) -> (IssuedChain, WorkloadCertificate) {
    let key = KeyAndCsr::generate().unwrap();
    let issued = authority.sign(key.csr_pem(), &identity(), HOUR, now()).unwrap();
    let certificate = key.certificate(&issued.cert_chain, now()).unwrap();
    (issued, certificate)
}

/// Splits a chain into the files `leaf.pem`, `intermediates.pem` and `roots.pem`.
fn write_chain(openssl: &Openssl, chain: &[String]) {
    openssl.write("leaf.pem", &chain[0]);
    openssl.write("intermediates.pem", &chain[1..chain.len() - 1].concat());
    openssl.write("roots.pem", chain.last().unwrap());
}

/// What OpenSSL says of a chain on both ends of TLS.
fn openssl_verifies(openssl: &Openssl, chain: &[String]) {
    write_chain(openssl, chain);
    let intermediates = if chain.len() > 2 { "-untrusted intermediates.pem " } else { "" };
    for purpose in ["sslserver", "sslclient"] {
        let command = format!(
            "verify -x509_strict -purpose {purpose} -CAfile roots.pem {intermediates}leaf.pem"
        );
        assert_eq!(openssl.run(&command), "leaf.pem: OK\n");
    }
}

#[test]
fn openssl_reads_a_certificate_as_istios_are() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    let (issued, _) = workload(&authority);
    assert_eq!(issued.cert_chain.len(), 2);
    openssl_verifies(&openssl, &issued.cert_chain);

    let text = openssl.run("x509 -in leaf.pem -noout -text");
    for expected in [
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Issuer: O = cluster.local",
        "Subject: \n",
        "X509v3 Key Usage: critical\n                Digital Signature, Key Encipherment\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication, TLS Web Client Authentication\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE\n",
        "X509v3 Subject Alternative Name: critical\n                URI:spiffe://cluster.local/ns/shop/sa/cart\n",
        "X509v3 Authority Key Identifier: ",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let serial = openssl.run("x509 -in leaf.pem -noout -serial");
    let printed = serial.trim_end().strip_prefix("serial=").unwrap().to_lowercase();
    assert_eq!(printed.trim_start_matches('0'), issued.serial.trim_start_matches('0'));
}

#[test]
fn openssl_reads_the_root() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    assert_eq!(openssl.read("root-cert.pem"), authority.root_pem());
    assert_eq!(
        openssl.run("verify -x509_strict -CAfile root-cert.pem root-cert.pem"),
        "root-cert.pem: OK\n"
    );
    let text = openssl.run("x509 -in root-cert.pem -noout -text");
    for expected in [
        "Subject: O = cluster.local\n",
        "CA:TRUE",
        "Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let days = |count: u64| count * 24 * 3600;
    let ends_within =
        |seconds: u64| !openssl.attempt(&format!("x509 -in root-cert.pem -checkend {seconds}")).0;
    assert!(ends_within(days(3651)));
    assert!(!ends_within(days(3649)));
}

#[test]
fn lifetimes_follow_the_rules() {
    let (_dir, authority) = new_authority();
    let csr = KeyAndCsr::generate().unwrap();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now_seconds());
    let sign = |requested, at| authority.sign(csr.csr_pem(), &identity(), requested, at);
    for (requested, expected) in [
        (Duration::ZERO, DAY),
        (HOUR, HOUR),
        (Duration::from_secs(5), Duration::from_secs(5)),
        (90 * DAY, 90 * DAY),
    ] {
        let issued = sign(requested, now).unwrap();
        assert_eq!(issued.not_before, now - Duration::from_secs(120));
        assert_eq!(issued.not_after, now + expected, "{requested:?}");
    }
    let too_long = 90 * DAY + Duration::from_secs(1);
    assert_eq!(
        sign(too_long, now).unwrap_err(),
        SignError::LifetimeTooLong { requested: too_long, longest: 90 * DAY }
    );
    let late = authority.not_after() - HOUR;
    assert_eq!(sign(DAY, late).unwrap().not_after, authority.not_after());
    assert_eq!(sign(DAY, authority.not_after()), Err(SignError::AuthorityExpired));
}

fn now_seconds() -> u64 {
    now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn serial_numbers_differ() {
    let (_dir, authority) = new_authority();
    let csr = KeyAndCsr::generate().unwrap();
    let serial = || authority.sign(csr.csr_pem(), &identity(), HOUR, now()).unwrap().serial;
    assert_ne!(serial(), serial());
}

#[test]
fn a_request_for_another_identity_gets_its_own() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    openssl.write(
        "request.cnf",
        "[req]\nprompt = no\ndistinguished_name = dn\nreq_extensions = ext\n\
         [dn]\nO = attacker\nCN = istiod.istio-system.svc\n\
         [ext]\nsubjectAltName = URI:spiffe://cluster.local/ns/istio-system/sa/istiod, DNS:istiod\n\
         basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\n1.2.3.4 = critical, ASN1:NULL\n",
    );
    openssl
        .run("req -new -config request.cnf -newkey rsa:2048 -nodes -keyout key.pem -out csr.pem");
    let issued = authority.sign(&openssl.read("csr.pem"), &identity(), HOUR, now()).unwrap();
    openssl_verifies(&openssl, &issued.cert_chain);

    let leaf = CertificateDer::from_pem_slice(issued.cert_chain[0].as_bytes()).unwrap();
    let read = PeerCertificate::read(&leaf).unwrap();
    assert_eq!(read.identity(), Some(identity()));
    assert_eq!(read.uris, ["spiffe://cluster.local/ns/shop/sa/cart"]);
    assert_eq!(read.dns_names, [""; 0]);
    assert_eq!(read.subject, "");
    let text = openssl.run("x509 -in leaf.pem -noout -text");
    assert!(text.contains("CA:FALSE") && !text.contains("Certificate Sign"), "{text}");
    assert!(!text.contains("1.2.3.4"), "{text}");
}

#[test]
fn strong_keys_of_every_kind_are_certified() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    for (key, digest) in [
        ("rsa:2048", "-sha256"),
        ("rsa:3072", "-sha512"),
        ("ec -pkeyopt ec_paramgen_curve:P-256", "-sha256"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha384"),
        ("ec -pkeyopt ec_paramgen_curve:P-384", "-sha256"),
    ] {
        openssl.run(&format!(
            "req -new -subj / -newkey {key} {digest} -nodes -keyout key.pem -out csr.pem"
        ));
        let signed = authority.sign(&openssl.read("csr.pem"), &identity(), HOUR, now());
        let issued = signed.unwrap_or_else(|error| panic!("{key} {digest}: {error}"));
        openssl_verifies(&openssl, &issued.cert_chain);
        assert_eq!(
            openssl.run("x509 -in leaf.pem -noout -pubkey"),
            openssl.run("pkey -in key.pem -pubout"),
            "{key}"
        );
    }
}

#[test]
fn weak_keys_are_refused() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    for (key, expected) in [
        ("rsa:1024", WeakKey::RsaBits(1024)),
        ("rsa:2040", WeakKey::RsaBits(2040)),
        ("ec -pkeyopt ec_paramgen_curve:P-521", WeakKey::Curve),
        ("ec -pkeyopt ec_paramgen_curve:P-224", WeakKey::Curve),
        ("ec -pkeyopt ec_paramgen_curve:secp256k1", WeakKey::Curve),
        ("ed25519", WeakKey::Kind),
    ] {
        openssl.run(&format!("req -new -subj / -newkey {key} -nodes -keyout key.pem -out csr.pem"));
        let refused = authority.sign(&openssl.read("csr.pem"), &identity(), HOUR, now());
        assert_eq!(refused, Err(SignError::WeakKey(expected)), "{key}");
    }
}

#[test]
fn requests_that_prove_nothing_are_refused() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    let sign = |csr: &str| authority.sign(csr, &identity(), HOUR, now());

    let good = KeyAndCsr::generate().unwrap();
    let other = KeyAndCsr::generate().unwrap();
    let der = |csr: &KeyAndCsr| {
        rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(csr.csr_pem().as_bytes())
            .unwrap()
            .to_vec()
    };
    // The body of one request with the last byte of another's signature.
    let mut changed = der(&good);
    *changed.last_mut().unwrap() = der(&other).last().unwrap() ^ 0x55;
    let changed = encode::pem("CERTIFICATE REQUEST", &changed);
    assert_eq!(sign(&changed), Err(SignError::BadSignature));

    let followed = [der(&good), vec![0]].concat();
    openssl.run("req -new -x509 -subj / -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem");
    openssl.run("req -new -subj / -key key.pem -sha1 -out sha1.pem");
    for malformed in [
        "",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        &encode::pem("CERTIFICATE REQUEST", &followed),
        &openssl.read("cert.pem"),
        &openssl.read("key.pem"),
        &openssl.read("sha1.pem"),
        &"x".repeat(100_000),
    ] {
        let refused = sign(malformed);
        assert!(matches!(refused, Err(SignError::Malformed(_))), "{malformed}: {refused:?}");
    }
}

#[test]
fn the_root_is_the_same_after_a_restart_and_its_key_is_for_its_owner_only() {
    let (dir, first) = new_authority();
    let second = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap();
    assert_eq!(first.roots(), second.roots());
    let key = dir.path().join("ca-key.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn authorities_that_start_at_once_agree() {
    let dir = tempfile::tempdir().unwrap();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let start = || {
            let path = dir.path();
            scope.spawn(move || CertificateAuthority::load_or_create(path, settings(), now()))
        };
        let threads: Vec<_> = (0..6).map(|_| start()).collect();
        threads.into_iter().map(|it| it.join().unwrap().unwrap().root_pem()).collect()
    });
    for root in &roots {
        assert_eq!(root, &roots[0]);
    }
    let kept = fs::read_to_string(dir.path().join("root-cert.pem")).unwrap();
    assert_eq!(kept, roots[0]);
}

#[test]
fn a_lost_key_is_not_papered_over_but_a_lost_root_is_made_again() {
    let (dir, authority) = new_authority();
    let root = dir.path().join("root-cert.pem");
    let (issued, _) = workload(&authority);
    fs::remove_file(&root).unwrap();
    let again = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap();
    let openssl = Openssl::in_dir(dir.path());
    openssl_verifies(&openssl, &[issued.cert_chain[0].clone(), again.root_pem()]);

    fs::remove_file(dir.path().join("ca-key.pem")).unwrap();
    let error = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap_err();
    assert!(matches!(error, AuthorityError::KeyLost { .. }), "{error}");
}

#[test]
fn another_meshs_root_does_not_fit_the_key() {
    let (dir, _) = new_authority();
    let (other, _) = new_authority();
    fs::copy(other.path().join("root-cert.pem"), dir.path().join("root-cert.pem")).unwrap();
    let error = CertificateAuthority::load_or_create(dir.path(), settings(), now()).unwrap_err();
    assert!(matches!(error, AuthorityError::KeyMismatch { .. }), "{error}");
}

#[test]
fn the_root_is_renewed_with_the_same_key_before_it_ends() {
    let (dir, first) = new_authority();
    let root_life = settings().root_lifetime;
    let renew = |at| CertificateAuthority::load_or_create(dir.path(), settings(), at).unwrap();
    assert_eq!(renew(now() + root_life.mul_f64(0.79)).roots(), first.roots());

    let later = now() + root_life.mul_f64(0.81);
    let renewed = renew(later);
    assert_ne!(renewed.roots(), first.roots());
    assert!(renewed.not_after() >= later + root_life - Duration::from_secs(1));
    assert_eq!(renew(later).roots(), renewed.roots());

    // Who holds the old root accepts what the renewed authority signs, and the other way round.
    let key = KeyAndCsr::generate().unwrap();
    let sign = |authority: &CertificateAuthority, at| {
        authority.sign(key.csr_pem(), &identity(), HOUR, at).unwrap().cert_chain[0].clone()
    };
    for (leaf, root, at) in [
        (sign(&renewed, later), first.root_pem(), later),
        (sign(&first, later), renewed.root_pem(), later),
    ] {
        key.certificate(&[leaf, root], at).unwrap();
    }
}

#[test]
fn a_secret_is_renewed_in_time_and_keeps_its_former_root_while_that_is_valid() {
    let place = Path::new("secret/istio-system/istio-ca-secret");
    let life = settings().root_lifetime;
    let renew = |data: &Data, at| {
        CertificateAuthority::renewed_secret(data, place, &settings(), at).unwrap()
    };
    let load = |data: &Data, at| {
        let mut data = data.clone();
        let root = data["ca-cert.pem"].clone();
        data.entry("root-cert.pem".to_owned()).or_insert(root);
        CertificateAuthority::of_secret(&data, place, settings(), at).unwrap()
    };
    let first = CertificateAuthority::make_secret(&settings(), now()).unwrap();
    assert_eq!(renew(&first, now() + life.mul_f64(0.79)), None);

    let later = now() + life.mul_f64(0.81);
    let second = renew(&first, later).expect("it is due");
    assert_eq!(second["ca-key.pem"], first["ca-key.pem"]);
    assert_eq!(renew(&second, later), None, "nothing is due any more");
    let (before, after) = (load(&first, later), load(&second, later));
    assert!(after.not_after() >= later + life - Duration::from_secs(1));
    assert_eq!(after.roots().len(), 2);
    assert_eq!(after.roots()[1], before.roots()[0]);

    // Whoever holds the old root alone, the new one alone or both accepts what either signs.
    let key = KeyAndCsr::generate().unwrap();
    let leaf = |authority: &CertificateAuthority| {
        authority.sign(key.csr_pem(), &identity(), HOUR, later).unwrap().cert_chain[0].clone()
    };
    let new = String::from_utf8(second["ca-cert.pem"].clone()).unwrap();
    for leaf in [leaf(&before), leaf(&after)] {
        for roots in [before.root_pem(), new.clone(), after.root_pem()] {
            key.certificate(&[leaf.clone(), roots], later).unwrap();
        }
    }

    let end = now() + life + Duration::from_secs(1);
    let third = renew(&second, end).expect("a root has ended");
    assert_eq!(third["ca-cert.pem"], second["ca-cert.pem"]);
    assert_eq!(load(&third, end).roots(), &after.roots()[..1]);
}

#[test]
fn openssl_accepts_the_serving_certificate_for_its_names() {
    let (dir, authority) = new_authority();
    let openssl = Openssl::in_dir(dir.path());
    let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let names = ["istiod.istio-system.svc", "localhost"];
    let serving = authority.serving_certificate(&names, &addresses, DAY, now()).unwrap();
    let leaf = encode::pem("CERTIFICATE", &serving.certified_key.cert[0]);
    openssl_verifies(&openssl, &[leaf, authority.root_pem()]);
    for (check, fits) in [
        ("-verify_hostname istiod.istio-system.svc", true),
        ("-verify_hostname localhost", true),
        ("-verify_ip 127.0.0.1", true),
        ("-verify_ip ::1", true),
        ("-verify_hostname other", false),
        ("-verify_ip 127.0.0.2", false),
    ] {
        let (verified, said) =
            openssl.attempt(&format!("verify -CAfile roots.pem {check} leaf.pem"));
        assert_eq!(verified, fits, "{check}: {said}");
    }
}

/// Whether a proxy would accept what an authority signs.
fn works(authority: &CertificateAuthority, dir: &Path) {
    let (issued, certificate) = workload(authority);
    assert_eq!(certificate.identity(), &identity());
    openssl_verifies(&Openssl::in_dir(dir), &issued.cert_chain);
}

proptest! {
    /// The signature covers the request but for a few bits that say nothing, such as the padding of
    /// a length; so a changed request is refused or means the same.
    #[test]
    fn a_damaged_request_is_refused_or_gets_the_same_key(at in 0..300_usize, bits in 1..=255_u8) {
        static FIXTURE: std::sync::LazyLock<(CertificateAuthority, Vec<u8>, Vec<u8>)> =
            std::sync::LazyLock::new(|| {
                let (_dir, authority) = new_authority();
                let csr = KeyAndCsr::generate().unwrap();
                let key = request::public_key(csr.csr_pem()).unwrap();
                let der = rustls_pki_types::CertificateSigningRequestDer::from_pem_slice(
                    csr.csr_pem().as_bytes(),
                );
                (authority, der.unwrap().to_vec(), key)
            });
        let (authority, whole, key) = &*FIXTURE;
        let mut damaged = whole.clone();
        let at = at % damaged.len();
        damaged[at] ^= bits;
        let pem = encode::pem("CERTIFICATE REQUEST", &damaged);
        if authority.sign(&pem, &identity(), HOUR, now()).is_ok() {
            prop_assert_eq!(&request::public_key(&pem).unwrap(), key);
        }
    }
}
