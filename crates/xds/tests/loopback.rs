//! The client against the server, over loopback sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use lateen_xds::{
    Resource,
    client::{Backoff, DeltaStream, Disconnected, Event, Response, Settings, Target},
    cut::Cut,
    server::{self, Discovery, Handler, Opening, Outlet, Session, Update},
    wire::Node,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Status};

const TYPE: &str = "type.example/Thing";
const LIMIT: Duration = Duration::from_secs(10);

/// A stream as the handler sees it.
struct Accepted {
    node: String,
    token: Option<String>,
    subscribe: Vec<String>,
    known: BTreeMap<String, String>,
    outlet: Outlet,
    events: mpsc::UnboundedReceiver<server::Event>,
}

impl Accepted {
    async fn event(&mut self) -> server::Event {
        timeout(LIMIT, self.events.recv()).await.expect("an event in time").expect("an event")
    }

    /// Waits for the end of the session.
    async fn ended(&mut self) {
        while timeout(LIMIT, self.events.recv()).await.expect("an end in time").is_some() {}
    }

    async fn send(&self, tag: u64, names: &[&str], removed: &[&str]) {
        self.outlet.send(update(tag, names, removed)).await.expect("an open stream");
    }
}

fn update(tag: u64, names: &[&str], removed: &[&str]) -> Update {
    Update {
        type_url: TYPE.into(),
        resources: names.iter().map(|name| resource(name)).collect(),
        removed: removed.iter().map(|name| (*name).into()).collect(),
        system_version: tag.to_string().into(),
        tag,
    }
}

fn resource(name: &str) -> Resource {
    Resource { name: name.into(), version: "v1".into(), body: name.repeat(1000).into() }
}

/// Takes every stream whose node is not `stranger`, and hands it to the test.
struct Recorder(mpsc::UnboundedSender<Accepted>);

struct Recording(mpsc::UnboundedSender<server::Event>);

impl Handler for Recorder {
    type Session = Recording;

    async fn open(&self, opening: Opening) -> Result<Recording, Status> {
        if opening.node.id == "stranger" {
            return Err(Status::permission_denied("who are you?"));
        }
        assert_eq!(&*opening.type_url, TYPE);
        let (sender, events) = mpsc::unbounded_channel();
        let token = opening.metadata.get("authorization");
        let accepted = Accepted {
            node: opening.node.id,
            token: token.map(|value| value.to_str().expect("a token").to_owned()),
            subscribe: opening.subscribe,
            known: opening.known,
            outlet: opening.outlet,
            events,
        };
        assert!(self.0.send(accepted).is_ok(), "the test has ended");
        Ok(Recording(sender))
    }
}

impl Session for Recording {
    async fn handle(&mut self, event: server::Event) -> Result<(), Status> {
        self.0.send(event).map_err(|_| Status::aborted("the test is not interested"))
    }
}

struct Server {
    address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<Accepted>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, accepted) = mpsc::unbounded_channel();
        let service = Discovery::new(Arc::new(Recorder(sender)), 1 << 20);
        let task = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .expect("it serves");
        });
        Self { address, accepted, task }
    }

    async fn any() -> Self {
        Self::start(([127, 0, 0, 1], 0).into()).await
    }

    async fn accept(&mut self) -> Accepted {
        timeout(LIMIT, self.accepted.recv()).await.expect("a stream in time").expect("a stream")
    }
}

fn client(address: SocketAddr, node: &str) -> DeltaStream {
    patient_client(address, node, Duration::from_millis(50))
}

/// A client with another longest wait.
fn patient_client(address: SocketAddr, node: &str, limit: Duration) -> DeltaStream {
    let mut target = Target::new(address.to_string());
    target.token = Some(Arc::new(|| Ok("secret\n".to_owned())));
    DeltaStream::new(
        target,
        Settings {
            node: Node { id: node.to_owned(), ..Node::default() },
            type_url: TYPE.to_owned(),
            subscriptions: BTreeSet::from(["*".to_owned()]),
            known: BTreeMap::new(),
            backoff: Backoff::new(Duration::from_millis(10), limit, || 0.5),
            max_response: 1 << 22,
        },
    )
}

