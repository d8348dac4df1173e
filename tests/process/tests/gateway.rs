//! A gateway's servers, as curl and openssl meet them: redirect, SIMPLE, MUTUAL, PASSTHROUGH, TCP.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use lateen_process_tests::{peers, yaml};
use lateen_testkit::mesh::{Mesh, curl};
use lateen_testkit::program::{self, Program};

const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: edge
  namespace: test
spec:
  selector:
    app: edge
  servers:
    - port: {number: 80, name: http, protocol: HTTP}
      hosts: [shop.example]
      tls:
        httpsRedirect: true
    - port: {number: 443, name: https, protocol: HTTPS}
      hosts: [shop.example]
      tls:
        mode: SIMPLE
        credentialName: shop
    - port: {number: 443, name: https-mutual, protocol: HTTPS}
      hosts: [mutual.example]
      tls:
        mode: MUTUAL
        credentialName: mutual
    - port: {number: 443, name: tls-passed, protocol: TLS}
      hosts: [passed.example]
      tls:
        mode: PASSTHROUGH
    - port: {number: 9000, name: tcp, protocol: TCP}
      hosts: ['*']
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: edge
  namespace: test
spec:
  hosts: [shop.example, mutual.example, passed.example]
  gateways: [edge]
  http:
    - route:
        - destination: {host: web}
  tls:
    - match:
        - sniHosts: [passed.example]
      route:
        - destination: {host: secure, port: {number: 8443}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: raw
  namespace: test
spec:
  hosts: ['*']
  gateways: [edge]
  tcp:
    - match:
        - port: 9000
      route:
        - destination: {host: raw, port: {number: 9000}}
";

/// Certificates that openssl made, in a folder.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// A CA, a certificate of the given name for each server, and one for a client.
    fn make() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        this.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=Test CA",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ]);
        for name in ["shop.example", "mutual.example", "passed.example", "client.example"] {
            let (key, request, certificate) =
                (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
            let extension = format!("{name}.ext");
            std::fs::write(this.path(&extension), format!("subjectAltName=DNS:{name}\n")).unwrap();
            this.openssl(&[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-subj",
                &format!("/CN={name}"),
                "-keyout",
                &key,
                "-out",
                &request,
            ]);
            this.openssl(&[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &request,
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-CAcreateserial",
                "-extfile",
                &extension,
                "-out",
                &certificate,
            ]);
        }
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        peers::openssl(self.folder.path(), arguments)
    }

    /// A Kubernetes secret of that name with a server's certificate, and a CA for its clients.
    fn secret(&self, name: &str, server: &str, clients: bool) -> String {
        let encoded = |file: &str| self.openssl(&["base64", "-A", "-in", file]);
        let mut text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: test\ntype: \
             kubernetes.io/tls\ndata:\n  tls.crt: {}\n  tls.key: {}\n",
            encoded(&format!("{server}.crt")),
            encoded(&format!("{server}.key"))
        );
        if clients {
            text.push_str(&format!("  ca.crt: {}\n", encoded("ca.crt")));
        }
        text + "---\n"
    }
}

fn mesh(certificates: &Certificates) -> Mesh {
    let mut workloads = yaml::pod("edge", "edge", "v1", "10.0.0.9");
    for (name, number, port_name, port) in [
        ("web", 1, "http", (80, 8080)),
        ("secure", 2, "tls", (8443, 8443)),
        ("raw", 3, "tcp", (9000, 9000)),
    ] {
        let (pod, address) = (format!("{name}-1"), format!("10.0.0.{number}"));
        workloads.push_str(&yaml::pod(&pod, name, "v1", &address));
        let endpoints = [(pod.as_str(), address.as_str(), true)];
        let cluster_ip = format!("10.96.0.{number}");
        workloads.push_str(&yaml::service(name, &cluster_ip, port_name, port, &endpoints));
    }
    let secrets = certificates.secret("shop", "shop.example", false)
        + &certificates.secret("mutual", "mutual.example", true);
    let mut mesh = Mesh::start(&[
        ("mesh.yaml", &yaml::mesh("")),
        ("workloads.yaml", &workloads),
        ("secrets.yaml", &secrets),
        ("routes.yaml", ROUTES),
    ])
    .unwrap();
    for workload in ["test/edge", "test/web-1", "test/secure-1", "test/raw-1"] {
        mesh.start_proxy(workload, &[]).unwrap();
    }
    mesh
}

