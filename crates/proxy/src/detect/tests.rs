use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lateen_engine::{Inspect, OnSilence};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;

const BOTH: Inspect = Inspect { tls: true, http: true, on_silence: OnSilence::Wait };
const LIMIT: usize = 16 * 1024;
const MOMENT: Duration = Duration::from_millis(10);
const PATIENT: Patience =
    Patience { first: Duration::from_secs(10), rest: Duration::from_secs(10) };

/// A ClientHello as rustls sends it.
fn real_hello(name: &'static str, alpn: &[&[u8]]) -> Vec<u8> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = rustls_pki_types::ServerName::try_from(name).unwrap();
    let mut connection = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same handshake bytes in records of `size` bytes.
fn refragment(hello: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in hello[5..].chunks(size) {
        out.extend_from_slice(&[22, 3, 1]);
        out.extend_from_slice(&u16::try_from(piece.len()).unwrap().to_be_bytes());
        out.extend_from_slice(piece);
    }
    out
}

fn decided(bytes: &[u8]) -> Option<Detected> {
    match classify(bytes, BOTH, LIMIT) {
        Verdict::Decided(detected) => Some(detected),
        Verdict::Undecided => None,
    }
}

#[test]
fn text_is_told_apart() {
    for (bytes, expected) in [
        (&b""[..], None),
        (b"G", None),
        (b"GET", None),
        (b"GET /", None),
        (b"GET / HTTP/1.", None),
        (b"GET / HTTP/1.1", None),
        (b"GET / HTTP/1.1\r", Some(Detected::Http1)),
        (b"\r\nGET / HTTP/1.1\r\n", Some(Detected::Http1)),
        (b"GET / HTTP/1.0\n", Some(Detected::Http1)),
        (b"M-SEARCH * HTTP/1.1\r\n", Some(Detected::Http1)),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n", Some(Detected::Http1)),
        (b"GET / HTTP/2.0\r\n", Some(Detected::Opaque)),
        (b"GET /key\r\n", Some(Detected::Opaque)),
        (b"GET  / HTTP/1.1\r\n", Some(Detected::Opaque)),
        (b"SET key value\r\n", Some(Detected::Opaque)),
        (b"*1\r\n$4\r\nPING\r\n", Some(Detected::Opaque)),
        (b"SSH-2.0-OpenSSH_9.6\r\n", Some(Detected::Opaque)),
        (b"EHLO there\r\n", Some(Detected::Opaque)),
        (b"a-word-that-is-too-long-to-be-a-method", Some(Detected::Opaque)),
        (b"\0", Some(Detected::Opaque)),
        (b"P", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n", None),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(Detected::Http2)),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Some(Detected::Opaque)),
        (b"POST / HTTP/1.1\r\n", Some(Detected::Http1)),
        (b"\x16", None),
        (b"\x16\x02\x00", Some(Detected::Opaque)),
        (b"\x16\x03\x01\x00\x00", Some(Detected::Opaque)),
        (b"\x16\x03\x01\xff\xff", Some(Detected::Opaque)),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", Some(Detected::Opaque)),
    ] {
        assert_eq!(decided(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn what_is_not_asked_for_is_opaque() {
    let (no_tls, no_http) = (Inspect { tls: false, ..BOTH }, Inspect { http: false, ..BOTH });
    let opaque = Verdict::Decided(Detected::Opaque);
    assert_eq!(classify(&real_hello("a.example", &[]), no_tls, LIMIT), opaque);
    assert_eq!(classify(b"GET / HTTP/1.1\r\n", no_http, LIMIT), opaque);
}

#[test]
fn a_request_line_beyond_the_limit_is_http() {
    let line = [b"GET /".to_vec(), vec![b'a'; 100]].concat();
    assert_eq!(classify(&line, BOTH, 200), Verdict::Undecided);
    assert_eq!(classify(&line, BOTH, 100), Verdict::Decided(Detected::Http1));
}

#[test]
fn a_hello_is_read_in_any_fragmentation() {
    let alpn: [&[u8]; 3] = [b"istio-http/1.1", b"istio", b"http/1.1"];
    let whole = real_hello("Reviews.Shop.example", &alpn);
    let expected = Detected::Tls(ClientHello {
        sni: Some("reviews.shop.example".into()),
        alpn: alpn.iter().map(|name| (*name).into()).collect(),
    });
    for size in [1, 2, 3, 7, 100, 1 << 14] {
        let bytes = refragment(&whole, size);
        assert_eq!(decided(&bytes), Some(expected.clone()), "records of {size}");
        for cut in 0..bytes.len() {
            assert_eq!(decided(&bytes[..cut]), None, "records of {size}, {cut} bytes");
        }
    }
}

#[test]
fn a_hello_without_extensions_or_with_odd_ones() {
    let body = |extensions: &[u8]| {
        let mut hello = vec![3, 3];
        hello.extend_from_slice(&[7; 32]);
        hello.extend_from_slice(&[0, 0, 2, 0x13, 0x01, 1, 0]);
        hello.extend_from_slice(extensions);
        let length = u8::try_from(hello.len()).unwrap();
        let mut bytes = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
        bytes.extend_from_slice(&hello);
        decided(&bytes)
    };
    let none = Some(Detected::Tls(ClientHello::default()));
    for (extensions, expected) in [
        (&[][..], none.clone()),
        (&[0, 0], none.clone()),
        // An unknown extension; a server name list without a host name.
        (&[0, 5, 0xab, 0xcd, 0, 1, 9], none.clone()),
        (&[0, 10, 0, 0, 0, 6, 0, 4, 9, 0, 1, b'a'], none),
        // A length beyond the end, an empty protocol, an empty name, an unprintable one.
        (&[0, 9, 0, 0, 0, 1], Some(Detected::Opaque)),
        (&[0, 7, 0, 16, 0, 3, 0, 1, 0], Some(Detected::Opaque)),
        (&[0, 9, 0, 0, 0, 5, 0, 3, 0, 0, 0], Some(Detected::Opaque)),
        (&[0, 10, 0, 0, 0, 6, 0, 4, 0, 0, 1, 7], Some(Detected::Opaque)),
    ] {
        assert_eq!(body(extensions), expected, "{extensions:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_are_decided_at_the_limit(
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
        tls: bool,
        http: bool,
    ) {
        let inspect = Inspect { tls, http, on_silence: OnSilence::Wait };
        let _ = classify(&bytes, inspect, LIMIT);
        if !bytes.is_empty() {
            prop_assert_ne!(classify(&bytes, inspect, bytes.len()), Verdict::Undecided);
        }
    }

    #[test]
    fn a_damaged_hello_never_panics(position in 0usize..400, byte: u8, cut in 0usize..400) {
        let mut bytes = real_hello("a.example", &[b"h2", b"http/1.1"]);
        if let Some(place) = bytes.get_mut(position) {
            *place = byte;
        }
        bytes.truncate(cut);
        let _ = classify(&bytes, BOTH, LIMIT);
    }

    #[test]
    fn more_bytes_never_change_a_decision(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b' '), Just(b'\r'), Just(b'\n'), b'A'..=b'Z', any::<u8>()], 1..64),
        start in prop_oneof![
            Just(&b""[..]), Just(&b"GET /"[..]), Just(&b"PRI * HTTP/2.0\r\n"[..]),
            Just(&b"\x16\x03\x01\x00\x05\x01"[..]), Just(&b"GET / HTTP/1."[..])],
    ) {
        let bytes = [start, &bytes].concat();
        let mut earlier = None;
        for end in 1..=bytes.len() {
            let now = decided(&bytes[..end]);
            if earlier.is_some() {
                prop_assert_eq!(&now, &earlier, "at {}", end);
            }
            earlier = now;
        }
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn bytes_that_come_one_by_one_are_kept() {
    let (mut client, mut server) = pair().await;
    let hello = real_hello("a.example", &[b"h2"]);
    let sent = hello.clone();
    let sender = tokio::spawn(async move {
        for byte in sent {
            client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    });
    let sniffed = sniff(&mut server, BOTH, PATIENT, LIMIT).await.unwrap();
    assert_eq!(&sniffed.bytes[..], &hello[..]);
    assert!(matches!(sniffed.detected, Detected::Tls(_)));
    sender.await.unwrap();
}

#[tokio::test]
async fn silence_and_ends() {
    let (mut client, mut server) = pair().await;
    let patience = Patience { first: MOMENT, rest: MOMENT };
    let sniffed = sniff(&mut server, BOTH, patience, LIMIT).await.unwrap();
    assert_eq!((sniffed.detected, sniffed.bytes.len()), (Detected::Nothing, 0));

    client.write_all(b"GET").await.unwrap();
    let sniffed = sniff(&mut server, BOTH, patience, LIMIT).await.unwrap();
    assert_eq!((sniffed.detected, &sniffed.bytes[..]), (Detected::Opaque, &b"GET"[..]));

    client.write_all(b"GE").await.unwrap();
    client.shutdown().await.unwrap();
    let sniffed = sniff(&mut server, BOTH, PATIENT, LIMIT).await.unwrap();
    assert_eq!((sniffed.detected, &sniffed.bytes[..]), (Detected::Opaque, &b"GE"[..]));
    assert!(sniff(&mut server, BOTH, PATIENT, LIMIT).await.is_err(), "closed without a byte");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_begun_is_waited_for_longer_than_the_silent() {
    let (mut client, mut server) = pair().await;
    let patience = Patience { first: MOMENT, rest: 100 * MOMENT };
    client.write_all(b"GET / HT").await.unwrap();
    let rest = async {
        tokio::time::sleep(50 * MOMENT).await;
        client.write_all(b"TP/1.1\r\n").await.unwrap();
    };
    let (sniffed, ()) = tokio::join!(sniff(&mut server, BOTH, patience, LIMIT), rest);
    let sniffed = sniffed.unwrap();
    assert_eq!((sniffed.detected, sniffed.bytes.len()), (Detected::Http1, 16));
}

#[test]
fn who_speaks_first_is_remembered_for_a_while() {
    let memory = ServerFirst::new(Duration::from_secs(10));
    let (now, address) = (Instant::now(), SocketAddr::from(([127, 0, 0, 1], 25)));
    assert!(!memory.contains(address, now));
    memory.insert(address, now);
    assert!(memory.contains(address, now + Duration::from_secs(9)));
    assert!(!memory.contains(address, now + Duration::from_secs(10)));
    for port in 1..=2000 {
        memory.insert(SocketAddr::from(([127, 0, 0, 2], port)), now);
    }
    assert!(memory.contains(SocketAddr::from(([127, 0, 0, 2], 2000)), now));
}
