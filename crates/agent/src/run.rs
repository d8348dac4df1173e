//! Starting and stopping the agent and its Envoy.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use lateen_mesh::address::decode_address;
use lateen_mesh::{local, v1};
use lateen_proxy::certificates::Certificates;
use lateen_proxy::config::Credentials;
use lateen_proxy::listen::{bind, bind_everywhere};
use lateen_proxy::settings::Ports;
use lateen_proxy::telemetry::Telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};

use crate::access_log;
use crate::bootstrap::{self, Addresses};
use crate::endpoints::{self, Endpoints, Port};
use crate::envoy_admin::EnvoyAdmin;
use crate::facts::{Facts, FactsClient};
use crate::folder::{FolderError, RunFolder};
use crate::node::Identity;
use crate::relay::Relay;
use crate::secrets::Secrets;
use crate::settings::Settings;
use crate::socket::{self, Services};
use crate::status::Status;
use crate::supervise::{GaveUp, Launch, Order, Supervisor};
use crate::version::{self, VersionError};

/// Istio's port for Envoy's own metrics.
const PROMETHEUS: u16 = 15090;

/// Why the agent ends by itself.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The Envoy that was named is not taken.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// There is no place for the bootstrap and the socket.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The system did not give something.
    #[error("the system gave no {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// An address is taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Envoy does not run.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
}

impl AgentError {
    fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

/// Runs an Envoy until SIGTERM or SIGINT and drained. A second signal is the system's: it ends the
/// process at once, and Envoy with it.
///
/// # Errors
/// When the Envoy is not one that is taken, or does not run.
pub fn run(settings: Settings) -> Result<(), AgentError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AgentError::system("runtime"))?;
    LocalSet::new().block_on(&runtime, Agent::start(settings)?.run())
}

/// Where agent and Envoy listen.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// Health and metrics; none: every address.
    open: Option<IpAddr>,
    /// Envoy's admin page.
    closed: IpAddr,
}

struct Agent {
    settings: Settings,
    status: Arc<Status>,
    credentials: Arc<Credentials>,
    certificates: Arc<Certificates>,
    telemetry: Arc<Telemetry>,
    /// Ends with the agent.
    tasks: JoinSet<()>,
}

impl Agent {
    fn start(settings: Settings) -> Result<Self, AgentError> {
        let credentials = Credentials::new(&settings.proxy);
        let roots = credentials.roots().unwrap_or_else(|error| {
            tracing::warn!(%error, "no root certificate yet");
            Vec::new()
        });
        let telemetry =
            Telemetry::new(settings.proxy.telemetry).map_err(AgentError::system("thread"))?;
        Ok(Self {
            settings,
            status: Arc::default(),
            credentials,
            certificates: Certificates::new(roots),
            telemetry,
            tasks: JoinSet::new(),
        })
    }

    async fn run(mut self) -> Result<(), AgentError> {
        let version = version::check(&self.settings.envoy).await?;
        tracing::info!(%version, program = %self.settings.envoy.display(), "Envoy is found");
        let base = self.settings.run.clone().unwrap_or_else(std::env::temp_dir);
        let folder = RunFolder::create(&base)?;
        let (orders, mut inbox) = mpsc::unbounded_channel();
        listen_to_signals(&orders)?;

        let certificates = Arc::clone(&self.certificates);
        self.tasks.spawn(certificates.run(Arc::clone(&self.credentials), random));
        let (client, mut facts) = FactsClient::new(&self.settings.proxy, &self.credentials, random);
        self.tasks.spawn(client.run());
        self.serve_envoy(&folder, facts.clone())?;

        let Some(known) = first(&mut facts, &mut inbox).await else { return Ok(()) };
        let places = Places::of(&known, &self.settings.proxy);
        let identity = Identity::new(&self.settings, &known);
        for problem in self.telemetry.configure(identity.own, &v1::AccessLog::default()) {
            tracing::warn!(%problem);
        }
        let admin = places.admin(self.settings.proxy.ports);
        let open = self.open_endpoints(places, EnvoyAdmin::new(admin), orders)?;
        let near = places.open.unwrap_or(places.closed);
        let bootstrap = bootstrap::bootstrap(
            &identity.node,
            &Addresses {
                socket: &folder.socket(),
                admin,
                prometheus: SocketAddr::new(open, PROMETHEUS),
                agent: SocketAddr::new(near, self.settings.proxy.ports.metrics),
            },
        );
        let bootstrap = folder.write_bootstrap(&bootstrap)?;
        let guard = std::env::current_exe().map_err(AgentError::system("path of this program"))?;
        let launch = Launch::new(&self.settings, guard, &bootstrap, identity.environment);
        let supervisor = Supervisor {
            admin: EnvoyAdmin::new(admin),
            status: Arc::clone(&self.status),
            linger: self.settings.proxy.timeouts.linger,
            drain: self.settings.proxy.timeouts.drain,
        };
        let ended = supervisor.run(&launch, &mut inbox, random).await;
        self.tasks.shutdown().await;
        self.telemetry.stop();
        Ok(ended?)
    }

