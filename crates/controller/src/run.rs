//! Starting and stopping.

mod home;

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use lateen_compiler::{Change, Compiler};
use lateen_identity::{
    AuthoritySettings, MeshTrust, SignError, authority::AuthorityError, private_file::FileError,
    token::TokenKeyError, trust::TrustError,
};
use lateen_sources::{Batch, SourceError};
use lateen_xds::{
    ca::istio_certificate_service_server::IstioCertificateServiceServer, client::Keepalive,
    server::Discovery,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    authentication::Authenticator,
    authority,
    certificates::Certificates,
    distribution::{Command, Distribution, Facts, Intake},
    kubernetes::authority::SecretError,
    listener::Listener,
    metrics::Metrics,
    monitoring::Monitoring,
    serving::{self, Serving},
    settings::{Place, Settings},
    state::StateError,
    stream::Streams,
    webhooks::Webhooks,
};
use home::{Home, Source};

/// Streams on one connection; a proxy needs one, and one for its certificate.
const MAX_STREAMS: u32 = 32;

/// The control plane.
#[derive(Debug)]
pub struct Controller;

/// Where a running control plane listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The streams and the certificate service.
    pub discovery: SocketAddr,
    /// The streams by plain text, where that was asked for.
    pub plaintext: Option<SocketAddr>,
    /// Health, metrics and debug pages.
    pub monitoring: SocketAddr,
    /// The webhooks, where there are any.
    pub webhooks: Option<SocketAddr>,
}

