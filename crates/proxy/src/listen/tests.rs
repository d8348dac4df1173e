use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use lateen_engine::{Cut, Plan, Resources};
use lateen_mesh::address::{encode_address, pack_port};
use lateen_mesh::v1::{self, Protocol, resource::Body};
use prost::Message;
use tokio::sync::mpsc;

use super::*;
use crate::settings::{Role, Settings};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn plan(resources: Vec<(&str, Body)>) -> Arc<Plan> {
    let upserts = resources.into_iter().map(|(name, body)| {
        let resource = v1::Resource { objects: Vec::new(), body: Some(body) };
        (name.to_owned(), Bytes::from(resource.encode_to_vec()))
    });
    let cut = Cut { upserts: upserts.collect(), removed: Vec::new() };
    Resources::new().apply(&cut).unwrap()
}

fn open_gateway(port: u16) -> v1::GatewayListener {
    let server = v1::GatewayServer {
        protocol: v1::GatewayProtocol::Http.into(),
        number: port.into(),
        ..v1::GatewayServer::default()
    };
    v1::GatewayListener { port: port.into(), servers: vec![server], http_routes: Vec::new() }
}

#[test]
fn own_ports_are_on_every_address_of_either_family() {
    let listener = bind_everywhere(0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut addresses = vec![SocketAddr::from(([127, 0, 0, 1], port))];
    // A machine may have no IPv6.
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.push(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port)));
    }
    for address in addresses {
        TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    let taken = bind_everywhere(port).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn local_mode_listens_on_the_workloads_own_addresses() {
    let inbound = v1::Inbound {
        local_base: encode_address(IpAddr::V4(Ipv4Addr::new(127, 9, 0, 0))),
        ports: [80, 9080]
            .map(|port| v1::InboundPort { port, ..v1::InboundPort::default() })
            .to_vec(),
        ..v1::Inbound::default()
    };
    let entry = |host: &str, local_offset, ports: &[u16]| v1::DirectoryEntry {
        host: host.to_owned(),
        ports: ports.iter().map(|port| pack_port(*port, Protocol::Tcp)).collect(),
        local_offset,
        ..v1::DirectoryEntry::default()
    };
    let directory = v1::DirectorySlice {
        namespace: "shop".to_owned(),
        entries: vec![
            entry("a.shop", 256, &[80, 5432]),
            entry("b.shop", 300, &[1023, 1024]),
            entry("*.example.com", 0, &[443]),
        ],
        ..v1::DirectorySlice::default()
    };
    let gateway = open_gateway(8443);
    let plan = plan(vec![
        ("inbound/shop/app", Body::Inbound(inbound)),
        ("directory/shop/0", Body::Directory(directory)),
        ("gateway/8443", Body::Gateway(gateway)),
    ]);
    let settings = Settings::new("127.0.0.1:15012", "shop", "app", "/state");
    let found: Vec<_> = wanted(&plan, &settings)
        .into_iter()
        .map(|listener| {
            let Capture::Address(original) = listener.capture else { panic!("{listener:?}") };
            (listener.bind.to_string(), original.port(), listener.direction)
        })
        .collect();
    let expected = [
        ("127.9.0.2:8443", 8443, Direction::Gateway),
        ("127.9.0.2:9080", 9080, Direction::Inbound),
        ("127.9.0.2:20080", 80, Direction::Inbound),
        ("127.9.1.0:5432", 5432, Direction::Outbound),
        ("127.9.1.0:20080", 80, Direction::Outbound),
        ("127.9.1.44:1024", 1024, Direction::Outbound),
        ("127.9.1.44:21023", 1023, Direction::Outbound),
    ];
    let expected = expected.map(|(bind, port, direction)| (bind.to_owned(), port, direction));
    assert_eq!(found, expected);
    assert!(wanted(&Plan::default(), &settings).is_empty(), "nothing is known yet");
}

#[test]
fn a_pod_listens_where_its_traffic_is_captured_or_where_its_gateway_is() {
    let inbound = |addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| encode_address(text.parse().unwrap()));
        let workload = v1::Workload { addresses: addresses.collect(), ..v1::Workload::default() };
        Body::Inbound(v1::Inbound { workload: Some(workload), ..v1::Inbound::default() })
    };
    let mut settings = Settings::new("istiod:15012", "shop", "app", "/state");
    settings.local = false;
    let shown = |plan: &Plan, settings: &Settings| -> Vec<(String, Direction, Capture)> {
        let listeners = wanted(plan, settings).into_iter();
        listeners.map(|it| (it.bind.to_string(), it.direction, it.capture)).collect()
    };
    let both = plan(vec![("inbound/shop/app", inbound(&["10.0.0.1", "fd00::1"]))]);
    let redirected = |bind: &str, direction| (bind.to_owned(), direction, Capture::Redirected);
    assert_eq!(
        shown(&both, &settings),
        [
            redirected("0.0.0.0:15001", Direction::Outbound),
            redirected("0.0.0.0:15006", Direction::Inbound),
            redirected("[::]:15001", Direction::Outbound),
            redirected("[::]:15006", Direction::Inbound),
        ]
    );
    settings.transparent = true;
    let one = plan(vec![("inbound/shop/app", inbound(&["fd00::1"]))]);
    assert_eq!(
        shown(&one, &settings),
        [
            redirected("[::]:15001", Direction::Outbound),
            ("[::]:15006".to_owned(), Direction::Inbound, Capture::Transparent),
        ]
    );
    let gateway = open_gateway(8443);
    let gateway = plan(vec![
        ("inbound/shop/app", inbound(&["10.0.0.1"])),
        ("gateway/8443", Body::Gateway(gateway)),
    ]);
    let own = ("0.0.0.0:8443".to_owned(), Direction::Gateway, Capture::Own);
    assert_eq!(shown(&gateway, &settings), [own]);
    settings.role = Role::Gateway;
    assert!(wanted(&one, &settings).is_empty(), "a gateway without a port captures nothing");
}

