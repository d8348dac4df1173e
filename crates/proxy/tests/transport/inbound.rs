//! Connections to a workload.

use lateen_mesh::v1::authorization_policy::Action;
use lateen_mesh::v1::{MtlsMode, Protocol};
use lateen_proxy::listen::Inherited;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::mesh::{Mesh, identity, meshed};
use crate::openssl::{self, Identity};
use crate::site::{Ca, Site, application, echo, exchange, free_base, is_refused, soon};

/// Answers the first line with `hello` and closes.
fn greeter(listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut line = [0; 64];
                if stream.read(&mut line).await.is_ok_and(|count| count > 0) {
                    let _ = stream.write_all(b"hello from the application\n").await;
                }
            });
        }
    });
}

#[tokio::test]
async fn strict_takes_the_meshs_mutual_tls_and_nothing_else() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    greeter(listener);
    let plan = Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Strict).plan();
    let site = Site::start(&ca, "app", base, plan).await;
    let address = site.inbound(port);

    assert!(is_refused(address, b"plain text\n").await);
    let stranger = openssl::connect(address, None, &[], "no certificate\n").await;
    assert!(!stranger.answer.contains("hello"), "{stranger:?}");
    let other = Ca::new();
    let foreign = Identity::new(&other, "caller").await;
    let foreign = openssl::connect(address, Some(&foreign), &["-alpn", "istio"], "hi\n").await;
    assert!(!foreign.success && !foreign.answer.contains("hello"), "{foreign:?}");

    let caller = Identity::new(&ca, "caller").await;
    for arguments in [&["-alpn", "istio"][..], &["-alpn", "istio", "-tls1_2"], &["-tls1_3"]] {
        let session = openssl::connect(address, Some(&caller), arguments, "hi\n").await;
        assert!(session.answer.contains("hello from the application"), "{session:?}");
        assert!(session.answer.contains("Verify return code: 0 (ok)"), "{session:?}");
        assert!(session.answer.contains("No ALPN negotiated"), "{session:?}");
    }
    let old = openssl::connect(address, Some(&caller), &["-tls1_1"], "hi\n").await;
    assert!(!old.success, "{old:?}");

    let log = site.finish().await;
    assert!(log.contains(r#""reason":"mtls_required""#), "{log}");
    assert!(log.contains(r#""reason":"downstream_tls_failed""#), "{log}");
    assert!(log.contains(&format!("inbound|{port}||")), "{log}");
}

#[tokio::test]
async fn permissive_takes_plain_text_mutual_tls_and_passes_other_tls_on() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let plan = Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Permissive).plan();
    let site = Site::start(&ca, "app", base, plan).await;
    let address = site.inbound(port);

    assert_eq!(exchange(address, b"plain text").await.unwrap(), b"plain text");
    let client = free_base();
    let plan = Mesh::new(client)
        .service("app.shop", 300, port, Protocol::Tcp, &[meshed(address, "app")])
        .plan();
    let caller = Site::start(&ca, "caller", client, plan).await;
    assert_eq!(exchange(caller.service(300, port), b"secret").await.unwrap(), b"secret");
    assert!(!caller.finish().await.contains(r#""reason":"upstream"#));

    // TLS that is not the mesh's is the application's own: an echo answers with the ClientHello.
    let hello = client_hello();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(&hello).await.unwrap();
    let mut back = vec![0; hello.len()];
    soon(client.read_exact(&mut back)).await.unwrap();
    assert_eq!(back, hello, "not a byte lost or changed");
    drop(client);
    site.finish().await;
}

fn client_hello() -> Vec<u8> {
    let provider = lateen_identity::crypto_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = rustls_pki_types::ServerName::try_from("db.example").unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn policy_is_asked_before_the_application_is_dialled() {
    for (action, named, allowed) in [
        (Action::Allow, "caller", true),
        (Action::Allow, "somebody-else", false),
        (Action::Deny, "caller", false),
        (Action::Deny, "somebody-else", true),
    ] {
        let (ca, base) = (Ca::new(), free_base());
        let (listener, port) = application(base).await;
        let accepted = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                seen.store(true, std::sync::atomic::Ordering::SeqCst);
                let _ = stream.write_all(b"hello\n").await;
            }
        });
        let principal = identity(named).replace("spiffe://", "");
        let plan = Mesh::new(base)
            .port(port, Protocol::Tcp, MtlsMode::Strict)
            .principals(action, &principal)
            .plan();
        let site = Site::start(&ca, "app", base, plan).await;
        let caller = Identity::new(&ca, "caller").await;
        let session =
            openssl::connect(site.inbound(port), Some(&caller), &["-alpn", "istio"], "").await;
        assert_eq!(session.answer.contains("hello"), allowed, "{action:?} {named}: {session:?}");
        let log = site.finish().await;
        assert_eq!(accepted.load(std::sync::atomic::Ordering::SeqCst), allowed, "{log}");
        assert_eq!(log.contains("rbac_access_denied_matched_policy"), !allowed, "{log}");
    }
}

#[tokio::test]
async fn two_sidecars_carry_a_half_close_and_know_each_other() {
    let ca = Ca::new();
    let (server, client) = (free_base(), free_base());
    let (listener, port) = application(server).await;
    echo(listener);
    let plan = Mesh::new(server).port(port, Protocol::Tcp, MtlsMode::Strict).plan();
    let inbound = Site::start(&ca, "app", server, plan).await;
    let plan = Mesh::new(client)
        .service("app.shop", 300, port, Protocol::Tcp, &[meshed(inbound.inbound(port), "app")])
        .plan();
    let outbound = Site::start(&ca, "caller", client, plan).await;

    let question: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
    let answer = exchange(outbound.service(300, port), &question).await.unwrap();
    assert!(answer == question, "{} of {} bytes", answer.len(), question.len());

    let log = outbound.finish().await;
    assert!(log.contains(&format!("outbound|{port}||app.shop")), "{log}");
    assert!(log.contains(r#""bytes_sent":800000"#), "{log}");
    let log = inbound.finish().await;
    assert!(log.contains(r#""bytes_received":800000"#), "{log}");
}

#[tokio::test]
async fn a_server_that_is_somebody_else_is_not_spoken_to() {
    let ca = Ca::new();
    let (server, client) = (free_base(), free_base());
    let (listener, port) = application(server).await;
    echo(listener);
    let plan = Mesh::new(server).port(port, Protocol::Tcp, MtlsMode::Strict).plan();
    let inbound = Site::start(&ca, "impostor", server, plan).await;
    let plan = Mesh::new(client)
        .service("app.shop", 300, port, Protocol::Tcp, &[meshed(inbound.inbound(port), "app")])
        .plan();
    let outbound = Site::start(&ca, "caller", client, plan).await;
    assert!(is_refused(outbound.service(300, port), b"secret").await);
    let log = outbound.finish().await;
    assert!(log.contains(r#""reason":"upstream_identity_mismatch""#), "{log}");
    assert!(!inbound.finish().await.contains(r#""bytes_received":6"#));
}

#[tokio::test]
async fn beyond_the_limit_connections_are_closed_as_they_are_accepted() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let plan = Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Disable).plan();
    let site = Site::inherit(&ca, "app", base, plan, Inherited::default(), |settings| {
        settings.limits.connections = 2;
    })
    .await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(site.inbound(port)).await.unwrap();
        stream.write_all(b"x").await.unwrap();
        assert_eq!(soon(stream.read_u8()).await.unwrap(), b'x');
        open.push(stream);
    }
    assert!(is_refused(site.inbound(port), b"one too many").await);
    assert_eq!((site.plane.open_connections(), site.plane.refused_connections()), (2, 1));
    open.clear();
    soon(async {
        while site.plane.open_connections() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(exchange(site.inbound(port), b"again").await.unwrap(), b"again");
    site.finish().await;
}
