//! Connections that were accepted and would not be any more.

use std::net::Ipv4Addr;
use std::sync::Arc;

use lateen_engine::Plan;
use lateen_mesh::v1::authorization_policy::Action;
use lateen_mesh::v1::{MtlsMode, Protocol};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::mesh::Mesh;
use crate::site::{Ca, Site, application, echo, free_base, soon};

fn plan(base: Ipv4Addr, port: u16, protocol: Protocol, mode: MtlsMode) -> Arc<Plan> {
    Mesh::new(base).port(port, protocol, mode).plan()
}

/// What comes until the connection ends, however it ends.
async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
    String::from_utf8(rest).unwrap()
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

async fn hear(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    soon(stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

#[tokio::test]
async fn bytes_in_plain_text_end_when_the_port_becomes_strict() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let permissive = plan(base, port, Protocol::Tcp, MtlsMode::Permissive);
    let site = Site::start(&ca, "app", base, permissive).await;
    let mut client = TcpStream::connect(site.inbound(port)).await.unwrap();
    say(&mut client, "first").await;
    hear(&mut client, "first").await;

    // What says nothing of this port changes nothing.
    let alike = plan(base, port, Protocol::Tcp, MtlsMode::Permissive);
    site.plans.replace(alike);
    say(&mut client, "second").await;
    hear(&mut client, "second").await;

    site.plans.replace(plan(base, port, Protocol::Tcp, MtlsMode::Strict));
    assert_eq!(rest(&mut client).await, "");
    let log = site.finish().await;
    assert!(log.contains(r#""reason":"mtls_required""#), "{log}");
}

#[tokio::test]
async fn bytes_end_when_a_policy_denies_them() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let open = plan(base, port, Protocol::Tcp, MtlsMode::Permissive);
    let site = Site::start(&ca, "app", base, open).await;
    let mut client = TcpStream::connect(site.inbound(port)).await.unwrap();
    say(&mut client, "first").await;
    hear(&mut client, "first").await;

    let policy = Mesh::new(base)
        .port(port, Protocol::Tcp, MtlsMode::Permissive)
        .principals(Action::Allow, "cluster.local/ns/shop/sa/caller");
    site.plans.replace(policy.plan());
    assert_eq!(rest(&mut client).await, "");
    let log = site.finish().await;
    assert!(log.contains("rbac_access_denied_matched_policy[none]"), "{log}");
}

/// Answers a request for each permit that is added; tells of each request.
fn answering(listener: TcpListener) -> (Arc<Semaphore>, mpsc::UnboundedReceiver<()>) {
    let permits = Arc::new(Semaphore::new(0));
    let (asked, requests) = mpsc::unbounded_channel();
    let answers = Arc::clone(&permits);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (asked, answers) = (asked.clone(), Arc::clone(&answers));
            tokio::spawn(async move {
                let mut head = [0; 4096];
                while stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                    let _ = asked.send(());
                    answers.acquire().await.unwrap().forget();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (permits, requests)
}

const REQUEST: &str = "GET / HTTP/1.1\r\nhost: app\r\n\r\n";

#[tokio::test]
async fn requests_in_plain_text_end_when_the_port_becomes_strict() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    let (answer, mut requests) = answering(listener);
    let permissive = plan(base, port, Protocol::Http, MtlsMode::Permissive);
    let site = Site::start(&ca, "app", base, Arc::clone(&permissive)).await;

    // One that is idle is closed.
    let mut idle = TcpStream::connect(site.inbound(port)).await.unwrap();
    say(&mut idle, REQUEST).await;
    soon(requests.recv()).await.unwrap();
    answer.add_permits(1);
    let mut head = [0; 12];
    soon(idle.read_exact(&mut head)).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    // A request that is in flight is answered, and is the last: the connection ends, and its client is told
    // so where the proxy knew before it answered.
    let mut busy = TcpStream::connect(site.inbound(port)).await.unwrap();
    say(&mut busy, REQUEST).await;
    soon(requests.recv()).await.unwrap();
    // One that has not asked for anything yet is told that it is too late.
    let mut late = TcpStream::connect(site.inbound(port)).await.unwrap();
    say(&mut late, "GET / HT").await;

    site.plans.replace(plan(base, port, Protocol::Http, MtlsMode::Strict));
    assert!(rest(&mut idle).await.ends_with("hi"));
    answer.add_permits(1);
    let answered = rest(&mut busy).await;
    assert!(answered.starts_with("HTTP/1.1 200 OK\r\n"), "{answered}");
    assert_eq!(answered.matches("HTTP/1.1").count(), 1, "{answered}");
    say(&mut late, "TP/1.1\r\nhost: app\r\n\r\n").await;
    let refused = rest(&mut late).await;
    assert!(!refused.contains("200"), "{refused}");
    drop((idle, busy, late));
    let log = site.finish().await;
    assert_eq!(log.matches(r#""response_code":200"#).count(), 2, "{log}");
    assert!(requests.try_recv().is_err(), "nothing more reached the application");
}
