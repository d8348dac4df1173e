//! A control plane over a folder of YAML, and proxies that connect to it.

pub mod envoy;
pub mod real_envoy;
pub mod shop;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lateen_controller::{Controller, Running, Settings};
use lateen_identity::{PROTOCOL_VERSIONS, crypto_provider};
use lateen_mesh::{
    TYPE_URL,
    v1::{self, resource::Body},
};
use lateen_xds::{
    Resource,
    client::{Backoff, DeltaStream, Disconnected, Event, Response, Target, Tls, TlsSource},
    cut::{Chunk, Cut, CutAssembler, Marker},
    wire::Node,
};
use prost::Message;
use prost_types::{Struct, Value, value::Kind};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tempfile::TempDir;
use tokio::time::timeout;

pub const LIMIT: Duration = Duration::from_secs(20);

/// A folder of YAML, a state folder, and the control plane over them.
pub struct Mesh {
    folder: TempDir,
    running: Option<Running>,
    listen: SocketAddr,
    adjust: Box<dyn Fn(&mut Settings) + Send + Sync>,
}

impl Mesh {
    /// Starts a control plane over these files.
    pub async fn start(files: &[(&str, &str)]) -> Self {
        Self::with(files, |_| {}).await
    }

    /// Starts one with other settings.
    pub async fn with(
        files: &[(&str, &str)],
        adjust: impl Fn(&mut Settings) + Send + Sync + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("mesh")).expect("a folder");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut mesh = Self { folder, running: None, listen, adjust: Box::new(adjust) };
        for (name, text) in files {
            mesh.write(name, text);
        }
        mesh.restart().await;
        mesh
    }

    /// Stops the control plane and starts it again at the same address.
    pub async fn restart(&mut self) {
        self.restart_with(|_| {}).await;
    }

    /// The same, with other settings.
    pub async fn restart_with(&mut self, adjust: impl Fn(&mut Settings)) {
        self.stop().await;
        let mut settings = Settings::new(self.yaml(), self.listen, self.state());
        settings.monitoring = SocketAddr::from(([127, 0, 0, 1], 0));
        (self.adjust)(&mut settings);
        adjust(&mut settings);
        let running = Controller::start(settings).await.expect("it starts");
        self.listen = running.addresses().discovery;
        self.running = Some(running);
    }

    /// Stops the control plane.
    pub async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.shutdown().await;
        }
    }

    /// Drops the control plane without stopping it in order.
    pub fn abandon(&mut self) {
        self.running = None;
    }

    /// The folder of YAML.
    pub fn yaml(&self) -> PathBuf {
        self.folder.path().join("mesh")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Writes a file as an editor does: whole, in one step.
    pub fn write(&self, name: &str, text: &str) {
        let temporary = self.yaml().join(format!(".{name}"));
        fs::write(&temporary, text).expect("it is written");
        fs::rename(&temporary, self.yaml().join(name)).expect("it is renamed");
    }

    /// Removes a file.
    pub fn delete(&self, name: &str) {
        fs::remove_file(self.yaml().join(name)).expect("it is removed");
    }

    /// Where proxies connect to.
    pub fn discovery(&self) -> SocketAddr {
        self.listen
    }

    /// Where proxies connect to by plain text.
    pub fn plaintext(&self) -> SocketAddr {
        let running = self.running.as_ref().expect("it runs");
        running.addresses().plaintext.expect("it was asked for")
    }

    /// A page of the monitoring address.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let running = self.running.as_ref().expect("it runs");
        get(running.addresses().monitoring, path).await
    }

    /// A debug page.
    pub async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.page(path).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The token of a service account.
    pub fn token(&self, account: &str) -> String {
        fs::read_to_string(self.state().join("tokens").join(account)).expect("a token")
    }

    /// A target with the token of an account, `namespace/name`.
    pub fn target(&self, account: &str) -> Target {
        let path = self.state().join("tokens").join(account);
        let mut target = self.anonymous();
        target.token = Some(Arc::new(move || fs::read_to_string(&path)));
        target
    }

    /// A target without credentials.
    pub fn anonymous(&self) -> Target {
        let mut target = Target::new(self.listen.to_string());
        target.tls = Some(trusting(&self.state().join("root-cert.pem")));
        target
    }

    /// The proxy of a workload, `namespace/name`, with the token of its account.
    pub fn proxy(&self, workload: &str, account: &str) -> Proxy {
        Proxy::new(self.target(account), "sidecar", workload, &["*"])
    }
}

