//! Connections to a gateway.

use lateen_mesh::v1::{self, GatewayProtocol, resource::Body, server_tls::Mode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::mesh::{Mesh, backend, plain};
use crate::openssl;
use crate::site::{Ca, Site, application, at, echo, exchange, free_base, is_refused};

/// A self-signed certificate and its key for `name`, in PEM.
async fn self_signed(name: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj"])
        .arg(format!("/CN={name}"))
        .arg("-addext")
        .arg(format!("subjectAltName=DNS:{name}"))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (std::fs::read(certificate).unwrap(), std::fs::read(key).unwrap())
}

fn server(name: &str, protocol: GatewayProtocol, host: &str, port: u16) -> v1::GatewayServer {
    v1::GatewayServer {
        name: name.to_owned(),
        number: port.into(),
        protocol: protocol.into(),
        hosts: vec![host.to_owned()],
        routes: vec![format!("gateway/{port}/{name}/{host}")],
        ..v1::GatewayServer::default()
    }
}

fn listener(mesh: Mesh, port: u16, servers: Vec<v1::GatewayServer>) -> Mesh {
    let listener =
        v1::GatewayListener { port: port.into(), servers, ..v1::GatewayListener::default() };
    mesh.resource(&format!("gateway/{port}"), Body::Gateway(listener))
}

fn tcp_routes(host: &str, to: &str, port: u16) -> Body {
    let rule = v1::TcpRule { backends: vec![backend(to, port)], ..v1::TcpRule::default() };
    Body::Routes(v1::Routes { host: host.to_owned(), tcp: vec![rule], ..v1::Routes::default() })
}

#[tokio::test]
async fn plain_bytes_are_relayed() {
    let (ca, base) = (Ca::new(), free_base());
    let (application, port) = application(base).await;
    echo(application);
    let mesh = Mesh::new(base)
        .destination("db.shop", 5432, &[plain((at(base, 1), port).into())])
        .resource(&format!("gateway/{port}/tcp/*"), tcp_routes("*", "db.shop", 5432));
    let plan = listener(mesh, port, vec![server("tcp", GatewayProtocol::Tcp, "*", port)]).plan();
    let site = Site::start(&ca, "front", base, plan).await;
    assert_eq!(exchange(site.inbound(port), b"select 1").await.unwrap(), b"select 1");
    let log = site.finish().await;
    assert!(log.contains("outbound|5432||db.shop"), "{log}");
}

#[tokio::test]
async fn tls_is_terminated_with_the_secret_of_the_name() {
    let (ca, base) = (Ca::new(), free_base());
    let (backend_listener, port) = application(base).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = backend_listener.accept().await {
            let mut question = [0; 3];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"hi\n");
            stream.write_all(b"hello inside\n").await.unwrap();
        }
    });
    let mut mesh =
        Mesh::new(base).destination("db.shop", 5432, &[plain((at(base, 1), port).into())]);
    let mut servers = Vec::new();
    for (name, mode) in [("a.example", Mode::Simple), ("b.example", Mode::Mutual)] {
        let (certificate_chain, private_key) = self_signed(name).await;
        let secret = v1::Secret {
            certificate_chain: certificate_chain.into(),
            private_key: private_key.into(),
            ca_certificates: ca.root_pem().into_bytes().into(),
        };
        let tls = v1::ServerTls {
            mode: mode.into(),
            secret: format!("secret/shop/{name}"),
            ..v1::ServerTls::default()
        };
        let protocol = GatewayProtocol::TlsTerminated;
        servers.push(v1::GatewayServer { tls: Some(tls), ..server(name, protocol, name, port) });
        mesh = mesh
            .resource(&format!("secret/shop/{name}"), Body::Secret(secret))
            .resource(&format!("gateway/{port}/{name}/{name}"), tcp_routes(name, "db.shop", 5432));
    }
    let plan = listener(mesh, port, servers).plan();
    let site = Site::start(&ca, "front", base, plan).await;
    let address = site.inbound(port);

    let session = openssl::connect(address, None, &["-servername", "a.example"], "hi\n").await;
    assert!(session.answer.contains("hello inside"), "{session:?}");
    assert!(session.answer.contains("CN = a.example") || session.answer.contains("CN=a.example"));
    let anonymous = openssl::connect(address, None, &["-servername", "b.example"], "hi\n").await;
    assert!(!anonymous.answer.contains("hello inside"), "{anonymous:?}");
    let client = openssl::Identity::new(&ca, "client").await;
    let arguments = ["-servername", "b.example"];
    let known = openssl::connect_unverified(address, &client, &arguments, "hi\n").await;
    assert!(known.answer.contains("hello inside"), "{known:?}");
    let unknown = openssl::connect(address, None, &["-servername", "c.example"], "hi\n").await;
    assert!(!unknown.success, "{unknown:?}");
    assert!(is_refused(address, b"GET / HTTP/1.1\r\n\r\n").await, "plain text");

    let log = site.finish().await;
    for reason in ["no_server", "tls_required", "downstream_tls_failed"] {
        assert!(log.contains(&format!(r#""reason":"{reason}""#)), "{reason}: {log}");
    }
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_refuses_and_says_so() {
    let (ca, base) = (Ca::new(), free_base());
    let (_unused, port) = application(base).await;
    let secret = v1::Secret {
        certificate_chain: b"no certificate"[..].into(),
        private_key: b"no key"[..].into(),
        ..v1::Secret::default()
    };
    let tls = v1::ServerTls { secret: "secret/shop/bad".to_owned(), ..v1::ServerTls::default() };
    let protocol = GatewayProtocol::Https;
    let https = v1::GatewayServer { tls: Some(tls), ..server("https", protocol, "*", port) };
    let mesh = Mesh::new(base)
        .resource("secret/shop/bad", Body::Secret(secret))
        .resource(&format!("gateway/{port}/https/*"), tcp_routes("*", "db.shop", 5432))
        .destination("db.shop", 5432, &[]);
    let site = Site::start(&ca, "front", base, listener(mesh, port, vec![https]).plan()).await;
    let session =
        openssl::connect(site.inbound(port), None, &["-servername", "a.example"], "").await;
    assert!(!session.success, "{session:?}");
    let log = site.finish().await;
    assert!(log.contains(r#""reason":"no_server_certificate""#), "{log}");
}
