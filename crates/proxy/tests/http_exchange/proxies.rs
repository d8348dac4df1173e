//! Proxies under test: the request path behind a listening socket, one worker each.

use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use lateen_engine::Plan;
use lateen_engine::connection::{Hosts, HttpScope};
use lateen_engine::upstream::alpn;
use lateen_identity::{
    AuthoritySettings, CertificateAuthority, CertificateHandle, KeyAndCsr, MeshTrust, SpiffeId,
};
use lateen_mesh::v1;
use lateen_proxy::cell::EndpointCells;
use lateen_proxy::config::Plans;
use lateen_proxy::connection::{ConnectionFacts, Direction, Replay, ServerIo};
use lateen_proxy::dns::Resolver;
use lateen_proxy::http::{self, Codec, Entry};
use lateen_proxy::settings::Settings;
use lateen_proxy::telemetry::{Options, OwnWorkload, Telemetry};
use lateen_proxy::tls::{GatewayConfigs, MeshServer, accept};
use lateen_proxy::worker::{Clock, DrainPhase, DrainSignal, Parts, WorkerContext};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Where the clients of the tests want to go: nobody listens there.
pub const DIALLED: &str = "127.0.0.1:1";

/// Runs a test on one thread, as a worker does, and not longer than a test may take.
pub fn run<F: Future<Output = ()>>(test: F) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(std::time::Duration::from_secs(30), test).await.expect("in time");
    });
}

/// An authority and what it certifies, in a folder of its own.
pub struct Ca {
    authority: CertificateAuthority,
    _state: tempfile::TempDir,
}

impl Ca {
    pub fn new() -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let authority = CertificateAuthority::load_or_create(
            state.path(),
            AuthoritySettings::new("cluster.local"),
            SystemTime::now(),
        );
        Self { authority: authority.expect("an authority"), _state: state }
    }

    fn certify(&self, account: &str) -> Arc<CertificateHandle> {
        let key = KeyAndCsr::generate().expect("a key");
        let identity = SpiffeId::new("cluster.local", "shop", account).expect("an identity");
        let now = SystemTime::now();
        let chain = self
            .authority
            .sign(key.csr_pem(), &identity, std::time::Duration::ZERO, now)
            .expect("signed");
        let certificate = key.certificate(&chain.cert_chain, now).expect("a certificate");
        let handle = CertificateHandle::new();
        handle.set(Arc::new(certificate));
        handle
    }

    fn trust(&self) -> Arc<MeshTrust> {
        MeshTrust::new(self.authority.roots(), ["cluster.local".to_owned()]).expect("trust")
    }
}

/// What a proxy of a test is.
pub struct Proxy {
    /// Where clients dial it.
    pub address: SocketAddr,
    pub ctx: Rc<WorkerContext>,
    pub drain: DrainSignal,
    log: tempfile::NamedTempFile,
    telemetry: Arc<Telemetry>,
}

