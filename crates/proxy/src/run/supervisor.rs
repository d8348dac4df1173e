//! What the configuration thread does besides its client: it starts and stops everything else.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lateen_engine::Plan;
use lateen_identity::WorkloadCertificate;
use lateen_mesh::local;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::{DataPlane, Order, Proxy, StartError, State};
use crate::admin::{self, Action, Admin, Endpoints};
use crate::cell::EndpointCells;
use crate::certificates::Certificates;
use crate::config::{Client, Credentials, Plans};
use crate::dns::{self, Resolver};
use crate::handover::{Door, Estate, HandoverError, Predecessor, Successor};
use crate::listen::{Inherited, bind, bind_everywhere};
use crate::settings::Settings;
use crate::telemetry::Telemetry;
use crate::tls::{GatewayConfigs, MeshServer};
use crate::worker::{Clock, DrainSignal, Parts};

/// Rest after a successor that was refused: a socket that is broken must not keep the thread busy.
const REFUSED: Duration = Duration::from_millis(100);

/// The configuration thread's main task.
pub(super) struct Supervisor {
    settings: Arc<Settings>,
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Sender<State>,
    predecessor: Option<Predecessor>,
    inherited: Inherited,
    client: Option<Client>,
    plans: Plans,
    credentials: Arc<Credentials>,
    certificates: Arc<Certificates>,
    telemetry: Arc<Telemetry>,
    resolver: Resolver,
    cells: Arc<EndpointCells>,
    drain: DrainSignal,
    clock: Clock,
    started: Instant,
    log_level: Option<Arc<admin::LogLevel>>,
    /// Client and certificates.
    tasks: JoinSet<()>,
    admin: Vec<AdminListener>,
}

/// One of the listeners of the admin endpoints.
struct AdminListener {
    task: JoinHandle<()>,
    /// For a successor.
    copy: OwnedFd,
}

/// Why the supervisor stops waiting.
enum Event {
    /// The plan, the certificate or the trust may have changed.
    Changed,
    Ordered(Order),
    /// A successor has knocked.
    Successor(Result<Successor, HandoverError>),
}

/// Why the proxy goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Ordered,
    Replaced,
}

impl Supervisor {
    pub(super) fn new(
        proxy: Proxy,
        predecessor: Option<(Predecessor, Estate)>,
        orders: mpsc::UnboundedSender<Order>,
        state: watch::Sender<State>,
    ) -> Result<Self, StartError> {
        let Proxy { settings, log_level } = proxy;
        let started = Instant::now();
        let credentials = Credentials::new(&settings);
        let roots = credentials.roots().unwrap_or_else(|error| {
            tracing::warn!(%error, "no root certificate yet");
            Vec::new()
        });
        let certificates = Certificates::new(roots);
        let telemetry = Telemetry::new(settings.telemetry).map_err(StartError::system("thread"))?;
        let (predecessor, estate) = match predecessor {
            Some((predecessor, estate)) => (Some(predecessor), estate),
            None => (None, Estate::default()),
        };
        if let Some(bytes) = &estate.certificate {
            match WorkloadCertificate::take_over(bytes, SystemTime::now()) {
                Ok(certificate) => certificates.set(certificate),
                Err(error) => tracing::warn!(%error, "the predecessor's certificate is of no use"),
            }
        }
        let (client, plans) = Client::new(
            &settings,
            &credentials,
            Arc::clone(&certificates),
            Arc::clone(&telemetry),
            estate.resources,
            random,
        );
        Ok(Self {
            settings: Arc::new(settings),
            orders,
            state,
            predecessor,
            inherited: Inherited::new(estate.sockets),
            client: Some(client),
            plans,
            credentials,
            certificates,
            telemetry,
            resolver: Resolver::new(lookup(), tokio::runtime::Handle::current()),
            cells: Arc::default(),
            drain: DrainSignal::default(),
            clock: Clock::new(started),
            started,
            log_level,
            tasks: JoinSet::new(),
            admin: Vec::new(),
        })
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        if let Some(client) = self.client.take() {
            self.tasks.spawn(client.run());
        }
        let certificates = Arc::clone(&self.certificates);
        self.tasks.spawn(certificates.run(Arc::clone(&self.credentials), random));
        let Some((data_plane, door)) = self.start_serving(&mut inbox).await else {
            return self.end().await;
        };
        let farewell = self.serve(&data_plane, door, &mut inbox).await;
        let already_draining = *self.state.borrow() == State::Draining;
        self.state.send_replace(State::Draining);
        tracing::info!(?farewell, connections = data_plane.open_connections(), "draining");
        if farewell == Farewell::Replaced {
            // The successor speaks for the workload from here on: to the control plane, and to
            // whoever asks for health and metrics.
            self.tasks.shutdown().await;
            self.admin.clear();
        } else if !already_draining {
            data_plane.begin_drain();
            tokio::time::sleep(self.settings.timeouts.linger).await;
        }
        data_plane.drain().await;
        tracing::info!("drained");
        self.end().await;
    }

