use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};

use super::{Counters, Ended, Relay};

fn relay(idle: Duration) -> (Relay, Rc<Counters>) {
    let counters = Rc::new(Counters::default());
    (Relay { counters: Rc::clone(&counters), idle }, counters)
}

const HOUR: Duration = Duration::from_secs(3600);

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn an_end_is_passed_on_and_the_other_way_goes_on() {
    let (mut client, mut downstream) = tcp_pair().await;
    let (mut upstream, mut server) = tcp_pair().await;
    let (relay, counters) = relay(HOUR);
    let peers = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut question = String::new();
        server.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question", "the server sees the end");
        server.write_all(b"a longer answer").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (ended, answer) = tokio::join!(relay.run(&mut downstream, &mut upstream), peers);
    assert_eq!(answer, "a longer answer");
    assert!(matches!(ended, Ended::Closed), "{ended:?}");
    assert_eq!((counters.received.get(), counters.sent.get()), (8, 15));
}

/// Streams with a tiny window force every write to be partial.
fn narrow() -> ((DuplexStream, DuplexStream), (DuplexStream, DuplexStream)) {
    (duplex(7), duplex(5))
}

#[tokio::test]
async fn nothing_is_lost_or_reordered_under_back_pressure() {
    let ((mut client, mut downstream), (mut upstream, mut server)) = narrow();
    let sent: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let (relay, counters) = relay(HOUR);
    let (copy, expected) = (sent.clone(), sent.clone());
    let echo = async {
        let (mut read, mut write) = tokio::io::split(&mut server);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let exchange = async {
        let (mut read, mut write) = tokio::io::split(&mut client);
        let send = async {
            write.write_all(&copy).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let mut back = Vec::new();
        let (_, received) = tokio::join!(send, read.read_to_end(&mut back));
        received.unwrap();
        back
    };
    let (ended, (), back) = tokio::join!(relay.run(&mut downstream, &mut upstream), echo, exchange);
    assert!(matches!(ended, Ended::Closed), "{ended:?}");
    assert!(back == expected);
    let length = u64::try_from(sent.len()).unwrap();
    assert_eq!((counters.received.get(), counters.sent.get()), (length, length));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let ((mut client, mut downstream), (mut upstream, mut server)) = (duplex(64), duplex(64));
    let (relay, _) = relay(Duration::from_secs(10));
    let talk = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(8)).await;
            client.write_all(b"x").await.unwrap();
            server.read_u8().await.unwrap();
        }
        tokio::time::Instant::now()
    };
    let run =
        async { (relay.run(&mut downstream, &mut upstream).await, tokio::time::Instant::now()) };
    let ((ended, end), last) = tokio::join!(run, talk);
    assert!(matches!(ended, Ended::Idle), "{ended:?}");
    assert_eq!((end - last).as_secs(), 10);
}

#[tokio::test]
async fn the_side_that_breaks_is_named() {
    for upstream_breaks in [true, false] {
        let (client, mut downstream) = tcp_pair().await;
        let (mut upstream, server) = tcp_pair().await;
        let (broken, kept) = if upstream_breaks { (server, client) } else { (client, server) };
        broken.set_zero_linger().unwrap();
        drop(broken);
        let ended = relay(HOUR).0.run(&mut downstream, &mut upstream).await;
        match ended {
            Ended::Upstream(_) => assert!(upstream_breaks),
            Ended::Downstream(_) => assert!(!upstream_breaks),
            Ended::Closed | Ended::Idle => panic!("{ended:?}"),
        }
        drop(kept);
    }
}