/// How a proxy takes connections.
#[derive(Clone)]
pub enum Taking {
    /// Plain text, in what version the first bytes say.
    Plain,
    /// Mutual TLS of the mesh, answering with this protocol.
    Mesh(&'static [u8]),
}

/// Settings of a test's proxy.
pub fn settings() -> Settings {
    let mut settings = Settings::new("127.0.0.1:1", "shop", "web", "unused");
    settings.local = false;
    settings
}

/// The sidecar of a caller: virtual hosts of port 80.
pub async fn outbound(plan: Arc<Plan>) -> Proxy {
    outbound_with(plan, &Ca::new(), settings()).await
}

pub async fn outbound_with(plan: Arc<Plan>, ca: &Ca, settings: Settings) -> Proxy {
    let scope = HttpScope { port: 80, destination: address(DIALLED), hosts: Hosts::Port };
    start(
        Plans::fixed(plan),
        ca,
        settings,
        Direction::Outbound,
        Entry::Outbound(scope),
        Taking::Plain,
    )
    .await
}

/// The same, where the plan is yet to come to what it needs.
pub async fn outbound_of(plans: Plans) -> Proxy {
    let scope = HttpScope { port: 80, destination: address(DIALLED), hosts: Hosts::Port };
    let entry = Entry::Outbound(scope);
    start(plans, &Ca::new(), settings(), Direction::Outbound, entry, Taking::Plain).await
}

/// The sidecar of a caller who dialled an address of the shop's, whose protocol is not declared.
pub async fn sniffed(plan: Arc<Plan>) -> Proxy {
    let hosts = Hosts::Entry(crate::mesh::SHOP.into());
    let entry = Entry::Outbound(HttpScope { port: 80, destination: address(DIALLED), hosts });
    start(Plans::fixed(plan), &Ca::new(), settings(), Direction::Outbound, entry, Taking::Plain)
        .await
}

/// A gateway's port 80.
pub async fn gateway(plan: Arc<Plan>) -> Proxy {
    let scope =
        HttpScope { port: 80, destination: address(DIALLED), hosts: Hosts::GatewayHttp(80) };
    let entry = Entry::Gateway(scope);
    start(Plans::fixed(plan), &Ca::new(), settings(), Direction::Gateway, entry, Taking::Plain)
        .await
}

/// The sidecar of an application on `port`.
pub async fn inbound(plan: Arc<Plan>, ca: &Ca, port: u16, taking: Taking) -> Proxy {
    start(Plans::fixed(plan), ca, settings(), Direction::Inbound, Entry::Inbound { port }, taking)
        .await
}

async fn start(
    plans: Plans,
    ca: &Ca,
    settings: Settings,
    direction: Direction,
    entry: Entry,
    taking: Taking,
) -> Proxy {
    let account = if direction == Direction::Inbound { "web" } else { "caller" };
    let (certificate, trust) = (ca.certify(account), ca.trust());
    let telemetry = Telemetry::new(Options::default()).expect("a thread");
    let log = tempfile::NamedTempFile::new().expect("a file");
    let access_log = v1::AccessLog {
        file: log.path().display().to_string(),
        encoding: v1::access_log::Encoding::Json.into(),
        format: String::new(),
    };
    let workload = v1::Workload {
        namespace: "shop".to_owned(),
        name: account.to_owned(),
        owner_name: account.to_owned(),
        service_account: account.to_owned(),
        ..v1::Workload::default()
    };
    let own = OwnWorkload::new(&workload, "cluster.local", &format!("sidecar~{account}"));
    assert!(telemetry.configure(own, &access_log).is_empty(), "the format is honoured");
    let drain = DrainSignal::default();
    let parts = Parts {
        settings: Arc::new(settings),
        plans,
        mesh_tls: Arc::new(MeshServer::new(&certificate, &trust).expect("TLS")),
        gateway_tls: Arc::new(GatewayConfigs::default()),
        certificate,
        trust,
        cells: Arc::new(EndpointCells::default()),
        resolver: resolver(),
        telemetry: Arc::clone(&telemetry),
        drain: drain.clone(),
        clock: Clock::new(Instant::now()),
    };
    let ctx = WorkerContext::new(0, &parts);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let accepting = Rc::clone(&ctx);
    tokio::task::spawn_local(async move {
        let mut id = 0;
        while let Ok((stream, _)) = listener.accept().await {
            id += 1;
            let (ctx, entry, taking) = (Rc::clone(&accepting), entry.clone(), taking.clone());
            tokio::task::spawn_local(take(ctx, stream, direction, entry, taking, id));
        }
    });
    Proxy { address, ctx, drain, log, telemetry }
}

fn resolver() -> Resolver {
    let lookup: lateen_proxy::dns::Lookup =
        Box::new(|name| Box::pin(async move { Err(format!("{name} is not looked up")) }));
    Resolver::new(lookup, tokio::runtime::Handle::current())
}

async fn take(
    ctx: Rc<WorkerContext>,
    stream: TcpStream,
    direction: Direction,
    entry: Entry,
    taking: Taking,
    id: u64,
) {
    let mut facts = ConnectionFacts {
        id,
        direction,
        downstream_remote: stream.peer_addr().expect("a peer"),
        downstream_local: stream.local_addr().expect("an address"),
        original_destination: match &entry {
            Entry::Inbound { port } => SocketAddr::new([127, 0, 0, 1].into(), *port),
            Entry::Outbound(scope) | Entry::Gateway(scope) => scope.destination,
        },
        tls: None,
        sni: None,
        opened: Instant::now(),
    };
    let replay = Replay::new(Bytes::new(), stream);
    let (io, codec) = match taking {
        Taking::Plain => (ServerIo::Plain(replay), Codec::Detect),
        Taking::Mesh(protocol) => {
            let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
            let config = ctx.mesh_tls.config(Some(protocol));
            let Ok((stream, tls)) = accept(config, replay, deadline).await else { return };
            facts.tls = Some(tls);
            let codec = if protocol == alpn::NATIVE { Codec::Native } else { Codec::Detect };
            (ServerIo::Tls(stream), codec)
        }
    };
    http::serve(ctx, io, Rc::new(facts), entry, codec).await;
}

impl Proxy {
    /// The lines of the access log, once there are at least `count`.
    pub async fn log(&self, count: usize) -> Vec<serde_json::Value> {
        loop {
            self.ctx.telemetry.flush();
            let text = std::fs::read_to_string(self.log.path()).expect("the log");
            let lines: Vec<_> = text.lines().collect();
            if lines.len() >= count {
                return lines.iter().map(|it| serde_json::from_str(it).expect("JSON")).collect();
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The only line of the access log.
    pub async fn line(&self) -> serde_json::Value {
        let mut lines = self.log(1).await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// The metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.telemetry.expose().collect()
    }

    pub fn drain(&self) {
        self.drain.advance(DrainPhase::Draining);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.telemetry.stop();
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
