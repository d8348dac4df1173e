//! The task that keeps the stream.

use std::sync::Arc;
use std::time::Duration;

use lateen_mesh::{TYPE_URL, v1};
use lateen_xds::client::{Backoff, DeltaStream, Disconnected, Event, Response};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Code;

use super::store::{Applied, Outcome, Store};
use super::usage::Usage;
use super::{Credentials, Plans, node};
use crate::certificates::Certificates;
use crate::handover::Resource;
use crate::settings::Settings;
use crate::telemetry::{OwnWorkload, Telemetry};

/// The first and the longest wait between attempts to reach the control plane.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Bytes of the largest response. Chunks of a cut are far smaller, single resources may not be.
const LARGEST_RESPONSE: usize = 64 * 1024 * 1024;

/// How often it is looked for details that nobody uses any more.
const TIDY: Duration = Duration::from_secs(60);

/// Details that nobody has used for this long are given back.
const IDLE: Duration = Duration::from_secs(1800);

/// The client of the native stream.
#[derive(Debug)]
pub struct Client {
    plans: Plans,
    wanted: mpsc::Receiver<String>,
    store: Store,
    stream: DeltaStream,
    usage: Usage,
    certificates: Arc<Certificates>,
    telemetry: Arc<Telemetry>,
    node_id: String,
    /// What telemetry and trust were last set from.
    configured: Option<(v1::Settings, Option<v1::Workload>)>,
}

impl Client {
    /// A client and the plans that it will make. `inherited` is the configuration that a
    /// predecessor left; it is in force at once. `random` gives numbers in 0.0..1.0.
    pub fn new(
        settings: &Settings,
        credentials: &Arc<Credentials>,
        certificates: Arc<Certificates>,
        telemetry: Arc<Telemetry>,
        inherited: Vec<Resource>,
        random: impl FnMut() -> f64 + Send + 'static,
    ) -> (Self, Plans) {
        let (plans, wanted) = Plans::new();
        let mut store = Store::new(plans.shared.resources.clone());
        let inherited = match inherited.is_empty() {
            true => None,
            false => store
                .inherit(inherited)
                .inspect_err(|error| {
                    tracing::warn!(%error, "the predecessor's configuration is of no use");
                })
                .ok(),
        };
        let stream = DeltaStream::new(
            credentials.target(),
            lateen_xds::client::Settings {
                node: node::node(settings),
                type_url: TYPE_URL.to_owned(),
                subscriptions: std::iter::once("*".to_owned()).collect(),
                known: Default::default(),
                backoff: Backoff::new(BACKOFF.0, BACKOFF.1, random),
                max_response: LARGEST_RESPONSE,
            },
        );
        let mut client = Self {
            plans: plans.clone(),
            wanted,
            store,
            stream,
            usage: Usage::default(),
            certificates,
            telemetry,
            node_id: super::node_id(settings),
            configured: None,
        };
        if let Some(applied) = inherited {
            client.resubscribe(&applied);
            client.apply(applied);
        }
        (client, plans)
    }

