use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::SystemTime;

use bytes::Bytes;
use lateen_engine::{Cut, Resources};
use lateen_identity::{AuthoritySettings, CertificateAuthority, KeyAndCsr, SpiffeId};
use lateen_mesh::encoded::Encoded;
use lateen_mesh::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::handover::Resource;
use crate::telemetry::Options;
use crate::worker::{DrainPhase, DrainSignal};

struct Fixture {
    admin: Arc<Admin>,
    drain: DrainSignal,
    acts: Arc<Mutex<Vec<Action>>>,
}

fn plans() -> Plans {
    let secret = v1::Secret {
        certificate_chain: Bytes::from_static(b"chain"),
        private_key: Bytes::from_static(b"very private"),
        ..v1::Secret::default()
    };
    let settings =
        v1::Settings { trust_domain: "cluster.local".to_owned(), ..v1::Settings::default() };
    let encode = |body| Encoded::new(&v1::Resource { objects: Vec::new(), body: Some(body) });
    let bodies = [
        ("settings", encode(v1::resource::Body::Settings(settings))),
        ("secret/front/cert", encode(v1::resource::Body::Secret(secret))),
    ];
    let cut = Cut {
        upserts: bodies
            .iter()
            .map(|(name, body)| ((*name).to_owned(), body.bytes.clone()))
            .collect(),
        removed: Vec::new(),
    };
    let plan = Resources::new().apply(&cut).unwrap();
    let resources = bodies
        .into_iter()
        .map(|(name, body)| Resource {
            name: name.to_owned(),
            version: body.version.to_string(),
            body: body.bytes,
        })
        .collect();
    Plans::fixed_with(plan, resources)
}

fn fixture(certified: bool) -> Fixture {
    let certificates = Certificates::new(Vec::new());
    if certified {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let settings = AuthoritySettings::new("cluster.local");
        let authority = CertificateAuthority::load_or_create(folder.path(), settings, now).unwrap();
        let key = KeyAndCsr::generate().unwrap();
        let identity = SpiffeId::new("cluster.local", "shop", "web").unwrap();
        let chain = authority.sign(key.csr_pem(), &identity, Duration::ZERO, now).unwrap();
        certificates.set(key.certificate(&chain.cert_chain, now).unwrap());
    }
    let drain = DrainSignal::default();
    let acts = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&acts);
    let admin = Arc::new(Admin {
        settings: Arc::new(Settings::new("127.0.0.1:15012", "shop", "web-1", "/state")),
        plans: plans(),
        certificates,
        telemetry: Telemetry::new(Options::default()).unwrap(),
        drain: drain.watch(),
        started: Instant::now(),
        act: Box::new(move |action| seen.lock().unwrap().push(action)),
        log_level: Some(Arc::new(|level| match level {
            None => Ok("info".to_owned()),
            Some("nonsense") => Err("`nonsense` is no level".to_owned()),
            Some(level) => Ok(level.to_owned()),
        })),
    });
    Fixture { admin, drain, acts }
}

impl Fixture {
    async fn serve(&self, endpoints: Endpoints) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, endpoints, Arc::clone(&self.admin)));
        address
    }
}

/// Head and body of the answer, byte for byte but for the chunks of the body.
async fn ask(address: SocketAddr, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head[9..12].parse().unwrap();
    let body = match head.contains("transfer-encoding: chunked") {
        false => body.to_owned(),
        true => {
            let (mut rest, mut whole) = (body, String::new());
            while let Some((length, after)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).unwrap();
                whole.push_str(&after[..length]);
                rest = after[length..].trim_start_matches("\r\n");
            }
            whole
        }
    };
    (status, head.to_owned(), body)
}

#[tokio::test]
async fn each_port_offers_what_it_is_for() {
    let fixture = fixture(true);
    let table = [
        (Endpoints::Health, "GET /healthz/ready", 200),
        (Endpoints::Health, "HEAD /healthz/ready", 200),
        (Endpoints::Health, "GET /config_dump", 404),
        (Endpoints::Health, "GET /stats/prometheus", 404),
        (Endpoints::Metrics, "GET /stats/prometheus", 200),
        (Endpoints::Metrics, "GET /metrics", 200),
        (Endpoints::Metrics, "GET /healthz/ready", 200),
        (Endpoints::Metrics, "GET /failures", 404),
        (Endpoints::Metrics, "POST /drain", 200),
        (Endpoints::Admin, "GET /help", 200),
        (Endpoints::Admin, "GET /ready", 200),
        (Endpoints::Admin, "GET /failures", 200),
        (Endpoints::Admin, "GET /certs", 200),
        (Endpoints::Admin, "GET /server_info", 200),
        (Endpoints::Admin, "GET /stats/prometheus", 200),
        (Endpoints::Admin, "GET /quitquitquit", 405),
        (Endpoints::Admin, "POST /quitquitquit", 200),
        (Endpoints::Admin, "GET /no/such/thing", 404),
        (Endpoints::Admin, "POST /reopen_logs", 200),
    ];
    for endpoints in [Endpoints::Health, Endpoints::Metrics, Endpoints::Admin] {
        let address = fixture.serve(endpoints).await;
        for (_, request, status) in table.iter().filter(|(on, ..)| *on == endpoints) {
            let (answered, _, body) = ask(address, request).await;
            assert_eq!(answered, *status, "{endpoints:?} {request}: {body}");
        }
    }
    assert_eq!(*fixture.acts.lock().unwrap(), [Action::Drain, Action::Quit]);
}