async fn next(client: &mut DeltaStream) -> Event {
    timeout(LIMIT, client.next()).await.expect("an event in time")
}

async fn connected(client: &mut DeltaStream) {
    loop {
        match next(client).await {
            Event::Connected => return,
            Event::Disconnected(_) => {}
            Event::Response(response) => panic!("not connected, but {response:?}"),
        }
    }
}

async fn response(client: &mut DeltaStream) -> Response {
    match next(client).await {
        Event::Response(response) => response,
        other => panic!("no response, but {other:?}"),
    }
}

async fn disconnected(client: &mut DeltaStream) -> Disconnected {
    match next(client).await {
        Event::Disconnected(end) => end,
        other => panic!("not disconnected, but {other:?}"),
    }
}

/// The client is driven while the test waits for what the server sees of it.
async fn drive<T>(client: &mut DeltaStream, other: impl Future<Output = T>) -> T {
    tokio::select! {
        event = client.next() => panic!("unexpected {event:?}"),
        value = other => value,
    }
}

#[tokio::test]
async fn one_response_is_in_flight() {
    let mut server = Server::any().await;
    let mut client = client(server.address, "n1");
    connected(&mut client).await;
    let mut stream = server.accept().await;
    assert_eq!(stream.node, "n1");
    assert_eq!(stream.token.as_deref(), Some("Bearer secret"));
    assert_eq!(stream.subscribe, ["*"]);

    stream.send(1, &["a", "b"], &[]).await;
    stream.send(2, &[], &["c"]).await;
    let first = response(&mut client).await;
    assert_eq!(first.resources, [resource("a"), resource("b")]);
    assert!(timeout(Duration::from_millis(100), client.next()).await.is_err(), "not acknowledged");
    client.ack(&first.nonce);
    let second = response(&mut client).await;
    assert_eq!(second.removed, ["c".into()]);
    client.nack(&second.nonce, "c is needed");

    let type_url: Arc<str> = TYPE.into();
    let ack = server::Event::Acknowledged { type_url: type_url.clone(), tag: 1 };
    assert_eq!(drive(&mut client, stream.event()).await, ack);
    let reason = "c is needed".to_owned();
    let nack = server::Event::Rejected { type_url, tag: 2, reason };
    assert_eq!(drive(&mut client, stream.event()).await, nack);
}

#[tokio::test]
async fn subscriptions_are_told_once() {
    let mut server = Server::any().await;
    let mut client = client(server.address, "n1");
    connected(&mut client).await;
    let mut stream = server.accept().await;
    client.subscribe(["*".to_owned(), "host/a".to_owned()]);
    client.subscribe(["host/a".to_owned()]);
    client.unsubscribe(["host/a".to_owned(), "host/b".to_owned()]);
    let told = |subscribe: &[&str], unsubscribe: &[&str]| server::Event::Subscriptions {
        type_url: TYPE.into(),
        subscribe: subscribe.iter().map(ToString::to_string).collect(),
        unsubscribe: unsubscribe.iter().map(ToString::to_string).collect(),
        known: BTreeMap::new(),
    };
    assert_eq!(drive(&mut client, stream.event()).await, told(&["host/a"], &[]));
    assert_eq!(drive(&mut client, stream.event()).await, told(&[], &["host/a"]));
}

#[tokio::test]
async fn a_refusal_is_told_and_tried_again() {
    let mut server = Server::any().await;
    let mut client = client(server.address, "stranger");
    for _ in 0..3 {
        let end = disconnected(&mut client).await;
        assert_eq!(end.code, Some(Code::PermissionDenied));
        assert!(end.reason.contains("who are you?"), "{}", end.reason);
        assert!(end.retry_in <= Duration::from_millis(50));
    }
    assert!(server.accepted.try_recv().is_err());
}

