//! The certificate service, asked by grpcio with requests that openssl made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use lateen_process_tests::peers::{self, openssl};
use lateen_process_tests::yaml;
use lateen_testkit::mesh::{Mesh, curl};
use lateen_testkit::program;

/// A request for somebody else's identity, with a key of this kind.
fn request(folder: &Path, name: &str, key: &[&str]) -> String {
    let file = format!("{name}.csr");
    let mut arguments = vec!["req", "-new", "-nodes", "-subj", "/CN=other", "-keyout", "key.pem"];
    arguments.extend(["-addext", "subjectAltName=URI:spiffe://cluster.local/ns/test/sa/other"]);
    arguments.extend(["-out", &file]);
    arguments.extend(key);
    let _ = openssl(folder, &arguments);
    folder.join(file).to_str().unwrap().to_owned()
}

fn ask(mesh: &Mesh, csr: &str, token: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/create_certificate.py");
    let root = mesh.state().join("root-cert.pem");
    let address = mesh.controller_address.to_string();
    let arguments = [script, &address, root.to_str().unwrap(), csr, token];
    let python = peers::python().unwrap();
    let (status, text) = program::run(python.to_str().unwrap(), arguments).unwrap();
    assert!(status.success(), "{text}");
    text
}

#[test]
fn identity_comes_from_the_token_and_bad_requests_are_refused_and_counted() {
    let workload = yaml::pod("caller", "caller", "v1", "10.0.0.9");
    let mesh = Mesh::start(&[("mesh.yaml", &yaml::mesh("")), ("pod.yaml", &workload)]).unwrap();
    let folder = mesh.logs();
    let token = std::fs::read_to_string(mesh.state().join("tokens/test/caller")).unwrap();
    let elliptic = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let csr = request(&folder, "good", &elliptic);

    let chain = ask(&mesh, &csr, token.trim());
    std::fs::write(folder.join("leaf.pem"), &chain).unwrap();
    let root = mesh.state().join("root-cert.pem");
    let root = root.to_str().unwrap();
    let verified = openssl(&folder, &["verify", "-CAfile", root, "leaf.pem"]);
    assert_eq!(verified, "leaf.pem: OK\n");
    let names = openssl(&folder, &["x509", "-in", "leaf.pem", "-noout", "-ext", "subjectAltName"]);
    assert!(names.contains("URI:spiffe://cluster.local/ns/test/sa/caller"), "{names}");
    assert!(!names.contains("other"), "{names}");

    let weak = request(&folder, "weak", &["-newkey", "rsa:1024"]);
    let mut foreign = token.trim().to_owned();
    foreign.replace_range(foreign.len() - 8.., "AAAAAAAA");
    for (csr, token, code) in [
        (&csr, "", "UNAUTHENTICATED"),
        (&csr, "no.token.atall", "UNAUTHENTICATED"),
        (&csr, foreign.as_str(), "UNAUTHENTICATED"),
        (&weak, token.trim(), "INVALID_ARGUMENT"),
    ] {
        let answer = ask(&mesh, csr, token);
        assert!(answer.starts_with(&format!("refused: {code} ")), "{answer}");
    }
    let (_, metrics) = curl(&[&format!("http://{}/metrics", mesh.monitoring)]).unwrap();
    let count = |name: &str| -> f64 {
        let samples = metrics.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    };
    assert_eq!(count("citadel_server_csr_count"), 5.0, "{metrics}");
    assert_eq!(count("citadel_server_success_cert_issuance_count"), 1.0, "{metrics}");
}
