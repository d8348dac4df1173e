//! A workload's place on loopback, with its proxy and its application.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lateen_engine::Plan;
use lateen_identity::{
    AuthoritySettings, CertificateAuthority, CertificateHandle, KeyAndCsr, MeshTrust, SpiffeId,
    WorkloadCertificate,
};
use lateen_mesh::v1;
use lateen_proxy::config::Plans;
use lateen_proxy::dns::Resolver;
use lateen_proxy::listen::Inherited;
use lateen_proxy::run::DataPlane;
use lateen_proxy::settings::Settings;
use lateen_proxy::telemetry::{Options, OwnWorkload, Telemetry};
use lateen_proxy::tls::{GatewayConfigs, MeshServer};
use lateen_proxy::worker::{Clock, DrainSignal, Parts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No step of a test takes longer.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Something of a test, in time.
pub async fn soon<F: Future>(step: F) -> F::Output {
    tokio::time::timeout(LIMIT, step).await.expect("in time")
}

/// An authority in a folder of its own.
pub struct Ca {
    authority: CertificateAuthority,
    pub folder: tempfile::TempDir,
}

impl Ca {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = AuthoritySettings::new("cluster.local");
        let authority =
            CertificateAuthority::load_or_create(folder.path(), settings, SystemTime::now());
        Self { authority: authority.unwrap(), folder }
    }

    /// The PEM chain, roots last, that certifies `csr`.
    pub fn sign(&self, csr: &str, account: &str) -> Vec<String> {
        let identity = SpiffeId::new("cluster.local", "shop", account).unwrap();
        let hour = Duration::from_secs(3600);
        self.authority.sign(csr, &identity, hour, SystemTime::now()).unwrap().cert_chain
    }

    pub fn root_pem(&self) -> String {
        self.authority.root_pem()
    }

    pub fn certificate(&self, account: &str) -> WorkloadCertificate {
        let key = KeyAndCsr::generate().unwrap();
        let chain = self.sign(key.csr_pem(), account);
        key.certificate(&chain, SystemTime::now()).unwrap()
    }

    fn certify(&self, account: &str) -> Arc<CertificateHandle> {
        let handle = CertificateHandle::new();
        handle.set(Arc::new(self.certificate(account)));
        handle
    }

    fn trust(&self) -> Arc<MeshTrust> {
        MeshTrust::new(self.authority.roots(), ["cluster.local".to_owned()]).unwrap()
    }
}

/// A /16 that no other test of this run uses: they run in parallel, and in several processes.
pub fn free_base() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let start = u8::try_from(std::process::id() % 199).unwrap();
    let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 200;
    Ipv4Addr::new(127, 20 + number, 0, 0)
}

pub fn at(base: Ipv4Addr, offset: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(base) | offset)
}

/// A listener for an application of the workload, at its own address and a free port.
pub async fn application(base: Ipv4Addr) -> (TcpListener, u16) {
    let listener = TcpListener::bind((at(base, 1), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Answers every connection with what it says, after its end too, and closes.
pub fn echo(listener: TcpListener) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let copied = tokio::io::copy(&mut read, &mut write).await;
                if copied.is_ok() {
                    let _ = write.shutdown().await;
                }
            });
        }
    });
}

/// A proxy with two workers and its access log.
pub struct Site {
    pub base: Ipv4Addr,
    pub plane: DataPlane,
    pub plans: Plans,
    telemetry: Arc<Telemetry>,
    log: tempfile::NamedTempFile,
}

impl Site {
    pub async fn start(ca: &Ca, account: &str, base: Ipv4Addr, plan: Arc<Plan>) -> Self {
        Self::inherit(ca, account, base, plan, Inherited::default(), |_| {}).await
    }

    pub async fn inherit(
        ca: &Ca,
        account: &str,
        base: Ipv4Addr,
        plan: Arc<Plan>,
        inherited: Inherited,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::new("127.0.0.1:1", "shop", account, "unused");
        change(&mut settings);
        let (certificate, trust) = (ca.certify(account), ca.trust());
        let telemetry = Telemetry::new(Options::default()).unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let access_log = v1::AccessLog {
            file: log.path().display().to_string(),
            encoding: v1::access_log::Encoding::Json.into(),
            format: String::new(),
        };
        let workload = v1::Workload { name: account.to_owned(), ..v1::Workload::default() };
        let own = OwnWorkload::new(&workload, "cluster.local", account);
        assert_eq!(telemetry.configure(own, &access_log), Vec::<String>::new());
        let parts = Parts {
            settings: Arc::new(settings),
            plans: Plans::fixed(Arc::clone(&plan)),
            mesh_tls: Arc::new(MeshServer::new(&certificate, &trust).unwrap()),
            gateway_tls: Arc::new(GatewayConfigs::default()),
            certificate,
            trust,
            cells: Arc::default(),
            resolver: Resolver::new(
                Box::new(|name| Box::pin(async move { Err(format!("{name} is not looked up")) })),
                tokio::runtime::Handle::current(),
            ),
            telemetry: Arc::clone(&telemetry),
            drain: DrainSignal::default(),
            clock: Clock::new(Instant::now()),
        };
        let plane = DataPlane::start(&parts, inherited).unwrap();
        plane.follow(&plan).await;
        assert_eq!(plane.report().failed.len(), 0, "{:?}", plane.report());
        Self { base, plane, plans: parts.plans, telemetry, log }
    }

    /// Where it takes connections to the workload.
    pub fn inbound(&self, port: u16) -> SocketAddr {
        SocketAddr::from((at(self.base, 2), port))
    }

    /// Where the workload sees the service with this offset.
    pub fn service(&self, offset: u32, port: u16) -> SocketAddr {
        SocketAddr::from((at(self.base, offset), port))
    }

    /// Ends the proxy and returns what it logged: one JSON object a line.
    pub async fn finish(self) -> String {
        soon(self.plane.drain()).await;
        self.telemetry.stop();
        std::fs::read_to_string(self.log.path()).unwrap()
    }
}

/// Sends, half-closes, and reads to the end.
pub async fn exchange(address: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    soon(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(question).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    })
    .await
}

/// Whether a connection is closed without an answer, however it is closed.
pub async fn is_refused(address: SocketAddr, question: &[u8]) -> bool {
    match exchange(address, question).await {
        Ok(answer) => answer.is_empty(),
        Err(_) => true,
    }
}