    async fn end(mut self) {
        self.tasks.shutdown().await;
        self.telemetry.stop();
        self.state.send_replace(State::Ended);
    }

    /// Waits for configuration, certificate and trust, and starts what serves; `None` when the
    /// proxy was told to quit before.
    async fn start_serving(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Option<(DataPlane, Option<Door>)> {
        if !self.settings.local {
            self.open_admin(Ipv6Addr::UNSPECIFIED.into(), self.settings.loopback);
        }
        loop {
            let mut changed = self.plans.changed();
            let mut issued = self.certificates.issued();
            issued.mark_unchanged();
            if let Some(parts) = self.parts() {
                match self.start_data_plane(&parts).await {
                    Ok(data_plane) => {
                        let door = self.announce();
                        return Some((data_plane, door));
                    }
                    Err(error) => {
                        tracing::error!(%error, "cannot start the workers");
                        return None;
                    }
                }
            }
            tokio::select! {
                // Both senders live as long as this does.
                _ = changed.changed() => {}
                _ = issued.changed() => {}
                order = inbox.recv() => if order == Some(Order::Quit) { return None },
            }
        }
    }

    /// What workers start with, once all of it is there.
    fn parts(&self) -> Option<Parts> {
        let ready = *self.plans.ready().borrow() && *self.certificates.issued().borrow();
        let trust = self.certificates.mesh_trust().filter(|_| ready)?;
        let certificate = Arc::clone(self.certificates.handle());
        let mesh_tls = match MeshServer::new(&certificate, &trust) {
            Ok(mesh_tls) => Arc::new(mesh_tls),
            Err(error) => {
                tracing::error!(%error, "TLS cannot be configured");
                return None;
            }
        };
        Some(Parts {
            settings: Arc::clone(&self.settings),
            plans: self.plans.clone(),
            certificate,
            trust,
            mesh_tls,
            gateway_tls: Arc::new(GatewayConfigs::default()),
            cells: Arc::clone(&self.cells),
            resolver: self.resolver.clone(),
            telemetry: Arc::clone(&self.telemetry),
            drain: self.drain.clone(),
            clock: self.clock,
        })
    }

    async fn start_data_plane(&mut self, parts: &Parts) -> io::Result<DataPlane> {
        let plan = self.plans.current();
        if let Some(address) = sidecar_address(&self.settings, &plan) {
            self.open_admin(address, address);
        }
        let data_plane = DataPlane::start(parts, std::mem::take(&mut self.inherited))?;
        data_plane.follow(&plan).await;
        Ok(data_plane)
    }

    /// Serves: the door is opened to a successor, and the predecessor is released.
    fn announce(&mut self) -> Option<Door> {
        let door = self.settings.handover.as_ref().and_then(|path| {
            Door::open(path)
                .inspect_err(|error| tracing::error!(%error, "no successor can take over"))
                .ok()
        });
        if let Some(predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.release()
        {
            tracing::warn!(%error, "the predecessor has gone before it was released");
        }
        self.state.send_replace(State::Serving);
        tracing::info!(workload = %self.settings.workload, "serving");
        door
    }

    async fn serve(
        &mut self,
        data_plane: &DataPlane,
        door: Option<Door>,
        inbox: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Farewell {
        let mut changed = self.plans.changed();
        loop {
            let event = tokio::select! {
                // The sender lives as long as this does.
                _ = changed.changed() => Event::Changed,
                order = inbox.recv() => Event::Ordered(order.unwrap_or(Order::Quit)),
                successor = knock(door.as_ref()) => Event::Successor(successor),
            };
            match event {
                Event::Changed => {
                    changed.mark_unchanged();
                    if !self.drain.watch().is_draining() {
                        data_plane.follow(&self.plans.current()).await;
                    }
                    self.cells.prune();
                }
                Event::Ordered(Order::Quit) => return Farewell::Ordered,
                Event::Ordered(Order::Drain) => {
                    self.state.send_replace(State::Draining);
                    if self.settings.local {
                        data_plane.stop_accepting().await;
                    } else {
                        // The rest of the pod may need the network until it has ended.
                        data_plane.begin_drain();
                    }
                }
                Event::Successor(Ok(successor)) => {
                    match self.hand_over(data_plane, successor).await {
                        Ok(()) => return Farewell::Replaced,
                        Err(error) => tracing::warn!(%error, "a successor did not take over"),
                    }
                }
                Event::Successor(Err(error)) => {
                    tracing::warn!(%error, "a successor was refused");
                    tokio::time::sleep(REFUSED).await;
                }
            }
        }
    }

    async fn hand_over(
        &self,
        data_plane: &DataPlane,
        mut successor: Successor,
    ) -> Result<(), HandoverError> {
        let mut sockets = data_plane.export().await?;
        for listener in &self.admin {
            sockets.push(listener.copy.try_clone()?);
        }
        let certificate = self.certificates.handle().get();
        let estate = Estate {
            sockets,
            certificate: certificate.map(|certificate| certificate.hand_over()),
            resources: self.plans.resources(),
        };
        tracing::info!(sockets = estate.sockets.len(), "handing over to a successor");
        tokio::task::spawn_blocking(move || successor.give(&estate))
            .await
            .map_err(|error| HandoverError::Broken(io::Error::other(error)))?
    }

    /// Serves the admin endpoints: health and metrics on `open`, the rest on `closed`.
    /// Opens what others ask (`open`; unspecified: every address) and what is for this machine alone.
    fn open_admin(&mut self, open: IpAddr, closed: IpAddr) {
        let orders = self.orders.clone();
        let admin = Arc::new(Admin {
            settings: Arc::clone(&self.settings),
            plans: self.plans.clone(),
            certificates: Arc::clone(&self.certificates),
            telemetry: Arc::clone(&self.telemetry),
            drain: self.drain.watch(),
            started: self.started,
            act: Box::new(move |action| {
                let order = match action {
                    Action::Drain => Order::Drain,
                    Action::Quit => Order::Quit,
                };
                // Without a receiver it has ended already.
                let _ = orders.send(order);
            }),
            log_level: self.log_level.clone(),
        });
        let ports = self.settings.ports;
        let mut places = vec![
            (open, ports.health, Endpoints::Health),
            (open, ports.metrics, Endpoints::Metrics),
            (closed, ports.admin, Endpoints::Admin),
        ];
        if !self.settings.local {
            places.push((open, ports.prometheus, Endpoints::Prometheus));
        }
        for (address, port, endpoints) in places {
            let address = SocketAddr::new(address, port);
            match self.open_endpoints(address, endpoints, &admin) {
                Ok(listener) => self.admin.push(listener),
                Err(error) => tracing::error!(%address, %error, ?endpoints, "cannot listen"),
            }
        }
    }

    fn open_endpoints(
        &mut self,
        address: SocketAddr,
        endpoints: Endpoints,
        admin: &Arc<Admin>,
    ) -> io::Result<AdminListener> {
        let socket = match self.inherited.take(address) {
            Some(socket) => socket,
            None if address.ip().is_unspecified() => bind_everywhere(address.port())?,
            None => bind(address)?,
        };
        let copy = OwnedFd::from(socket.try_clone()?);
        let listener = TcpListener::from_std(socket)?;
        let task = tokio::spawn(admin::serve(listener, endpoints, Arc::clone(admin)));
        Ok(AdminListener { task, copy })
    }
}

impl Drop for AdminListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Waits for a successor; for ever where there is no door.
async fn knock(door: Option<&Door>) -> Result<Successor, HandoverError> {
    match door {
        Some(door) => door.knock().await,
        None => std::future::pending().await,
    }
}

fn sidecar_address(settings: &Settings, plan: &Plan) -> Option<IpAddr> {
    let base = plan.local_base().filter(|_| settings.local)?;
    Some(IpAddr::V4(local::address(base, local::SIDECAR)))
}

/// Names of a system whose resolver cannot be used cannot be resolved; everything else works.
fn lookup() -> dns::Lookup {
    dns::system().unwrap_or_else(|reason| {
        tracing::warn!(%reason, "names cannot be resolved");
        Box::new(move |_| {
            let reason = reason.clone();
            Box::pin(async move { Err(reason) })
        })
    })
}

/// A number in 0.0..1.0 for jitter; each `RandomState` has keys from the system's randomness.
fn random() -> f64 {
    let bits = RandomState::new().hash_one(0u8) >> 32;
    u32::try_from(bits).map_or(0.0, |bits| f64::from(bits) / 4_294_967_296.0)
}
