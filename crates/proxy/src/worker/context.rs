//! What the tasks of one worker share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::{Destination, Plan};
use lateen_identity::{CertificateHandle, WorkloadCertificate};

use super::endpoints::KnownCells;
use super::{Clock, DestinationCells, DrainWatch, Parts, Random};
use crate::config::Plans;
use crate::detect::ServerFirst;
use crate::http::Pools;
use crate::settings::Settings;
use crate::telemetry::Shard;
use crate::tls::{ClientConfigs, GatewayConfigs, MeshServer};
use crate::upstream::Dialer;

/// What the tasks of one worker share. Lives in an [`Rc`]: it never leaves its thread, and nothing
/// in it locks on the path of a request.
#[derive(Debug)]
pub struct WorkerContext {
    /// Which worker, from 0.
    pub index: usize,
    /// The proxy's settings.
    pub settings: Arc<Settings>,
    /// The plan in force, and the details that may be asked for. Requests take
    /// [`WorkerContext::plan`].
    pub plans: Plans,
    /// Dials endpoints.
    pub dialer: Dialer,
    /// Connections to endpoints that are kept.
    pub pools: Pools,
    /// Counts and logs.
    pub telemetry: Rc<Shard>,
    /// The workload's certificate.
    pub certificate: Arc<CertificateHandle>,
    /// TLS for connections to the workload.
    pub mesh_tls: Arc<MeshServer>,
    /// TLS of a gateway's servers.
    pub gateway_tls: Arc<GatewayConfigs>,
    /// Destinations that speak first.
    pub server_first: ServerFirst,
    /// Whether and how the proxy is going down.
    pub drain: DrainWatch,
    /// Random numbers for decisions.
    pub random: Random,
    /// The time.
    pub clock: Clock,
    cells: KnownCells,
    snapshot: RefCell<Snapshot>,
    principal: RefCell<Principal>,
    connections: Cell<u64>,
}

/// The plan that this worker decides on.
#[derive(Debug)]
struct Snapshot {
    version: u64,
    plan: Rc<Arc<Plan>>,
}

/// The identity in the certificate in use, in letters.
#[derive(Debug, Default)]
struct Principal {
    certificate: Option<Arc<WorkloadCertificate>>,
    text: Rc<str>,
}

impl WorkerContext {
    /// A context for the thread that it is called on.
    #[must_use]
    pub fn new(index: usize, parts: &Parts) -> Rc<Self> {
        let configs = ClientConfigs::new(Arc::clone(&parts.certificate), Arc::clone(&parts.trust));
        let snapshot = Snapshot {
            version: parts.plans.version(),
            plan: Rc::new(parts.plans.current()),
        };
        Rc::new(Self {
            index,
            settings: Arc::clone(&parts.settings),
            plans: parts.plans.clone(),
            dialer: Dialer::new(parts.settings.local, configs, parts.resolver.clone()),
            pools: Pools::default(),
            telemetry: parts.telemetry.shard(),
            certificate: Arc::clone(&parts.certificate),
            mesh_tls: Arc::clone(&parts.mesh_tls),
            gateway_tls: Arc::clone(&parts.gateway_tls),
            server_first: ServerFirst::new(parts.settings.timeouts.server_first_memory),
            drain: parts.drain.watch(),
            random: Random::from_system(),
            clock: parts.clock,
            cells: KnownCells::new(Arc::clone(&parts.cells)),
            snapshot: RefCell::new(snapshot),
            principal: RefCell::default(),
            connections: Cell::new(0),
        })
    }

    /// The plan to decide on. Costs a load of a number that hardly ever changes; the reference is
    /// counted without atomics. Not to be held while waiting for something that may take long: it
    /// keeps the whole plan in memory.
    #[must_use]
    pub fn plan(&self) -> Rc<Arc<Plan>> {
        let version = self.plans.version();
        let mut snapshot = self.snapshot.borrow_mut();
        if snapshot.version != version {
            *snapshot = Snapshot { version, plan: Rc::new(self.plans.current()) };
            self.cells.turn_over();
        }
        Rc::clone(&snapshot.plan)
    }

    /// The cells of a destination's endpoints.
    #[must_use]
    pub fn cells(&self, destination: &Arc<Destination>) -> Rc<DestinationCells> {
        self.cells.of(destination, self.random.next())
    }

    /// The workload's own identity (`spiffe://…`); empty without a certificate.
    #[must_use]
    pub fn principal(&self) -> Rc<str> {
        let current = self.certificate.get();
        let mut principal = self.principal.borrow_mut();
        let same = match (&principal.certificate, &current) {
            (Some(known), Some(current)) => Arc::ptr_eq(known, current),
            (None, None) => true,
            _ => false,
        };
        if !same {
            let text = current.as_ref().map(|certificate| certificate.identity().to_string());
            *principal = Principal { certificate: current, text: text.unwrap_or_default().into() };
        }
        Rc::clone(&principal.text)
    }

    /// A number for a new connection, unique in this process.
    #[must_use]
    pub fn next_connection(&self) -> u64 {
        let count = self.connections.get();
        self.connections.set(count + 1);
        // Workers take turns in the numbers, without telling each other.
        let workers = self.settings.workers.max(1) as u64;
        count * workers + self.index as u64
    }
}
