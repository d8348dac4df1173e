//! Connections from a workload.

use lateen_mesh::v1::{self, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::mesh::{Mesh, backend, plain};
use crate::site::{Ca, Site, application, at, echo, exchange, free_base, is_refused, soon};

/// Says its banner before the client says anything, then echoes.
fn server_first(listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                if write.write_all(b"220 ready\r\n").await.is_ok() {
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                }
            });
        }
    });
}

#[tokio::test]
async fn a_server_that_speaks_first_is_heard_on_a_sniffed_port() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    let endpoint = listener.local_addr().unwrap();
    server_first(listener);
    let plan =
        Mesh::new(base).service("mail.shop", 300, port, Protocol::Auto, &[plain(endpoint)]).plan();
    let site = Site::start(&ca, "caller", base, plan).await;
    let talk = async || {
        let mut client = TcpStream::connect(site.service(300, port)).await.unwrap();
        let mut banner = [0; 11];
        client.read_exact(&mut banner).await.unwrap();
        assert_eq!(&banner, b"220 ready\r\n");
        client.write_all(b"EHLO there\r\n").await.unwrap();
        client.shutdown().await.unwrap();
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "EHLO there\r\n");
    };
    // Enough that each of the workers learns it.
    for _ in 0..4 {
        soon(talk()).await;
    }
    let log = site.finish().await;
    assert_eq!(log.lines().count(), 4, "{log}");
    assert!(log.lines().all(|line| line.contains(r#""bytes_sent":23"#)), "{log}");
}

#[tokio::test]
async fn a_client_that_hesitates_is_still_understood() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    let endpoint = listener.local_addr().unwrap();
    echo(listener);
    let plan =
        Mesh::new(base).service("db.shop", 300, port, Protocol::Auto, &[plain(endpoint)]).plan();
    let site = Site::start(&ca, "caller", base, plan).await;
    assert_eq!(
        exchange(site.service(300, port), b"\x01\x02at once").await.unwrap(),
        b"\x01\x02at once"
    );
    let mut client = TcpStream::connect(site.service(300, port)).await.unwrap();
    // Longer than the proxy waits before it dials.
    tokio::time::sleep(4 * lateen_engine::connection::SILENCE).await;
    client.write_all(b"\x03late").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    soon(client.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"\x03late");
    site.finish().await;
}

#[tokio::test]
async fn ports_below_1024_are_shifted_on_the_wire_only() {
    let (ca, base) = (Ca::new(), free_base());
    let listener = TcpListener::bind((at(base, 1), 20_025)).await.unwrap();
    echo(listener);
    let endpoint = (at(base, 1), 25).into();
    let plan =
        Mesh::new(base).service("mail.shop", 300, 25, Protocol::Tcp, &[plain(endpoint)]).plan();
    let site = Site::start(&ca, "caller", base, plan).await;
    assert_eq!(exchange(site.service(300, 20_025), b"shifted").await.unwrap(), b"shifted");
    let log = site.finish().await;
    assert!(log.contains("outbound|25||mail.shop"), "{log}");
}

#[tokio::test]
async fn tls_is_routed_by_its_server_name_untouched() {
    let (ca, base) = (Ca::new(), free_base());
    let mut mesh = Mesh::new(base).entry("tls.shop", 300, 8443, Protocol::Tls);
    let mut rules = Vec::new();
    for (name, answer) in [("a.example", "from a"), ("b.example", "from b")] {
        let (listener, port) = application(base).await;
        mesh = mesh.destination(name, 8443, &[plain((at(base, 1), port).into())]);
        rules.push(v1::TlsRule {
            matches: vec![v1::L4Match { sni: vec![name.to_owned()], ..v1::L4Match::default() }],
            backends: vec![backend(name, 8443)],
            ..v1::TlsRule::default()
        });
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut first = [0; 1];
                stream.read_exact(&mut first).await.unwrap();
                assert_eq!(first, [22], "the handshake itself arrives");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
    }
    let plan = mesh
        .routes("tls.shop", v1::Routes { tls: rules, ..v1::Routes::default() })
        .registry_only()
        .plan();
    let site = Site::start(&ca, "caller", base, plan).await;
    let address = site.service(300, 8443);
    for (name, expected) in [("a.example", "from a"), ("b.example", "from b")] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&hello_for(name)).await.unwrap();
        let mut answer = vec![0; expected.len()];
        soon(client.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, expected.as_bytes());
    }
    assert!(is_refused(address, &hello_for("c.example")).await);
    let log = site.finish().await;
    assert!(log.contains(r#""requested_server_name":"a.example""#), "{log}");
}

fn hello_for(name: &'static str) -> Vec<u8> {
    let provider = lateen_identity::crypto_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from(name).unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn what_cannot_be_reached_is_closed_with_its_reason() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let plan = Mesh::new(base)
        .service("gone.shop", 300, port, Protocol::Tcp, &[plain(nobody)])
        .service("empty.shop", 301, port, Protocol::Tcp, &[])
        .registry_only()
        .plan();
    let site = Site::start(&ca, "caller", base, plan).await;
    assert!(is_refused(site.service(300, port), b"?").await);
    assert!(is_refused(site.service(301, port), b"?").await);
    let log = site.finish().await;
    assert!(log.contains(r#""reason":"connect_failed""#), "{log}");
    assert!(log.contains(r#""reason":"no_healthy_upstream""#), "{log}");
}