#[test]
fn only_the_pod_itself_may_change_something_through_the_metrics_port() {
    let [near, far] = ["127.0.0.1:1", "192.0.2.1:1"].map(|text| text.parse().unwrap());
    for endpoint in &ENDPOINTS {
        let reads = endpoint.method == Method::GET;
        assert_eq!(endpoint.offered_on(Endpoints::Metrics, near), endpoint.metrics);
        assert_eq!(endpoint.offered_on(Endpoints::Metrics, far), endpoint.metrics && reads);
    }
}

#[tokio::test]
async fn a_proxy_is_ready_with_configuration_and_certificate_until_it_drains() {
    let bare = fixture(false);
    let address = bare.serve(Endpoints::Health).await;
    let (status, _, body) = ask(address, "GET /healthz/ready").await;
    assert_eq!((status, &*body), (503, "waiting for the workload's certificate\n"));

    let whole = fixture(true);
    let address = whole.serve(Endpoints::Health).await;
    let (status, _, body) = ask(address, "GET /healthz/ready").await;
    assert_eq!((status, &*body), (200, "LIVE\n"));
    whole.drain.advance(DrainPhase::Draining);
    let (status, _, body) = ask(address, "GET /healthz/ready").await;
    assert_eq!((status, &*body), (503, "draining\n"));
}

#[tokio::test]
async fn the_dump_shows_everything_but_keys() {
    let fixture = fixture(true);
    let address = fixture.serve(Endpoints::Admin).await;
    let (_, head, body) = ask(address, "GET /config_dump").await;
    assert!(head.contains("content-type: application/json"), "{head}");
    let dump: serde_json::Value = serde_json::from_str(&body).unwrap();
    let [secret, settings] = [0, 1].map(|index| &dump["resources"][index]);
    assert_eq!(settings["name"], "settings");
    assert_eq!(settings["version"].as_str().unwrap().len(), 32);
    assert_eq!(settings["content"]["body"]["Settings"]["trust_domain"], "cluster.local");
    let key = &secret["content"]["body"]["Secret"]["private_key"];
    assert_eq!(*key, serde_json::json!(b"[not shown]"), "neither as text nor as numbers");
    assert!(!body.contains("very private"));

    let (_, _, body) = ask(address, "GET /config_dump?name=secret").await;
    let dump: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(dump["resources"].as_array().unwrap().len(), 1);

    let (_, _, body) = ask(address, "GET /certs").await;
    let certs: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(certs["certificate"]["identity"], "spiffe://cluster.local/ns/shop/sa/web");
    let (_, _, body) = ask(address, "GET /server_info").await;
    let info: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(info["node"], "sidecar~127.0.0.1~web-1.shop~shop.svc.cluster.local");
    assert_eq!(info["state"], "LIVE");
}

#[tokio::test]
async fn the_logs_level_is_set_and_shown() {
    let fixture = fixture(true);
    let address = fixture.serve(Endpoints::Admin).await;
    for (request, status, body) in [
        ("POST /logging", 200, "info\n"),
        ("POST /logging?level=debug", 200, "debug\n"),
        ("POST /logging?level=nonsense", 400, "`nonsense` is no level\n"),
    ] {
        let (answered, _, said) = ask(address, request).await;
        assert_eq!((answered, &*said), (status, body), "{request}");
    }
}

#[tokio::test]
async fn every_endpoint_is_in_the_help() {
    let fixture = fixture(true);
    let address = fixture.serve(Endpoints::Admin).await;
    let (_, _, help) = ask(address, "GET /help").await;
    for endpoint in &ENDPOINTS {
        assert!(help.contains(endpoint.path), "{} is not in\n{help}", endpoint.path);
    }
}

/// The whole page, as Prometheus reads it.
#[tokio::test]
async fn prometheus_reads_all_metrics() {
    let fixture = fixture(true);
    let address = fixture.serve(Endpoints::Metrics).await;
    let (_, head, page) = ask(address, "GET /stats/prometheus").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for name in [
        "istio_build{component=\"proxy\"",
        "istio_agent_cert_expiry_seconds{resource_name=\"default\"} 86",
        "lateen_control_plane_connected 0\n",
        "lateen_ready 1\n",
        "process_resident_memory_bytes ",
        "lateen_connections_active{direction=\"inbound\"} 0\n",
    ] {
        assert!(page.contains(name), "no {name} in\n{page}");
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else { return };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    // 3 is for opinions on names; anything that cannot be read gives 1.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{complaints}\n{page}");
}