/// Why a control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder with the YAML cannot be followed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The state folder cannot be made.
    #[error(transparent)]
    State(#[from] FileError),
    /// The certificate authority cannot be loaded or made.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The cluster's certificate authority cannot be loaded or made.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The authority's own roots cannot be trusted.
    #[error("the certificate authority's roots are of no use: {0}")]
    Roots(#[from] TrustError),
    /// The server's own certificate cannot be made.
    #[error("the server's own certificate cannot be made: {0}")]
    Serving(#[from] SignError),
    /// The key for the tokens is of no use.
    #[error(transparent)]
    TokenKey(#[from] TokenKeyError),
    /// The tokens and the accounts cannot be written.
    #[error(transparent)]
    StateFiles(#[from] StateError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot start the distribution's thread: {0}")]
    Thread(#[source] io::Error),
}

impl Controller {
    /// Starts everything, and returns when proxies can connect: the objects are read, the addresses are
    /// open; the tokens, the accounts and the root certificate are in the state folder. In a cluster it
    /// waits for an API server that does not answer. Runs on the current tokio runtime and on a thread of
    /// its own.
    ///
    /// # Errors
    /// When any of that is impossible.
    pub async fn start(settings: Settings) -> Result<Running, StartError> {
        let now = SystemTime::now();
        let mut source = Source::open(&settings).await?;
        let (discovery, discovery_address) = bind(settings.listen).await?;
        let (monitoring, monitoring_address) = bind(settings.monitoring).await?;
        let plaintext = match settings.plaintext {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let webhooks = match (&settings.place, settings.webhooks) {
            (Place::Cluster(cluster), Some(address)) => {
                Some((cluster.client.clone(), bind(address).await?))
            }
            _ => None,
        };

        let metrics = Arc::new(Metrics::default());
        let compiler = Compiler::new(settings.compiler.clone());
        let (distribution, thread) =
            Distribution::start(compiler, settings.chunk_bytes, metrics.clone())
                .map_err(StartError::Thread)?;
        let facts = load(&mut source, &distribution).await;
        let authority = AuthoritySettings {
            default_lifetime: settings.certificate_lifetime,
            max_lifetime: settings.max_certificate_lifetime,
            root_lifetime: settings.root_lifetime,
            ..AuthoritySettings::new(facts.trust_domains[0].clone())
        };
        let Home { authority, tokens, secrets, chores } =
            Home::open(&source, &settings, authority, &facts, now).await?;
        let trust = MeshTrust::new(authority.current().roots(), facts.trust_domains.to_vec())?;
        let serving = Serving::new(
            authority.clone(),
            &settings.compiler,
            discovery_address.ip(),
            settings.serving_lifetime,
        )?;
        let authenticator = Authenticator::new(tokens, secrets, distribution.facts());

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        chores.start(&settings, authority.clone(), &distribution, &stop, &mut tasks);
        let proxy_configs = source.proxy_configs();
        tasks.spawn(pump(source, distribution.clone(), stop.clone()));
        tasks.spawn(serving.clone().keep_fresh(stop.clone()));
        let (followed, observed) = (authority.clone(), metrics.clone());
        tasks.spawn(authority::follow(followed, trust.clone(), observed, stop.clone()));
        tasks.spawn(follow_trust(trust.clone(), distribution.facts(), stop.clone()));
        let webhooks_address = webhooks.as_ref().map(|(_, (_, address))| *address);
        let webhooks = webhooks.map(|(client, (listener, _))| {
            let (authority, serving) = (authority.clone(), serving.clone());
            let metrics = metrics.clone();
            let webhooks =
                Webhooks { client, listener, authority, serving, proxy_configs, metrics };
            webhooks.start(&settings, &stop, &mut tasks)
        });
        let pages =
            Monitoring { distribution: distribution.clone(), metrics: metrics.clone(), webhooks };
        tasks.spawn(pages.serve(monitoring, stop.clone()));
        let listener = |tcp, tls| Listener {
            tcp,
            tls,
            max_connections: settings.max_connections,
            handshake_timeout: settings.handshake_timeout,
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let streams = |authenticator| Streams {
            authenticator,
            distribution: distribution.clone(),
            metrics: metrics.clone(),
            max_age: settings.max_stream_age,
        };
        let max_request = settings.max_request_bytes;
        let plaintext_address = plaintext.as_ref().map(|(_, address)| *address);
        if let Some((tcp, address)) = plaintext {
            tracing::warn!(plaintext = %address, "whoever reaches this address reads the mesh");
            let (listener, streams) = (listener(tcp, None), streams(None));
            tasks.spawn(serve(listener, streams, None, max_request, stop.clone()));
        }
        let listener = listener(discovery, Some(serving::tls(serving, trust)));
        let streams = streams(Some(authenticator.clone()));
        let certificates = Some(Certificates { authority, authenticator, metrics });
        tasks.spawn(serve(listener, streams, certificates, max_request, stop.clone()));

        let addresses = Addresses {
            discovery: discovery_address,
            plaintext: plaintext_address,
            monitoring: monitoring_address,
            webhooks: webhooks_address,
        };
        tracing::info!(
            discovery = %addresses.discovery,
            monitoring = %addresses.monitoring,
            "the control plane is ready"
        );
        let stop_timeout = settings.stop_timeout;
        let stop = Stop { token: stop, distribution: distribution.clone() };
        Ok(Running { addresses, distribution, thread, tasks, stop, stop_timeout })
    }
}

/// A control plane that runs. Dropping it stops everything at once; [`Running::shutdown`] does so
/// in order.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    distribution: Distribution,
    thread: JoinHandle<()>,
    tasks: JoinSet<()>,
    stop: Stop,
    stop_timeout: Duration,
}

/// Stops everything when it is dropped: what listens, and every stream.
#[derive(Debug)]
struct Stop {
    token: CancellationToken,
    distribution: Distribution,
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.token.cancel();
        self.distribution.stop();
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Comes back when the control plane has failed beyond repair: its distribution thread ended by
    /// a panic, which is logged. Whoever runs it should end the process then, and start another
    /// one; the proxies run on what they have. Does not come back otherwise.
    pub async fn failed(&self) {
        self.distribution.ended().await;
    }

    /// Stops: no connection is accepted any more, every stream ends with a status that makes its
    /// client come back, calls that are being answered end. Proxies run on what they have.
    pub async fn shutdown(mut self) {
        drop(self.stop);
        drop(self.distribution);
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.stop_timeout, ended).await.is_err() {
            tracing::warn!("connections are cut off: they did not end in time");
            self.tasks.shutdown().await;
        }
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the distribution's thread panicked");
        }
        tracing::info!("the control plane has stopped");
    }
}

/// Listens; on `[::]` for both families, or for IPv4 alone where the kernel has no IPv6.
async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = match TcpListener::bind(address).await {
        Err(error)
            if address.ip() == Ipv6Addr::UNSPECIFIED
                && error.kind() != std::io::ErrorKind::AddrInUse =>
        {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
    .map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Takes in the first batch, which is everything there is.
async fn load(source: &mut Source, distribution: &Distribution) -> Facts {
    if let Some(batch) = source.next().await {
        distribution.tell(Command::Objects(intake(batch))).await;
    }
    let mut facts = distribution.facts();
    let loaded = facts.wait_for(|facts| facts.is_loaded).await;
    loaded.expect("invariant: the distribution runs until it is told to stop").clone()
}

/// From the source to the distribution, until stopped.
async fn pump(mut source: Source, distribution: Distribution, stop: CancellationToken) {
    while let Some(Some(batch)) = stop.run_until_cancelled(source.next()).await {
        distribution.tell(Command::Objects(intake(batch))).await;
    }
}

fn intake(batch: Batch) -> Intake {
    let change = |change| match change {
        lateen_sources::Change::Upsert(object) => Change::Upsert(object),
        lateen_sources::Change::Remove(object) => Change::Remove(object),
    };
    Intake {
        changes: batch.changes.into_iter().map(change).collect(),
        diagnostics: batch.diagnostics,
        at: Instant::now(),
    }
}

/// Client certificates are verified against the trust domains that the mesh config names now.
async fn follow_trust(
    trust: Arc<MeshTrust>,
    mut facts: watch::Receiver<Facts>,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(facts.changed()).await {
        let trust_domains = facts.borrow_and_update().trust_domains.clone();
        trust.set_trust_domains(trust_domains.to_vec());
    }
}

async fn serve(
    listener: Listener,
    streams: Streams,
    certificates: Option<Certificates>,
    max_request: usize,
    stop: CancellationToken,
) {
    let keepalive = Keepalive::default();
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(keepalive.interval))
        .http2_keepalive_timeout(Some(keepalive.timeout))
        .max_concurrent_streams(MAX_STREAMS)
        .add_service(Discovery::new(Arc::new(streams), max_request))
        .add_optional_service(certificates.map(IstioCertificateServiceServer::new))
        .serve_with_incoming_shutdown(listener.run(), stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the discovery server failed");
    }
}
