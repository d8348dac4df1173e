use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::thread;

use tempfile::tempdir;

use super::*;
use crate::listen::Inherited;

fn estate(sockets: usize) -> (Estate, Vec<std::net::SocketAddr>) {
    let listeners: Vec<_> =
        (0..sockets).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let estate = Estate {
        sockets: listeners.into_iter().map(OwnedFd::from).collect(),
        certificate: Some(b"certificate and key".to_vec()),
        resources: vec![Resource {
            name: "settings".to_owned(),
            version: "1f".to_owned(),
            body: Bytes::from(vec![7; 300_000]),
        }],
    };
    (estate, addresses)
}

async fn knock(door: &Door) -> Successor {
    door.knock().await.unwrap()
}

#[tokio::test]
async fn everything_arrives_and_the_sockets_go_on_listening() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("handover");
    let door = Door::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // More than one message can carry.
    let (estate, addresses) = estate(300);
    let at = path.clone();
    let successor = thread::spawn(move || {
        let (predecessor, estate) = Predecessor::find(&at).unwrap().expect("a predecessor");
        let replaced = Door::open(&at).unwrap();
        predecessor.release().unwrap();
        (estate, replaced)
    });
    let mut knocked = knock(&door).await;
    let resources = estate.resources.clone();
    tokio::task::spawn_blocking(move || knocked.give(&estate).map(|()| drop(estate)))
        .await
        .unwrap()
        .unwrap();
    drop(door);
    let (received, replaced) = successor.join().unwrap();
    assert!(path.exists(), "the successor's door stays");
    assert_eq!(received.certificate.as_deref(), Some(&b"certificate and key"[..]));
    assert_eq!(received.resources, resources);
    let mut inherited = Inherited::new(received.sockets);
    for address in addresses {
        let listener = inherited.take(address).expect("every socket arrived");
        TcpStream::connect(address).unwrap();
        listener.set_nonblocking(false).unwrap();
        listener.accept().unwrap();
    }
    assert!(inherited.is_empty());
    drop(replaced);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_successor_that_fails_leaves_the_predecessor_as_it_was() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("handover");
    let door = Door::open(&path).unwrap();
    let at = path.clone();
    let successor = thread::spawn(move || drop(Predecessor::find(&at).unwrap()));
    let mut knocked = knock(&door).await;
    let (estate, addresses) = estate(2);
    let (outcome, estate) =
        tokio::task::spawn_blocking(move || (knocked.give(&estate), estate)).await.unwrap();
    assert!(outcome.is_err());
    successor.join().unwrap();
    TcpStream::connect(addresses[0]).unwrap();
    drop(estate);
    assert!(path.exists());
}

#[test]
fn without_a_predecessor_there_is_nothing_to_take() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("handover");
    assert!(Predecessor::find(&path).unwrap().is_none());
    // A socket that a killed process left behind.
    drop(UnixListener::bind(&path).unwrap());
    assert!(Predecessor::find(&path).unwrap().is_none());
}