/// Output of curl for `https://HOST/` at the gateway, trusting the CA.
fn https(gateway: SocketAddr, host: &str, certificates: &Certificates, more: &[&str]) -> String {
    let (authority, address) = (certificates.text("ca.crt"), format!("::{gateway}"));
    let url = format!("https://{host}/");
    let mut arguments = vec!["--cacert", &authority, "--connect-to", &address, &url];
    arguments.extend(more);
    curl(&arguments).unwrap().1
}

fn tls_server(mesh: &Mesh, listen: SocketAddr, certificates: &Certificates) -> Program {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-quiet", "-www", "-accept", &listen.to_string()])
        .args(["-cert", &certificates.text("passed.example.crt")])
        .args(["-key", &certificates.text("passed.example.key")]);
    let mut server = Program::start("s_server", command, &mesh.logs()).unwrap();
    peers::listening(listen, &mut server).unwrap();
    server
}

#[test]
fn every_kind_of_server_does_what_its_mode_says() {
    let certificates = Certificates::make();
    let mesh = mesh(&certificates);
    let _web = peers::nginx(&mesh, "web-1", mesh.application("test/web-1", 8080).unwrap()).unwrap();
    let secure = mesh.application("test/secure-1", 8443).unwrap();
    let _secure = tls_server(&mesh, secure, &certificates);
    let plain = mesh.listener("test/edge", 80).unwrap();
    let tls = mesh.listener("test/edge", 443).unwrap();

    let (_, redirected) = curl(&[
        "--write-out",
        "%{redirect_url} %{http_code}",
        "--header",
        "Host: shop.example",
        &format!("http://{plain}/path?query"),
    ])
    .unwrap();
    assert_eq!(redirected, "https://shop.example/path?query 301");

    assert_eq!(https(tls, "shop.example", &certificates, &[]), "web-1\n\n200");
    assert_eq!(https(tls, "shop.example", &certificates, &["--http1.1"]), "web-1\n\n200");

    mutual(tls, &certificates);
    let passed = https(tls, "passed.example", &certificates, &["--http1.1"]);
    assert!(passed.contains("s_server") && passed.ends_with("\n200"), "{passed}");
    unknown_name(tls, &certificates);
    tcp(&mesh);
}

/// Only who shows a certificate of the CA gets in.
fn mutual(tls: SocketAddr, certificates: &Certificates) {
    let refused = https(tls, "mutual.example", certificates, &[]);
    assert_eq!(refused, "\n000", "without a certificate there is no answer");
    let (certificate, key) =
        (certificates.text("client.example.crt"), certificates.text("client.example.key"));
    let served =
        https(tls, "mutual.example", certificates, &["--cert", &certificate, "--key", &key]);
    assert_eq!(served, "web-1\n\n200");
}

/// A server name that no server has gets no certificate.
fn unknown_name(tls: SocketAddr, certificates: &Certificates) {
    let arguments =
        ["s_client", "-connect", &tls.to_string(), "-servername", "other.example", "-CAfile"];
    let authority = certificates.text("ca.crt");
    let (status, text) =
        program::run("openssl", arguments.iter().copied().chain([authority.as_str()])).unwrap();
    assert!(!status.success() && text.contains("no peer certificate available"), "{text}");
}

fn tcp(mesh: &Mesh) {
    let listener = TcpListener::bind(mesh.application("test/raw-1", 9000).unwrap()).unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        stream.write_all(all.to_uppercase().as_bytes()).unwrap();
    });
    let mut stream = TcpStream::connect(mesh.listener("test/edge", 9000).unwrap()).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    stream.write_all(b"through the gateway").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "THROUGH THE GATEWAY");
    server.join().unwrap();
}
