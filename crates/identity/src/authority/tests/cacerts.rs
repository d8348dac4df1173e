//! Plugged-in authorities, made by OpenSSL.

use super::*;

const EXTENSIONS: &str = "[ca]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign\n\
    subjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n\
    [bare]\nbasicConstraints = critical, CA:TRUE\n\
    [leaf]\nbasicConstraints = critical, CA:FALSE\n\
    [nosign]\nbasicConstraints = critical, CA:TRUE\nkeyUsage = critical, digitalSignature\n\
    [req]\ndistinguished_name = dn\n[dn]\n";

const RSA: &str = "rsa -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";

/// A folder in which OpenSSL makes a hierarchy.
struct Folder {
    dir: TempDir,
    openssl: Openssl,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let openssl = Openssl::in_dir(dir.path());
        openssl.write("ext.cnf", EXTENSIONS);
        Self { dir, openssl }
    }

    fn key(&self, name: &str, algorithm: &str) {
        self.openssl.run(&format!("genpkey -algorithm {algorithm} -out {name}.key"));
    }

    /// A self-signed certificate `name.pem` with key `name.key`.
    fn root(&self, name: &str, algorithm: &str) {
        self.key(name, algorithm);
        self.openssl.run(&format!(
            "req -new -x509 -config ext.cnf -extensions ca -subj /O=Example/CN={name} -days 3650 \
             -key {name}.key -out {name}.pem"
        ));
    }

    /// A certificate `name.pem` with key `name.key`, signed by `issuer`.
    fn intermediate(&self, name: &str, algorithm: &str, issuer: &str, how: &str) {
        self.key(name, algorithm);
        // Two domain components: the kind of name that must be copied byte for byte.
        self.openssl.run(&format!(
            "req -new -config ext.cnf -subj /DC=com/DC=example/CN={name} -key {name}.key -out {name}.csr"
        ));
        self.openssl.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial \
             -extfile ext.cnf {how} -out {name}.pem"
        ));
    }

    /// Puts files, each the concatenation of others, where an authority looks for them.
    fn plug_in(&self, files: &[(&str, &[&str])]) {
        let target = self.dir.path().join("cacerts");
        fs::create_dir_all(&target).unwrap();
        for (name, parts) in files {
            let contents: String = parts.iter().map(|part| self.openssl.read(part)).collect();
            fs::write(target.join(name), contents).unwrap();
        }
    }

    fn load(&self) -> Result<CertificateAuthority, AuthorityError> {
        CertificateAuthority::load_or_create(self.dir.path(), settings(), now())
    }
}

const SIGNED: &str = "-extensions ca -days 730";