/// TLS that trusts the roots in a file.
fn trusting(roots: &Path) -> TlsSource {
    let roots = roots.to_owned();
    Arc::new(move || {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&roots).map_err(std::io::Error::other)? {
            let certificate = certificate.map_err(std::io::Error::other)?;
            store.add(certificate).map_err(std::io::Error::other)?;
        }
        let config = ClientConfig::builder_with_provider(crypto_provider())
            .with_protocol_versions(PROTOCOL_VERSIONS)
            .map_err(std::io::Error::other)?
            .with_root_certificates(store)
            .with_no_client_auth();
        let server_name = ServerName::try_from("istiod.istio-system.svc").expect("a name");
        Ok(Tls { config: Arc::new(config), server_name })
    })
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    use http_body_util::{BodyExt, Empty};
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.expect("a handshake");
    tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

/// A native client: takes cuts, keeps what it has.
pub struct Proxy {
    pub stream: DeltaStream,
    assembler: CutAssembler,
    /// What it has, by name.
    pub resources: BTreeMap<String, Resource>,
    /// Hosts that do not exist, as it was told.
    pub missing: BTreeSet<String>,
    /// Refuse cuts that hold a resource of this name.
    pub refuses: Option<String>,
}

/// Something that a proxy sees.
#[derive(Debug)]
pub enum Seen {
    Connected,
    /// A cut was applied: the names in it, with `+` or `-`.
    Applied(Vec<String>),
    /// A cut was refused.
    Refused(Vec<String>),
    /// A part of a cut came.
    Part,
    Disconnected(Disconnected),
}

impl Proxy {
    pub fn new(target: Target, role: &str, workload: &str, subscribe: &[&str]) -> Self {
        Self::eager(target, role, workload, subscribe, false)
    }

    pub fn eager(
        target: Target,
        role: &str,
        workload: &str,
        subscribe: &[&str],
        eager: bool,
    ) -> Self {
        let said: &[&str] = if eager { &["LATEEN_EAGER"] } else { &[] };
        Self::saying(target, role, workload, subscribe, said)
    }

