//! The configuration client and the certificates against a real control plane.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use lateen_controller::{Controller, Running};
use lateen_engine::Plan;
use lateen_proxy::certificates::Certificates;
use lateen_proxy::config::{Client, Credentials, NeedError, Plans};
use lateen_proxy::handover::Resource;
use lateen_proxy::settings::Settings;
use lateen_proxy::telemetry::{Options, Telemetry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For whatever should happen soon.
const SOON: Duration = Duration::from_secs(20);

/// How long a request would wait for details.
const NEED: Duration = Duration::from_secs(1);

const WEB: &str = "web.shop.svc.cluster.local";
const API: &str = "api.shop.svc.cluster.local";
const DB: &str = "db.shop.svc.cluster.local";

/// A service with one pod behind it, which runs as `account`.
fn service(name: &str, pod: &str, account: &str, number: u8) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec:
  clusterIP: 10.96.0.{number}
  selector: {{app: {name}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}
addressType: IPv4
ports: [{{name: http, port: 8080}}]
endpoints:
- addresses: [10.1.{number}.1]
  conditions: {{ready: true}}
  targetRef: {{kind: Pod, name: {pod}, namespace: shop}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {pod}
  namespace: shop
  labels: {{app: {name}, security.istio.io/tlsMode: istio}}
spec: {{serviceAccountName: {account}}}
status: {{podIP: 10.1.{number}.1, podIPs: [{{ip: 10.1.{number}.1}}], phase: Running}}
"
    )
}

/// A control plane over three services.
struct Mesh {
    folder: TempDir,
    listen: SocketAddr,
    chunk_bytes: usize,
    certificate_lifetime: Duration,
    running: Option<Running>,
}

impl Mesh {
    async fn start() -> Self {
        Self::with(1 << 20, Duration::from_secs(3600)).await
    }

    async fn with(chunk_bytes: usize, certificate_lifetime: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mesh")).unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut mesh = Self { folder, listen, chunk_bytes, certificate_lifetime, running: None };
        for (name, pod, account, number) in
            [("web", "web-1", "web", 1), ("api", "api-1", "api", 2), ("db", "db-1", "postgres", 3)]
        {
            mesh.write(name, &service(name, pod, account, number));
        }
        mesh.up().await;
        mesh
    }

    fn write(&self, name: &str, text: &str) {
        let folder = self.folder.path().join("mesh");
        let temporary = folder.join(format!(".{name}"));
        fs::write(&temporary, text).unwrap();
        fs::rename(temporary, folder.join(format!("{name}.yaml"))).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    async fn up(&mut self) {
        let yaml = self.folder.path().join("mesh");
        let mut settings = lateen_controller::Settings::new(yaml, self.listen, self.state());
        settings.monitoring = SocketAddr::from(([127, 0, 0, 1], 0));
        settings.chunk_bytes = self.chunk_bytes;
        settings.certificate_lifetime = self.certificate_lifetime;
        let running = Controller::start(settings).await.unwrap();
        self.listen = running.addresses().discovery;
        self.running = Some(running);
    }

    async fn down(&mut self) {
        self.running.take().unwrap().shutdown().await;
    }

    fn settings(&self, workload: &str) -> Settings {
        Settings::new(self.listen.to_string(), "shop", workload, self.state())
    }
}

/// What runs on a proxy's configuration thread.
struct Proxy {
    plans: Plans,
    certificates: Arc<Certificates>,
    telemetry: Arc<Telemetry>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    fn start(settings: &Settings, inherited: Vec<Resource>) -> Self {
        let credentials = Credentials::new(settings);
        let certificates = Certificates::new(credentials.roots().unwrap());
        let telemetry = Telemetry::new(Options::default()).unwrap();
        let (client, plans) = Client::new(
            settings,
            &credentials,
            Arc::clone(&certificates),
            Arc::clone(&telemetry),
            inherited,
            || 0.5,
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(client.run());
        tasks.spawn(Arc::clone(&certificates).run(credentials, || 0.5));
        Self { plans, certificates, telemetry, _tasks: tasks }
    }

    /// Waits until the plan is as it should be.
    async fn plan(&self, what: &str, condition: impl Fn(&Plan) -> bool) -> Arc<Plan> {
        let mut changed = self.plans.changed();
        let wait = async {
            loop {
                let plan = self.plans.current();
                if condition(&plan) {
                    return plan;
                }
                changed.changed().await.unwrap();
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{what}: {:?}", self.plans.status()))
    }

    async fn issued(&self) {
        let mut issued = self.certificates.issued();
        let issued = issued.wait_for(|issued| *issued);
        timeout(SOON, issued).await.expect("a certificate is issued").unwrap();
    }
}

fn complete(plan: &Plan) -> bool {
    plan.workload().is_some() && [WEB, API, DB].iter().all(|host| plan.knows(host))
}

#[tokio::test]
async fn a_proxy_gets_configuration_certificate_and_details() {
    let mesh = Mesh::start().await;
    let proxy = Proxy::start(&mesh.settings("web-1"), Vec::new());
    let plan = proxy.plan("the first configuration", complete).await;
    assert!(*proxy.plans.ready().borrow());
    assert!(!plan.has_details(API), "details come on demand");

    proxy.issued().await;
    let certificate = proxy.certificates.status().certificate.unwrap();
    assert_eq!(certificate.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/web");
    assert!(proxy.certificates.mesh_trust().is_some());

    assert_eq!(proxy.plans.need(API, NEED).await, Ok(()));
    assert!(proxy.plans.current().has_details(API));
    assert_eq!(proxy.plans.need("no.such.host", NEED).await, Err(NeedError::Unknown));
    assert_eq!(proxy.plans.status().subscriptions, 1);

    let shard = proxy.telemetry.shard();
    assert_eq!(shard.own().principal, "spiffe://cluster.local/ns/shop/sa/web");
    proxy.telemetry.stop();
}

/// The workload's name says nothing of its account, and there are tokens of three.
#[tokio::test]
async fn the_service_account_is_found_at_once() {
    let mesh = Mesh::start().await;
    let proxy = Proxy::start(&mesh.settings("db-1"), Vec::new());
    proxy.plan("the configuration", complete).await;
    proxy.issued().await;
    let certificates = proxy.certificates.status();
    let certificate = certificates.certificate.unwrap();
    assert_eq!(certificate.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/postgres");
    assert_eq!((certificates.renewals, certificates.failures), (1, 0));
    let status = proxy.plans.status();
    assert_eq!((status.connections, status.last_error), (1, None), "nothing was refused");
}

#[tokio::test]
async fn a_proxy_waits_for_its_workload_to_be_applied() {
    let mesh = Mesh::start().await;
    let proxy = Proxy::start(&mesh.settings("cart-1"), Vec::new());
    let told = async {
        loop {
            if let Some(error) = proxy.plans.status().last_error {
                return error;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let error = timeout(SOON, told).await.expect("the reason is told");
    let expected = "the control plane knows no workload shop/cart-1 yet: \
                    a Pod or WorkloadEntry of that name has to be applied";
    assert!(error.contains(expected), "{error}");

    mesh.write("cart", &service("cart", "cart-1", "till", 9));
    proxy.plan("the configuration", complete).await;
    proxy.issued().await;
    let certificate = proxy.certificates.status().certificate.unwrap();
    assert_eq!(certificate.identity().as_str(), "spiffe://cluster.local/ns/shop/sa/till");
}

#[tokio::test]
async fn the_control_plane_may_go_and_come_back() {
    let mut mesh = Mesh::start().await;
    let proxy = Proxy::start(&mesh.settings("web-1"), Vec::new());
    proxy.plan("the configuration", complete).await;
    assert_eq!(proxy.plans.need(API, NEED).await, Ok(()));
    let before = proxy.plans.version();

    mesh.down().await;
    assert_eq!(proxy.plans.need(API, NEED).await, Ok(()), "what is there stays");
    assert_eq!(proxy.plans.need(DB, NEED).await, Err(NeedError::Disconnected));
    assert!(complete(&proxy.plans.current()));

    mesh.up().await;
    let back = async {
        while !proxy.plans.status().connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, back).await.expect("the stream comes back");
    assert_eq!(proxy.plans.need(DB, NEED).await, Ok(()));
    assert!(proxy.plans.current().has_details(API));
    assert!(proxy.plans.version() > before);
}

#[tokio::test]
async fn a_successor_needs_no_control_plane() {
    let mut mesh = Mesh::start().await;
    let settings = mesh.settings("web-1");
    let predecessor = Proxy::start(&settings, Vec::new());
    predecessor.plan("the configuration", complete).await;
    assert_eq!(predecessor.plans.need(API, NEED).await, Ok(()));
    mesh.down().await;

    let left = predecessor.plans.resources();
    let successor = Proxy::start(&settings, left);
    assert!(*successor.plans.ready().borrow(), "at once");
    let plan = successor.plans.current();
    assert!(complete(&plan) && plan.has_details(API));

    mesh.up().await;
    mesh.write("cart", &service("cart", "cart-1", "cart", 9));
    let cart = "cart.shop.svc.cluster.local";
    successor.plan("what came later", |plan| plan.knows(cart)).await;
    assert!(successor.plans.current().has_details(API), "still subscribed to");
}

#[tokio::test]
async fn certificates_renew_at_half_their_life() {
    let mesh = Mesh::with(1 << 20, Duration::from_secs(2)).await;
    let proxy = Proxy::start(&mesh.settings("web-1"), Vec::new());
    proxy.issued().await;
    let first = proxy.certificates.status().certificate.unwrap();
    let several = async {
        while proxy.certificates.status().renewals < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = proxy.certificates.status().certificate.unwrap();
            assert!(now.not_after() > SystemTime::now(), "an expired certificate is in use");
        }
    };
    timeout(SOON, several).await.expect("certificates are renewed");
    let status = proxy.certificates.status();
    assert!(status.certificate.unwrap().not_after() > first.not_after());
    assert_eq!((status.failures, status.last_error), (0, None));
}

/// Lets a number of bytes of the control plane through, then cuts the wire; after that everything.
async fn cut_after(bytes: usize, target: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cuts);
    tokio::spawn(async move {
        loop {
            let Ok((mut client, _)) = listener.accept().await else { return };
            let counted = Arc::clone(&counted);
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(target).await else { return };
                if counted.load(Ordering::SeqCst) > 0 {
                    // The wire is whole again.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
                let (mut from_client, mut to_client) = client.split();
                let (mut from_server, mut to_server) = server.split();
                let mut left = bytes;
                let mut buffer = [0; 1024];
                let down = async {
                    while left > 0 {
                        let most = left.min(buffer.len());
                        let Ok(read) = from_server.read(&mut buffer[..most]).await else { return };
                        if read == 0 || to_client.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                        left -= read;
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                };
                tokio::select! {
                    () = down => {}
                    _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
                }
            });
        }
    });
    (address, cuts)
}

/// The wire breaks after so many bytes of the first cut, which comes in many responses: the plan is
/// the empty one or the complete one.
#[tokio::test]
async fn a_wire_that_breaks_leaves_the_old_or_the_new_state() {
    let mesh = Mesh::with(1, Duration::from_secs(3600)).await;
    let mut cut_before_the_end = 0;
    for bytes in (1500..9000).step_by(250) {
        let (address, cuts) = cut_after(bytes, mesh.listen).await;
        let mut settings = mesh.settings("web-1");
        settings.service_account = Some("web".to_owned());
        settings.eager = true;
        settings.controller = address.to_string();
        let credentials = Credentials::new(&settings);
        let (client, plans) = Client::new(
            &settings,
            &credentials,
            Certificates::new(credentials.roots().unwrap()),
            Telemetry::new(Options::default()).unwrap(),
            Vec::new(),
            || 0.0,
        );
        let mut changed = plans.changed();
        let client = tokio::spawn(client.run());
        timeout(SOON, changed.changed()).await.expect("a configuration").unwrap();
        let plan = plans.current();
        assert!(complete(&plan), "after {bytes} bytes: a part of a cut is seen");
        assert!([WEB, API, DB].iter().all(|host| plan.has_details(host)));
        if plans.status().connections > 1 && cuts.load(Ordering::SeqCst) > 0 {
            cut_before_the_end += 1;
        }
        client.abort();
    }
    assert!(cut_before_the_end >= 3, "the wire broke inside the cut {cut_before_the_end} times");
}
