use std::path::Path;
use std::process::Command;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use lateen_engine::upstream::{MeshTls, OriginatedTls};
use lateen_identity::{CertificateHandle, MeshTrust, crypto_provider};

use super::*;
use crate::dns::{Found, Lookup};

/// A folder with `key.pem` and `certificate.pem` for a name, and the certificate.
pub(crate) fn self_signed(name: &str) -> (tempfile::TempDir, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("certificate.pem");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-days", "1", "-subj", &format!("/CN={name}")])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(folder.path().join("key.pem"))
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let der = CertificateDer::from_pem_file(certificate).unwrap();
    (folder, der)
}

fn dialer_with(lookup: Lookup) -> Dialer {
    let (_, root) = self_signed("root");
    let trust = MeshTrust::new(&[root], []).unwrap();
    let configs = ClientConfigs::new(CertificateHandle::new(), trust);
    Dialer::new(false, configs, Resolver::new(lookup, tokio::runtime::Handle::current()))
}

fn dialer() -> Dialer {
    dialer_with(Box::new(|name| Box::pin(async move { Err(format!("no {name}")) })))
}

fn target(address: SocketAddr) -> Target {
    Target::address(address, Duration::from_secs(5))
}

fn with_tls(address: SocketAddr, tls: UpstreamTls) -> Target {
    Target { tls: Arc::new(tls), ..target(address) }
}

fn simple(sni: &str, ca: &Path, names: &[&str]) -> UpstreamTls {
    UpstreamTls::Simple(OriginatedTls {
        sni: Some(sni.into()),
        subject_alt_names: names.iter().map(|name| Arc::from(*name)).collect(),
        ca_file: Some(ca.display().to_string().into()),
        insecure_skip_verify: false,
    })
}

/// A server with the folder's certificate that greets whoever completes a handshake.
async fn tls_server(folder: &Path) -> SocketAddr {
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"hello").await.unwrap();
                let _ = stream.shutdown().await;
            }
        }
    });
    address
}

#[tokio::test]
async fn what_does_not_answer_is_told_apart() {
    let dialer = dialer();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let refused = dialer.dial(&target(closed)).await;
    assert!(matches!(refused, Err(DialError::Refused)), "{refused:?}");
    // It accepts, but never answers the handshake.
    let insecure = UpstreamTls::Simple(OriginatedTls {
        sni: None,
        subject_alt_names: Arc::default(),
        ca_file: None,
        insecure_skip_verify: true,
    });
    let short = Duration::from_millis(50);
    let slow = Target { connect_timeout: short, ..with_tls(silent, insecure) };
    let timed_out = dialer.dial(&slow).await;
    assert!(matches!(timed_out, Err(DialError::Timeout(limit)) if limit == short), "{timed_out:?}");
    let mesh = UpstreamTls::Mesh(MeshTls { sni: "a".into(), subject_alt_names: Arc::default() });
    let certificate = dialer.dial(&with_tls(silent, mesh)).await;
    assert!(matches!(certificate, Err(DialError::NoCertificate)), "{certificate:?}");
    let missing = simple("a.example", Path::new("/nonexistent/ca.pem"), &[]);
    let settings = dialer.dial(&with_tls(silent, missing)).await;
    let Err(DialError::Settings(reason)) = settings else { panic!("{settings:?}") };
    assert!(reason.contains("/nonexistent/ca.pem"), "{reason}");
}

#[tokio::test]
async fn tls_outside_of_the_mesh_is_verified() {
    let (folder, _) = self_signed("a.example");
    let (stranger, _) = self_signed("a.example");
    let address = tls_server(folder.path()).await;
    let dialer = dialer();
    let (ca, other) =
        (folder.path().join("certificate.pem"), stranger.path().join("certificate.pem"));
    for (tls, expected) in [
        (simple("a.example", &ca, &[]), "hello"),
        (simple("b.example", &ca, &["a.example"]), "hello"),
        (simple("b.example", &ca, &[]), "identity"),
        (simple("a.example", &ca, &["c.example"]), "identity"),
        (simple("a.example", &other, &[]), "tls"),
    ] {
        let description = format!("{tls:?}");
        let found = match dialer.dial(&with_tls(address, tls)).await {
            Ok(mut io) => {
                let mut greeting = String::new();
                io.read_to_string(&mut greeting).await.unwrap();
                greeting
            }
            Err(DialError::Identity(_)) => "identity".to_owned(),
            Err(DialError::Tls(_)) => "tls".to_owned(),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{description}");
    }
}

#[tokio::test]
async fn unix_sockets_are_dialled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = Address::Unix(path.display().to_string().into());
    let target = Target { address, ..target(SocketAddr::from(([0, 0, 0, 0], 0))) };
    let (dialled, accepted) = {
        let dialer = dialer();
        let (dialled, accepted) = tokio::join!(dialer.dial(&target), listener.accept());
        (dialled, accepted)
    };
    accepted.unwrap().0.write_all(b"hello").await.unwrap();
    let mut io = dialled.unwrap();
    let mut greeting = [0; 5];
    io.read_exact(&mut greeting).await.unwrap();
    assert_eq!((&greeting, io.remote_address()), (b"hello", None));
}

#[tokio::test]
async fn the_addresses_of_a_name_take_turns_and_stand_in_for_each_other() {
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let also = TcpListener::bind(("127.0.0.4", port)).await.unwrap();
    let lookup: Lookup = Box::new(|_| {
        Box::pin(async {
            let addresses = [3, 4, 5].map(|last| IpAddr::from([127, 0, 0, last])).to_vec();
            Ok(Found { addresses, lifetime: Duration::from_secs(60) })
        })
    });
    let dialer = dialer_with(lookup);
    let name = Address::Name("db.example".into());
    let target = Target { address: name, port, ..target(SocketAddr::from(([0, 0, 0, 0], 0))) };
    let mut reached = Vec::new();
    for _ in 0..3 {
        let io = dialer.dial(&target).await.unwrap();
        reached.push(io.remote_address().unwrap().ip());
    }
    // Nobody listens on the third: the first stands in.
    let expected = [3, 4, 3].map(|last| IpAddr::from([127, 0, 0, last]));
    assert_eq!(reached, expected);
    drop(also);
}