#[test]
fn an_intermediate_of_any_kind_under_istios_names() {
    for (root, intermediate) in [(RSA, RSA), (P256, P384), (RSA, P256), (P384, RSA)] {
        let folder = Folder::new();
        folder.root("root", root);
        folder.intermediate("ca", intermediate, "root", SIGNED);
        folder.plug_in(&[
            ("ca-cert.pem", &["ca.pem"]),
            ("ca-key.pem", &["ca.key"]),
            ("root-cert.pem", &["root.pem"]),
            ("cert-chain.pem", &["ca.pem", "root.pem"]),
        ]);
        let authority = folder.load().unwrap();
        works(&authority, folder.dir.path());
        let (issued, _) = workload(&authority);
        let certificate = |name: &str| {
            let pem = folder.openssl.read(name);
            encode::pem("CERTIFICATE", &CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        };
        assert_eq!(issued.cert_chain[1..], [certificate("ca.pem"), certificate("root.pem")]);
        assert_eq!(folder.openssl.read("root-cert.pem"), certificate("root.pem"));
    }
}

#[test]
fn two_intermediates_and_two_roots_under_the_names_of_a_tls_secret() {
    let folder = Folder::new();
    folder.root("root", P256);
    folder.root("other", RSA);
    folder.intermediate("middle", RSA, "root", SIGNED);
    folder.intermediate("ca", P256, "middle", SIGNED);
    folder.plug_in(&[
        ("tls.crt", &["ca.pem", "middle.pem"]),
        ("tls.key", &["ca.key"]),
        ("ca.crt", &["root.pem", "other.pem"]),
    ]);
    let authority = folder.load().unwrap();
    works(&authority, folder.dir.path());
    let (issued, certificate) = workload(&authority);
    assert_eq!(issued.cert_chain.len(), 4);
    assert_eq!(certificate.chain().len(), 3);
    assert_eq!(certificate.roots().len(), 2);
}

#[test]
fn a_root_that_signs_itself_and_a_chain_file_that_is_missing() {
    let folder = Folder::new();
    folder.root("root", RSA);
    folder.plug_in(&[
        ("ca-cert.pem", &["root.pem"]),
        ("ca-key.pem", &["root.key"]),
        ("root-cert.pem", &["root.pem"]),
    ]);
    let authority = folder.load().unwrap();
    works(&authority, folder.dir.path());
    assert_eq!(workload(&authority).0.cert_chain.len(), 2);
}

#[test]
fn keys_in_every_encoding() {
    for (algorithm, encode) in
        [(RSA, "rsa -traditional"), (P256, "ec"), (P384, "ec"), (RSA, "pkcs8 -topk8 -nocrypt")]
    {
        let folder = Folder::new();
        folder.root("root", algorithm);
        folder.openssl.run(&format!("{encode} -in root.key -out encoded.key"));
        folder.plug_in(&[
            ("ca-cert.pem", &["root.pem"]),
            ("ca-key.pem", &["encoded.key"]),
            ("root-cert.pem", &["root.pem"]),
        ]);
        works(&folder.load().unwrap(), folder.dir.path());
    }
    // `openssl ecparam -genkey` puts the curve before the key.
    let folder = Folder::new();
    folder.openssl.run("ecparam -name prime256v1 -genkey -out root.key");
    assert!(folder.openssl.read("root.key").starts_with("-----BEGIN EC PARAMETERS"));
    folder.openssl.run(
        "req -new -x509 -config ext.cnf -extensions bare -subj /O=Example -days 30 -key root.key -out root.pem",
    );
    folder.plug_in(&[
        ("ca-cert.pem", &["root.pem"]),
        ("ca-key.pem", &["root.key"]),
        ("root-cert.pem", &["root.pem"]),
    ]);
    let authority = folder.load().unwrap();
    let (issued, _) = workload(&authority);
    assert_eq!(issued.cert_chain.len(), 2);
}

#[test]
fn a_certificate_ends_with_the_first_of_its_issuers() {
    let folder = Folder::new();
    folder.root("root", P256);
    folder.intermediate("middle", P256, "root", "-extensions ca -days 2");
    folder.intermediate("ca", P256, "middle", SIGNED);
    folder.plug_in(&[
        ("ca-cert.pem", &["ca.pem"]),
        ("ca-key.pem", &["ca.key"]),
        ("root-cert.pem", &["root.pem"]),
        ("cert-chain.pem", &["ca.pem", "middle.pem"]),
    ]);
    let authority = folder.load().unwrap();
    let csr = KeyAndCsr::generate().unwrap();
    let issued = authority.sign(csr.csr_pem(), &identity(), 30 * DAY, now()).unwrap();
    let life = issued.not_after.duration_since(now()).unwrap();
    assert!(life <= 2 * DAY && life > 2 * DAY - HOUR, "{life:?}");
    assert_eq!(authority.not_after(), issued.not_after);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = Folder::new();
    folder.root("root", P256);
    folder.root("other", P256);
    folder.intermediate("ca", P256, "root", SIGNED);
    folder.intermediate("leaf", P256, "root", "-extensions leaf -days 30");
    folder.intermediate("nosign", P256, "root", "-extensions nosign -days 30");
    folder.intermediate("ended", P256, "root", "-extensions ca -days 0");
    folder.openssl.run("genrsa -out weak.key 1024");
    folder.openssl.run(
        "req -new -x509 -config ext.cnf -extensions ca -subj /O=Example -key weak.key -out weak.pem",
    );
    let refused = |certificate: &str, key: &str, root: &str| {
        folder.plug_in(&[
            ("ca-cert.pem", &[certificate]),
            ("ca-key.pem", &[key]),
            ("root-cert.pem", &[root]),
        ]);
        folder.load().unwrap_err()
    };
    macro_rules! assert_refused {
        ($files:expr, $error:pat) => {
            let (certificate, key, root) = $files;
            let error = refused(certificate, key, root);
            assert!(matches!(error, $error), "{certificate} {key} {root}: {error}");
        };
    }
    assert_refused!(("ca.pem", "other.key", "root.pem"), AuthorityError::KeyMismatch { .. });
    assert_refused!(("ca.pem", "ca.key", "other.pem"), AuthorityError::BrokenChain { .. });
    assert_refused!(("leaf.pem", "leaf.key", "root.pem"), AuthorityError::NotAuthority { .. });
    assert_refused!(("nosign.pem", "nosign.key", "root.pem"), AuthorityError::NotAuthority { .. });
    assert_refused!(
        ("ended.pem", "ended.key", "root.pem"),
        AuthorityError::Sign(SignError::AuthorityExpired)
    );
    assert_refused!(("weak.pem", "weak.key", "weak.pem"), AuthorityError::Malformed { .. });
    assert_refused!(("ca.csr", "ca.key", "root.pem"), AuthorityError::Malformed { .. });
    assert_refused!(("ca.pem", "ca.pem", "root.pem"), AuthorityError::Malformed { .. });

    fs::remove_file(folder.dir.path().join("cacerts/ca-key.pem")).unwrap();
    let error = folder.load().unwrap_err();
    assert!(matches!(error, AuthorityError::Incomplete { missing: "ca-key.pem", .. }), "{error}");
}

#[test]
fn the_data_of_a_secret_is_as_good_as_a_folder() {
    let folder = Folder::new();
    folder.root("root", RSA);
    folder.intermediate("ca", P256, "root", SIGNED);
    let file = |name: &str| folder.openssl.read(name).into_bytes();
    let secret = Path::new("secret/istio-system/cacerts");
    let of = |data: &[(&str, Vec<u8>)]| {
        let data = data.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect();
        CertificateAuthority::of_secret(&data, secret, settings(), now())
    };
    let mut data = vec![
        ("ca-cert.pem", file("ca.pem")),
        ("ca-key.pem", file("ca.key")),
        ("root-cert.pem", file("root.pem")),
    ];
    // Istio writes all keys, some of them empty.
    data.extend([("cert-chain.pem", Vec::new()), ("tls.crt", Vec::new())]);
    workload(&of(&data).unwrap());

    data[2].1.clear();
    let error = of(&data).unwrap_err();
    assert!(error.to_string().contains("missing: root-cert.pem"), "{error}");
    assert!(error.to_string().contains("secret/istio-system/cacerts"), "{error}");
}

#[test]
fn a_secret_that_was_made_is_an_authority_of_its_own() {
    let mut data = CertificateAuthority::make_secret(&settings(), now()).unwrap();
    let root = data["ca-cert.pem"].clone();
    data.insert("root-cert.pem".to_owned(), root.clone());
    let secret = Path::new("secret/istio-system/istio-ca-secret");
    let authority = CertificateAuthority::of_secret(&data, secret, settings(), now()).unwrap();
    workload(&authority);
    let lines = |pem: &str| pem.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&authority.root_pem()), lines(std::str::from_utf8(&root).unwrap()));
}