#[tokio::test]
async fn what_was_applied_is_known_on_the_next_connection() {
    let mut server = Server::any().await;
    let mut client = client(server.address, "n1");
    connected(&mut client).await;
    let stream = server.accept().await;
    stream.send(1, &["a", "b"], &[]).await;
    let Response { resources, removed, nonce } = response(&mut client).await;
    client.ack(&nonce);
    client.applied(&Cut { sequence: 1, resources, removed });
    client.applied(&Cut { sequence: 2, resources: Vec::new(), removed: vec!["a".into()] });
    client.subscribe(["host/a".to_owned()]);

    stream.outlet.close(Status::unavailable("restarting")).await;
    let end = disconnected(&mut client).await;
    assert_eq!((end.code, &*end.reason), (Some(Code::Unavailable), "restarting"));
    connected(&mut client).await;
    let stream = server.accept().await;
    assert_eq!(stream.known, BTreeMap::from([("b".to_owned(), "v1".to_owned())]));
    assert_eq!(stream.subscribe, ["*", "host/a"]);
}

#[tokio::test]
async fn a_stream_that_ends_in_order_is_made_again_at_once() {
    let mut server = Server::any().await;
    let mut short = patient_client(server.address, "n1", Duration::from_secs(3600));
    connected(&mut short).await;
    server.accept().await.outlet.close(Status::ok("")).await;
    let end = disconnected(&mut short).await;
    assert_eq!(end.code, Some(Code::Ok));
    assert!(end.retry_in > Duration::ZERO, "one that served nobody is not called at once");

    let mut long = client(server.address, "n1");
    connected(&mut long).await;
    let stream = server.accept().await;
    // Longer than the longest wait: it did serve.
    assert!(timeout(Duration::from_millis(60), long.next()).await.is_err());
    stream.outlet.close(Status::ok("")).await;
    let end = disconnected(&mut long).await;
    assert_eq!((end.code, end.retry_in), (Some(Code::Ok), Duration::ZERO));
    connected(&mut long).await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_found() {
    let server = Server::any().await;
    let address = server.address;
    server.task.abort();
    assert!(server.task.await.expect_err("aborted").is_cancelled());

    let mut client = client(address, "n1");
    let end = disconnected(&mut client).await;
    assert_eq!(end.code, None);
    assert!(end.reason.contains(&address.to_string()), "{}", end.reason);
    let mut server = Server::start(address).await;
    connected(&mut client).await;
    server.accept().await;
}

#[tokio::test]
async fn a_session_ends_with_its_client() {
    let mut server = Server::any().await;
    let mut client = client(server.address, "n1");
    connected(&mut client).await;
    let mut stream = server.accept().await;
    drop(client);
    stream.ended().await;
    while stream.outlet.send(update(1, &["a"], &[])).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_only_itself() {
    let mut server = Server::any().await;
    let mut slow = client(server.address, "slow");
    connected(&mut slow).await;
    let slow_stream = server.accept().await;
    slow_stream.send(1, &["a"], &[]).await;
    // Not answered: one more waits in the driver, some in the outlet, the next with its caller.
    slow_stream.send(2, &["a"], &[]).await;
    let refused = (3..20).find_map(|tag| {
        let refused = slow_stream.outlet.try_send(update(tag, &["a"], &[])).err()?;
        Some((tag, refused))
    });
    let mut quick = client(server.address, "quick");
    connected(&mut quick).await;
    let quick_stream = server.accept().await;
    for tag in 0..10 {
        quick_stream.send(tag, &["a"], &[]).await;
        let Response { nonce, .. } = response(&mut quick).await;
        quick.ack(&nonce);
    }
    let (tag, refused) = refused.expect("one must wait");
    assert_eq!(refused.tag, tag);
}

#[tokio::test]
async fn a_first_message_without_a_node_is_refused() {
    let server = Server::any().await;
    let mut client = client(server.address, "");
    assert_eq!(disconnected(&mut client).await.code, Some(Code::InvalidArgument));
}