    /// Keeps the stream for as long as the task runs.
    pub async fn run(mut self) {
        let mut tidy = interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.stream.next() => self.event(event),
                Some(host) = self.wanted.recv() => self.subscribe(&host),
                _ = tidy.tick() => self.tidy(),
            }
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Connected => {
                tracing::info!("connected to the control plane");
                self.status(|status| {
                    status.connected = true;
                    status.since = Some(Instant::now());
                    status.connections += 1;
                });
            }
            Event::Disconnected(reason) => self.disconnected(&reason),
            Event::Response(response) => self.response(&response),
        }
    }

    fn disconnected(&mut self, disconnected: &Disconnected) {
        let Disconnected { code, reason, retry_in } = disconnected;
        self.store.forget_partial();
        if *code == Some(Code::Ok) {
            tracing::info!(?retry_in, "the control plane asks to come back");
        } else {
            tracing::warn!(%reason, ?retry_in, "no stream to the control plane");
        }
        self.status(|status| {
            if status.connected || status.since.is_none() {
                status.since = Some(Instant::now());
            }
            status.connected = false;
            status.last_error = Some(reason.clone());
        });
    }

    fn response(&mut self, response: &Response) {
        match self.store.take(response) {
            Outcome::Incomplete => self.stream.ack(&response.nonce),
            Outcome::Applied(applied) => {
                self.apply(*applied);
                self.stream.ack(&response.nonce);
            }
            Outcome::Refused(reason) => {
                tracing::error!(%reason, "a configuration is refused, the last good one stays");
                self.stream.nack(&response.nonce, &reason);
                self.status(|status| {
                    status.rejected += 1;
                    status.rejection = Some(reason.clone());
                });
            }
            Outcome::Broken(reason) => {
                tracing::error!(%reason, "the control plane cannot be understood");
                self.stream.nack(&response.nonce, &reason);
                self.stream.reconnect();
                self.status(|status| status.last_error = Some(reason.clone()));
            }
        }
    }

    fn apply(&mut self, applied: Applied) {
        let Applied { plan, cut, unknown } = applied;
        self.stream.applied(&cut);
        tracing::debug!(
            sequence = cut.sequence,
            changed = cut.resources.len(),
            removed = cut.removed.len(),
            "a cut is applied"
        );
        self.configure(&plan);
        self.status(|status| {
            status.cut = Some(cut.sequence);
            status.applied += 1;
            status.rejection = None;
        });
        for host in &unknown {
            self.forget(host);
            self.plans.shared.demand.unknown(host);
        }
        self.plans.swap(plan);
    }

    /// Tells telemetry and trust what they take from the configuration.
    fn configure(&mut self, plan: &lateen_engine::Plan) {
        let settings = plan.settings().message();
        let same = |(known, own): &(v1::Settings, Option<v1::Workload>)| {
            known == settings && own.as_ref() == plan.workload()
        };
        if self.configured.as_ref().is_some_and(same) {
            return;
        }
        let workload = plan.workload().cloned().unwrap_or_default();
        let own = OwnWorkload::new(&workload, &settings.trust_domain, &self.node_id);
        let access_log = settings.access_log.clone().unwrap_or_default();
        for problem in self.telemetry.configure(own, &access_log) {
            tracing::warn!(%problem);
        }
        self.certificates.trust(settings);
        self.configured = Some((settings.clone(), plan.workload().cloned()));
    }

    fn subscribe(&mut self, host: &str) {
        self.usage.subscribed(host, Instant::now());
        self.stream.subscribe([format!("host/{host}")]);
        self.count_subscriptions();
    }

    fn forget(&mut self, host: &str) {
        self.usage.forget(host);
        self.stream.unsubscribe([format!("host/{host}")]);
        self.count_subscriptions();
    }

    /// Subscribes to the details that a predecessor had.
    fn resubscribe(&mut self, applied: &Applied) {
        for resource in &applied.cut.resources {
            if let Some(host) = resource.name.strip_prefix("routes/") {
                self.subscribe(host);
            }
        }
    }

    /// Gives back what nobody uses any more. Its removal comes as a cut.
    fn tidy(&mut self) {
        self.telemetry.settle();
        let used = self.telemetry.take_used();
        let idle = self.usage.expire(&used, IDLE, Instant::now());
        if !idle.is_empty() {
            tracing::debug!(hosts = ?idle, "details are given back");
            self.stream.unsubscribe(idle.iter().map(|host| format!("host/{host}")));
            self.count_subscriptions();
        }
    }

    fn count_subscriptions(&self) {
        let subscriptions = self.usage.len();
        self.status(|status| status.subscriptions = subscriptions);
    }

    fn status(&self, change: impl FnOnce(&mut super::Status)) {
        change(&mut self.plans.shared.lock_status());
    }
}
