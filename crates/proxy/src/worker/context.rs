//! What the tasks of one worker share.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use lateen_engine::{Destination, Plan};
use lateen_identity::{CertificateHandle, WorkloadCertificate};

use super::endpoints::{DestinationCells, KnownCells};
use super::{Clock, DrainWatch, Parts, Random};
use crate::cell::EndpointCells;
use crate::config::{NeedError, Plans};
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
    /// Dials endpoints.
    pub dialer: Dialer,
    /// The endpoints' shared cells, for those that this worker has no reference to yet.
    pub cells: Arc<EndpointCells>,
    known: KnownCells,
    /// Whether and how the proxy is going down.
    pub drain: DrainWatch,
    /// Random numbers for decisions.
    pub random: Random,
    /// The time.
    pub clock: Clock,
    /// The plan in force, for all workers; see [`WorkerContext::plan`].
    pub plans: Plans,
    /// This worker's part of the telemetry.
    pub telemetry: Rc<Shard>,
    /// TLS for connections to the workload.
    pub mesh_tls: Arc<MeshServer>,
    /// TLS of a gateway's servers.
    pub gateway_tls: Arc<GatewayConfigs>,
    /// Connections to endpoints that carry HTTP.
    pub pools: Pools,
    /// The workload's certificate.
    pub certificate: Arc<CertificateHandle>,
    /// Destinations that speak first.
    pub server_first: ServerFirst,
    plan_seen: PlanSeen,
    principal: RefCell<Principal>,
    connections: Cell<u64>,
}

/// The identity in the certificate in use, in letters.
#[derive(Debug, Default)]
struct Principal {
    certificate: Option<Arc<WorkloadCertificate>>,
    text: Rc<str>,
}

/// A worker's own reference to the plan: following it costs one load of a number that seldom
/// changes, and taking it counts without atomics.
#[derive(Debug, Default)]
struct PlanSeen(RefCell<Option<(u64, Rc<PlanInForce>)>>);

/// The plan that a worker decides on. Counted twice, so that the tasks of a worker share one count
/// of the plan that all workers share.
#[derive(Debug)]
pub struct PlanInForce(Arc<Plan>);

impl Deref for PlanInForce {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.0
    }
}

impl WorkerContext {
    /// The context of one more worker, made on its thread.
    #[must_use]
    pub fn new(index: usize, parts: &Parts) -> Rc<Self> {
        let configs = ClientConfigs::new(Arc::clone(&parts.certificate), Arc::clone(&parts.trust));
        Rc::new(Self {
            index,
            dialer: Dialer::new(parts.settings.local, configs, parts.resolver.clone()),
            settings: Arc::clone(&parts.settings),
            known: KnownCells::new(Arc::clone(&parts.cells)),
            cells: Arc::clone(&parts.cells),
            drain: parts.drain.watch(),
            random: Random::from_system(),
            clock: parts.clock,
            plans: parts.plans.clone(),
            telemetry: parts.telemetry.shard(),
            mesh_tls: Arc::clone(&parts.mesh_tls),
            gateway_tls: Arc::clone(&parts.gateway_tls),
            pools: Pools::default(),
            certificate: Arc::clone(&parts.certificate),
            server_first: ServerFirst::new(parts.settings.timeouts.server_first_memory),
            plan_seen: PlanSeen::default(),
            principal: RefCell::default(),
            connections: Cell::new(0),
        })
    }

    /// The cells of a destination's endpoints.
    #[must_use]
    pub fn endpoints(&self, destination: &Arc<Destination>) -> Rc<DestinationCells> {
        self.known.of(destination, self.random.next())
    }

    /// A watch of its own for a task that waits for the drain.
    #[must_use]
    pub fn drain_watch(self: &Rc<Self>) -> DrainWatch {
        self.drain.clone()
    }

    /// The plan in force.
    #[must_use]
    pub fn plan(&self) -> Rc<PlanInForce> {
        let version = self.plans.version();
        let mut seen = self.plan_seen.0.borrow_mut();
        if let Some((seen, plan)) = &*seen
            && *seen == version
        {
            return Rc::clone(plan);
        }
        let plan = Rc::new(PlanInForce(self.plans.current()));
        self.known.turn_over();
        *seen = Some((version, Rc::clone(&plan)));
        plan
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

    /// Returns what `check` finds against an open connection, as soon as there is a plan under which
    /// it finds something. It is asked again only when other connections are admitted than before.
    pub async fn revoked<T>(&self, check: impl Fn(&Plan) -> Option<T>) -> T {
        let mut admission = self.plans.admission();
        loop {
            // Marked as seen before looking, so that no change in between is missed.
            admission.mark_unchanged();
            if let Some(found) = check(&self.plan()) {
                return found;
            }
            if admission.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until the details of a directory entry are in the plan.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn need(&self, host: &str) -> Result<(), NeedError> {
        self.telemetry.counters().details_waits.increment();
        self.plans.need(host, self.settings.timeouts.details).await
    }
}