/// Gives a connection out; whether somebody took it.
fn give(handout: &Handout, listener: &TcpListener) -> bool {
    let local = listener.local_addr().unwrap();
    let client = TcpStream::connect(local).unwrap();
    let (stream, remote) = listener.accept().unwrap();
    drop(client);
    let given = handout.give(|slot| Accepted {
        stream,
        remote,
        local,
        original_destination: local,
        direction: Direction::Inbound,
        at: Instant::now(),
        slot,
    });
    given.is_some()
}

#[test]
fn connections_go_to_the_worker_with_the_fewest_and_not_beyond_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (first, mut first_inbox) = mpsc::unbounded_channel();
    let (second, mut second_inbox) = mpsc::unbounded_channel();
    let loads = [Arc::new(WorkerLoad::default()), Arc::new(WorkerLoad::default())];
    let workers = vec![(first, Arc::clone(&loads[0])), (second, Arc::clone(&loads[1]))];
    let handout = Handout::new(workers, 4);
    for _ in 0..4 {
        assert!(give(&handout, &listener));
    }
    assert_eq!(loads.each_ref().map(|load| load.open()), [2, 2]);
    assert!(!give(&handout, &listener));
    assert_eq!((handout.open(), handout.refused()), (4, 1));
    // The first worker is done with its connections: the next two are its own.
    drop((first_inbox.try_recv().unwrap(), first_inbox.try_recv().unwrap()));
    assert_eq!(handout.open(), 2);
    assert!(give(&handout, &listener) && give(&handout, &listener));
    assert!(first_inbox.try_recv().is_ok() && first_inbox.try_recv().is_ok());
    assert!(second_inbox.try_recv().is_ok() && second_inbox.try_recv().is_ok());
    assert!(second_inbox.try_recv().is_err());
}

#[test]
fn what_is_inherited_is_found_by_its_address() {
    let listening = bind(address("127.0.0.1:0")).unwrap();
    let local = listening.local_addr().unwrap();
    let client = TcpStream::connect(local).unwrap();
    let mut inherited = Inherited::new([listening.into(), client.into()]);
    assert_eq!(inherited.len(), 1, "a connection is no listening socket");
    assert!(inherited.take(address("127.0.0.1:1")).is_none());
    let taken = inherited.take(local).unwrap();
    assert_eq!(taken.local_addr().unwrap(), local);
    assert!(inherited.is_empty());
    assert!(bind(local).is_err(), "it is still listening");
}