    /// Serves the socket, and counts what comes on it.
    fn serve_envoy(
        &mut self,
        folder: &RunFolder,
        facts: watch::Receiver<Option<Arc<Facts>>>,
    ) -> Result<(), AgentError> {
        let listener = socket::open(&folder.socket()).map_err(AgentError::system("socket"))?;
        let (access_logs, received) = access_log::service(Arc::clone(&self.status));
        let services = Services {
            relay: Relay::new(Arc::clone(&self.credentials), Arc::clone(&self.status)),
            secrets: Secrets::new(Arc::clone(&self.certificates), facts, Arc::clone(&self.status)),
            access_logs,
        };
        self.tasks.spawn(async move {
            if let Err(error) = socket::serve(listener, services).await {
                tracing::error!(%error, "Envoy is not served any more");
            }
        });
        let shard = self.telemetry.shard();
        self.tasks.spawn_local(std::rc::Rc::clone(&shard).maintain());
        self.tasks.spawn_local(access_log::count(received, shard, Arc::clone(&self.status)));
        Ok(())
    }

    /// Opens health and metrics; the address that they are on.
    fn open_endpoints(
        &mut self,
        places: Places,
        envoy: EnvoyAdmin,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Result<IpAddr, AgentError> {
        let endpoints = Arc::new(Endpoints {
            status: Arc::clone(&self.status),
            certificates: Arc::clone(&self.certificates),
            telemetry: Arc::clone(&self.telemetry),
            envoy,
            pod: Arc::clone(&self.settings.proxy.pod),
            orders,
        });
        let ports = self.settings.proxy.ports;
        let mut on = places.closed;
        for (number, port) in [(ports.health, Port::Health), (ports.metrics, Port::Metrics)] {
            let (listener, bound) = listen_on(places.open, number)?;
            on = bound;
            self.tasks.spawn(endpoints::serve(listener, port, Arc::clone(&endpoints)));
        }
        Ok(on)
    }
}

impl Places {
    /// In local mode everything is at the workload's own place, as with a native proxy.
    fn of(facts: &Facts, settings: &lateen_proxy::settings::Settings) -> Self {
        match decode_address(&facts.inbound.local_base) {
            Some(IpAddr::V4(base)) if settings.local => {
                let own = IpAddr::V4(local::address(base, local::SIDECAR));
                Self { open: Some(own), closed: own }
            }
            _ => Self { open: None, closed: settings.loopback },
        }
    }

    fn admin(self, ports: Ports) -> SocketAddr {
        SocketAddr::new(self.closed, ports.admin)
    }
}

/// Listens on a port of an address, or of all; which address that is to the kernel.
fn listen_on(open: Option<IpAddr>, port: u16) -> Result<(TcpListener, IpAddr), AgentError> {
    let address = SocketAddr::new(open.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port);
    let failed = |source| AgentError::Listen { address, source };
    let bound = if open.is_some() { bind(address) } else { bind_everywhere(port) };
    let bound = bound.map_err(failed)?;
    let on = bound.local_addr().map_err(failed)?.ip();
    Ok((TcpListener::from_std(bound).map_err(failed)?, on))
}

/// Waits until the control plane has said who the workload is; `None`: ordered to quit before.
async fn first(
    facts: &mut watch::Receiver<Option<Arc<Facts>>>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Arc<Facts>> {
    loop {
        tokio::select! {
            known = facts.wait_for(Option::is_some) => return known.ok().and_then(|it| it.clone()),
            order = orders.recv() => if order != Some(Order::Drain) { return None },
        }
    }
}

fn listen_to_signals(orders: &mpsc::UnboundedSender<Order>) -> Result<(), AgentError> {
    let listen = |kind| signal(kind).map_err(AgentError::system("signals"));
    let terminate = listen(SignalKind::terminate())?;
    let interrupt = listen(SignalKind::interrupt())?;
    for (signal, code) in [(terminate, 143), (interrupt, 130)] {
        tokio::spawn(obey(signal, code, orders.clone()));
    }
    Ok(())
}

async fn obey(mut signal: Signal, code: i32, orders: mpsc::UnboundedSender<Order>) {
    signal.recv().await;
    // Without a receiver the agent is ending already.
    let _ = orders.send(Order::Quit);
    signal.recv().await;
    std::process::exit(code);
}

/// A number in 0.0..1.0 for jitter; each `RandomState` has keys from the system's randomness.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 32;
    u32::try_from(bits).map_or(0.0, |bits| f64::from(bits) / 4_294_967_296.0)
}
