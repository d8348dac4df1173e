//! Draining, and replacement in place.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lateen_mesh::v1::{MtlsMode, Protocol};
use lateen_proxy::listen::Inherited;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::mesh::Mesh;
use crate::site::{Ca, Site, application, echo, exchange, free_base, soon};

/// Connects again and again until told to stop; counts what went well and what did not.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    good: AtomicUsize,
    bad: AtomicUsize,
}

async fn load(address: SocketAddr, load: Arc<Load>) {
    while !load.stop.load(Ordering::Relaxed) {
        let count = match exchange(address, b"hello").await {
            Ok(answer) if answer == b"hello" => &load.good,
            Ok(_) | Err(_) => &load.bad,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_takes_over_without_a_refused_connection() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let plan = || Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Permissive).plan();
    let mut current = Site::start(&ca, "app", base, plan()).await;
    let address = current.inbound(port);
    let counts = Arc::new(Load::default());
    let clients: Vec<_> =
        (0..4).map(|_| tokio::spawn(load(address, Arc::clone(&counts)))).collect();
    // One that lasts over all of it.
    let mut lasting = TcpStream::connect(address).await.unwrap();
    lasting.write_all(b"first").await.unwrap();
    let mut part = [0; 5];
    soon(lasting.read_exact(&mut part)).await.unwrap();

    let mut draining = Vec::new();
    for _ in 0..3 {
        let before = counts.good.load(Ordering::Relaxed);
        soon(async {
            while counts.good.load(Ordering::Relaxed) < before + 50 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let sockets = current.plane.export().await.unwrap();
        assert_eq!(sockets.len(), 1);
        let inherited = Inherited::new(sockets);
        let successor = Site::inherit(&ca, "app", base, plan(), inherited, |_| {}).await;
        let predecessor = std::mem::replace(&mut current, successor);
        draining.push(tokio::spawn(predecessor.finish()));
    }
    let before = counts.good.load(Ordering::Relaxed);
    soon(async {
        while counts.good.load(Ordering::Relaxed) < before + 50 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    counts.stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(counts.bad.load(Ordering::Relaxed), 0);

    // The predecessor still serves what it had.
    lasting.write_all(b"again").await.unwrap();
    soon(lasting.read_exact(&mut part)).await.unwrap();
    assert_eq!(&part, b"again");
    drop(lasting);
    for predecessor in draining {
        soon(predecessor).await.unwrap();
    }
    current.finish().await;
}

#[tokio::test]
async fn a_drain_stops_accepting_finishes_what_is_open_and_cuts_what_lasts() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, port) = application(base).await;
    echo(listener);
    let plan = Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Disable).plan();
    let short = Duration::from_millis(300);
    let site = Site::inherit(&ca, "app", base, plan, Inherited::default(), |settings| {
        settings.timeouts.drain = short;
    })
    .await;
    let address = site.inbound(port);
    let mut open = TcpStream::connect(address).await.unwrap();
    open.write_all(b"hello").await.unwrap();
    let mut part = [0; 5];
    soon(open.read_exact(&mut part)).await.unwrap();
    site.plane.stop_accepting().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens");
    open.write_all(b"still").await.unwrap();
    soon(open.read_exact(&mut part)).await.unwrap();
    assert_eq!(&part, b"still");
    let log = site.finish().await;
    assert!(log.contains(r#""reason":"drain_timed_out""#), "{log}");
    let mut rest = Vec::new();
    // However it is cut: the connection is over.
    let _ = soon(open.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn listeners_follow_the_plan() {
    let (ca, base) = (Ca::new(), free_base());
    let (listener, first) = application(base).await;
    echo(listener);
    let (listener, second) = application(base).await;
    echo(listener);
    let one = |port| Mesh::new(base).port(port, Protocol::Tcp, MtlsMode::Disable).plan();
    let site = Site::start(&ca, "app", base, one(first)).await;
    assert_eq!(exchange(site.inbound(first), b"1").await.unwrap(), b"1");
    assert!(TcpStream::connect(site.inbound(second)).await.is_err());
    site.plane.follow(&one(second)).await;
    assert!(TcpStream::connect(site.inbound(first)).await.is_err());
    // An address that is taken is reported, and the rest goes on.
    let taken = tokio::net::TcpListener::bind(site.inbound(first)).await.unwrap();
    let both = Mesh::new(base)
        .port(first, Protocol::Tcp, MtlsMode::Disable)
        .port(second, Protocol::Tcp, MtlsMode::Disable)
        .plan();
    site.plane.follow(&both).await;
    let report = site.plane.report();
    assert_eq!(report.failed.keys().copied().collect::<Vec<_>>(), [site.inbound(first)]);
    assert_eq!(report.listening.len(), 1);
    drop(taken);
    soon(async {
        while TcpStream::connect(site.inbound(first)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    site.finish().await;
}
