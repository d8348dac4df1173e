//! Whole proxies that replace one another, without a control plane.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lateen_mesh::v1::{MtlsMode, Protocol};
use lateen_proxy::handover::{Door, Estate};
use lateen_proxy::run::{Proxy, Running, State};
use lateen_proxy::settings::Settings;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::mesh::Mesh;
use crate::openssl::{self, Identity};
use crate::site::{Ca, application, at, echo, exchange, free_base, soon};

fn start(state: &Path, door: &Path) -> Running {
    let mut settings = Settings::new("127.0.0.1:1", "shop", "app", state);
    settings.handover = Some(door.to_owned());
    settings.timeouts.drain = Duration::from_secs(5);
    Proxy::new(settings).start().unwrap()
}

async fn reaches(running: &Running, state: State) {
    let mut watch = running.watch();
    let reached = soon(watch.wait_for(|now| *now == state)).await;
    assert!(reached.is_ok_and(|now| *now == state));
}

async fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: proxy\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    soon(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_to_string(&mut answer).await.unwrap();
    })
    .await;
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_replace_one_another_with_keys_and_configuration() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let path = ca.folder.path().join("handover");
    let door = Door::open(&path).unwrap();
    let estate = Estate {
        sockets: Vec::new(),
        certificate: Some(ca.certificate("app").hand_over()),
        resources: Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Permissive).resources(),
    };
    let (state, at_path) = (ca.folder.path().to_owned(), path.clone());
    let first = tokio::task::spawn_blocking(move || start(&state, &at_path));
    let mut successor = soon(door.knock()).await.unwrap();
    tokio::task::spawn_blocking(move || successor.give(&estate)).await.unwrap().unwrap();
    let first = first.await.unwrap();
    reaches(&first, State::Serving).await;
    drop(door);

    let address = SocketAddr::from((at(base, 2), port));
    let health = SocketAddr::from((at(base, 2), 15021));
    assert_eq!(exchange(address, b"hello").await.unwrap(), b"hello");
    assert!(get(health, "/healthz/ready").await.starts_with("HTTP/1.1 200"));
    // The key came with it.
    let caller = Identity::new(&ca, "caller").await;
    let arguments = ["-alpn", "istio", "-no_ign_eof"];
    let session = openssl::connect(address, Some(&caller), &arguments, "Q\n").await;
    assert!(session.answer.contains("Verify return code: 0 (ok)"), "{session:?}");

    let (stop, good, bad) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let client = {
        let (stop, good, bad) = (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&bad));
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let answered =
                    exchange(address, b"hello").await.is_ok_and(|answer| answer == b"hello");
                if answered { &good } else { &bad }.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let (state, at_path) = (ca.folder.path().to_owned(), path.clone());
    let second = tokio::task::spawn_blocking(move || start(&state, &at_path)).await.unwrap();
    reaches(&second, State::Serving).await;
    reaches(&first, State::Ended).await;
    tokio::task::spawn_blocking(move || first.wait()).await.unwrap();
    let before = good.load(Ordering::Relaxed);
    soon(async {
        while good.load(Ordering::Relaxed) < before + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    client.await.unwrap();
    assert_eq!(bad.load(Ordering::Relaxed), 0);
    assert!(get(health, "/healthz/ready").await.starts_with("HTTP/1.1 200"));

    second.quit();
    reaches(&second, State::Ended).await;
    tokio::task::spawn_blocking(move || second.wait()).await.unwrap();
    assert!(!path.exists(), "the door is gone with the last of them");
}

#[tokio::test]
async fn without_configuration_a_proxy_waits_and_can_be_told_to_quit() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_owned();
    let running = Proxy::new(Settings::new("127.0.0.1:1", "shop", "app", state)).start().unwrap();
    assert_eq!(running.state(), State::Starting);
    running.quit();
    reaches(&running, State::Ended).await;
    running.wait();
}
