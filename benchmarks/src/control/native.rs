//! A proxy of ours as the control plane sees it: TLS, a token, the directory, and some hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lateen_identity::{PROTOCOL_VERSIONS, crypto_provider};
use lateen_scale_tests::client::{Count, Counts};
use lateen_xds::client::{Backoff, DeltaStream, Event, Response, Settings, Target, Tls};
use lateen_xds::wire::Node;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::task::JoinHandle;

/// The largest response that a client takes.
const MAX_RESPONSE: usize = 64 << 20;

/// What travels with each resource beside its name, version and body: the type, keys and lengths.
const AROUND: usize = lateen_mesh::TYPE_URL.len() + 14;

/// Who a client is and what it wants.
pub struct Identity {
    pub namespace: String,
    pub pod: String,
    pub token: String,
    /// Hosts that it uses.
    pub hosts: Vec<String>,
}

/// A client whose stream is open for as long as this lives.
pub struct Client {
    hosts: Vec<String>,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// By the first part of the resources' names.
    counts: Counts,
    arrivals: BTreeMap<String, Instant>,
    /// Names that have not come yet.
    awaited: BTreeSet<String>,
    error: Option<String>,
}

/// The TLS of all clients.
pub fn tls(root: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(PROTOCOL_VERSIONS)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr, tls: Arc<ClientConfig>, identity: Identity) -> Self {
        let Identity { namespace, pod, token, hosts } = identity;
        let mut target = Target::new(address.to_string());
        target.token = Some(Arc::new(move || Ok(token.clone())));
        target.tls = Some(Arc::new(move || {
            let server_name =
                ServerName::try_from("istiod.istio-system.svc").map_err(io::Error::other)?;
            Ok(Tls { config: Arc::clone(&tls), server_name })
        }));
        let all = hosts.iter().map(|host| format!("host/{host}"));
        let settings = Settings {
            node: Node {
                id: format!("sidecar~10.0.0.1~{pod}.{namespace}~{namespace}.svc.cluster.local"),
                user_agent_name: "bench".to_owned(),
                ..Node::default()
            },
            type_url: lateen_mesh::TYPE_URL.to_owned(),
            subscriptions: all.chain(["*".to_owned()]).collect(),
            known: BTreeMap::new(),
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(1), || 0.5),
            max_response: MAX_RESPONSE,
        };
        let own = format!("inbound/{namespace}/{pod}");
        let awaited = hosts.iter().map(|host| format!("routes/{host}")).chain([own]).collect();
        let state = Arc::new(Mutex::new(State { awaited, ..State::default() }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut stream = DeltaStream::new(target, settings);
            loop {
                match stream.next().await {
                    Event::Connected => {}
                    Event::Response(response) => {
                        lock(&shared).take(&response);
                        stream.ack(&response.nonce);
                    }
                    Event::Disconnected(gone) => {
                        lock(&shared).error = Some(gone.reason);
                        return;
                    }
                }
            }
        });
        Self { hosts, state, task }
    }

    /// Whether it uses a host.
    pub fn uses(&self, host: &str) -> bool {
        self.hosts.iter().any(|own| own == host)
    }

    /// What came so far, by the first part of the names.
    pub fn counts(&self) -> Counts {
        lock(&self.state).counts.clone()
    }

    /// What came of one kind, and when the last of it did.
    pub fn arrived(&self, kind: &str) -> (Count, Option<Instant>) {
        let state = lock(&self.state);
        let count = state.counts.get(kind).copied().unwrap_or_default();
        (count, state.arrivals.get(kind).copied())
    }

    /// Fails while something did not come, and when the stream has ended.
    pub fn complete(&self) -> anyhow::Result<()> {
        let state = lock(&self.state);
        if let Some(error) = &state.error {
            anyhow::bail!("{error}");
        }
        if let Some(name) = state.awaited.first() {
            anyhow::bail!("{} did not come, such as {name}", state.awaited.len());
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn take(&mut self, response: &Response) {
        let now = Instant::now();
        let mut seen = BTreeSet::new();
        for resource in &response.resources {
            self.awaited.remove(&*resource.name);
            let kind = resource.name.split('/').next().unwrap_or_default();
            let count = self.counts.entry(kind.to_owned()).or_default();
            count.responses += u64::from(seen.insert(kind));
            count.resources += 1;
            let (name, version, body) =
                (resource.name.len(), resource.version.len(), resource.body.len());
            count.bytes += (name + version + body + AROUND) as u64;
            self.arrivals.insert(kind.to_owned(), now);
        }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