    /// One whose node says these things of itself.
    pub fn saying(
        target: Target,
        role: &str,
        workload: &str,
        subscribe: &[&str],
        said: &[&str],
    ) -> Self {
        let (namespace, name) = workload.split_once('/').expect("namespace/name");
        let value = Value { kind: Some(Kind::StringValue("true".to_owned())) };
        let said = said.iter().map(|name| ((*name).to_owned(), value.clone()));
        let node = Node {
            id: format!("{role}~127.0.0.1~{name}.{namespace}~{namespace}.svc.cluster.local"),
            metadata: Some(Struct { fields: said.collect() }),
            user_agent_name: "test".to_owned(),
            ..Node::default()
        };
        let settings = lateen_xds::client::Settings {
            node,
            type_url: TYPE_URL.to_owned(),
            subscriptions: subscribe.iter().map(ToString::to_string).collect(),
            known: BTreeMap::new(),
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(200), || 0.5),
            max_response: 64 << 20,
        };
        Self {
            stream: DeltaStream::new(target, settings),
            assembler: CutAssembler::new(64 << 20),
            resources: BTreeMap::new(),
            missing: BTreeSet::new(),
            refuses: None,
        }
    }

    /// The next thing that happens.
    pub async fn next(&mut self) -> Seen {
        match self.event().await {
            Event::Connected => Seen::Connected,
            Event::Disconnected(end) => {
                self.assembler.reset();
                Seen::Disconnected(end)
            }
            Event::Response(response) => self.take(response),
        }
    }

    /// The next event, without any reaction.
    pub async fn event(&mut self) -> Event {
        timeout(LIMIT, self.stream.next()).await.expect("something in time")
    }

    /// Takes a response as a proxy does.
    pub fn take(&mut self, response: Response) -> Seen {
        let Response { mut resources, removed, nonce } = response;
        let end = resources.pop().expect("a response ends with its cut");
        assert_eq!(&*end.name, "cut");
        let Some(Body::Cut(v1::Cut { sequence, chunk, last })) =
            v1::Resource::decode(end.body).expect("a resource").body
        else {
            panic!("the last resource is no cut");
        };
        let marker = Marker { sequence, chunk, last };
        let cut = self.assembler.push(Chunk { resources, removed }, marker).expect("in order");
        let Some(cut) = cut else {
            self.stream.ack(&nonce);
            return Seen::Part;
        };
        let names = names(&cut);
        let refused = self.refuses.as_ref().filter(|name| names.contains(&format!("+{name}")));
        if let Some(name) = refused {
            self.stream.nack(&nonce, &format!("{name} is not to my taste"));
            return Seen::Refused(names);
        }
        self.stream.ack(&nonce);
        self.apply(cut);
        Seen::Applied(names)
    }

    fn apply(&mut self, cut: Cut) {
        self.stream.applied(&cut);
        for name in &cut.removed {
            if name.starts_with("host/") {
                self.missing.insert(name.to_string());
            }
            self.resources.remove(&**name);
        }
        for resource in cut.resources {
            self.resources.insert(resource.name.to_string(), resource);
        }
    }

    /// The connection breaks: what is half received is forgotten.
    pub fn disconnect(&mut self) {
        self.assembler.reset();
        self.stream.reconnect();
    }

    /// Waits for the next cut, connecting if need be.
    pub async fn cut(&mut self) -> Vec<String> {
        loop {
            match self.next().await {
                Seen::Applied(names) => return names,
                Seen::Refused(names) => panic!("refused: {names:?}"),
                Seen::Connected | Seen::Part | Seen::Disconnected(_) => {}
            }
        }
    }

    /// Waits until the stream is open.
    pub async fn connect(&mut self) {
        loop {
            match self.next().await {
                Seen::Connected => return,
                Seen::Disconnected(_) => {}
                other => panic!("not connected: {other:?}"),
            }
        }
    }

    /// Waits for a refusal of the stream.
    pub async fn refused(&mut self) -> Disconnected {
        match self.next().await {
            Seen::Disconnected(end) => end,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Drives the proxy until the condition holds for what it has.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + LIMIT;
        while !condition(self) {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Seen::Disconnected(end)) => tracing::debug!(?end, "on the way to {what}"),
                Ok(_) => {}
                Err(_) => panic!("{what} did not come; there is {:?}", self.names()),
            }
        }
    }

    /// Drives the proxy while something else happens; it must not see anything.
    pub async fn undisturbed<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::select! {
            event = self.stream.next() => panic!("unexpected {event:?}"),
            value = other => value,
        }
    }

    /// What it has.
    pub fn names(&self) -> Vec<&str> {
        self.resources.keys().map(String::as_str).collect()
    }

    /// The message of a resource.
    pub fn body(&self, name: &str) -> Body {
        let resource = self.resources.get(name).unwrap_or_else(|| panic!("{name} is not there"));
        let message = v1::Resource::decode(resource.body.clone()).expect("a resource");
        message.body.expect("a body")
    }

    /// Name and version of all that it has.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.resources
            .iter()
            .map(|(name, resource)| (name.clone(), resource.version.to_string()))
            .collect()
    }
}

fn names(cut: &Cut) -> Vec<String> {
    let came = cut.resources.iter().map(|resource| format!("+{}", resource.name));
    let went = cut.removed.iter().map(|name| format!("-{name}"));
    came.chain(went).collect()
}

/// Waits until the condition holds.
pub async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
