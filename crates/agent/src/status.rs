//! How the agent and its Envoy stand.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// What the parts of the agent tell, and health and metrics show.
#[derive(Debug)]
pub struct Status {
    /// When the agent started.
    pub started: Instant,
    running: AtomicBool,
    ready: AtomicBool,
    draining: AtomicBool,
    starts: AtomicU64,
    crashes: AtomicU64,
    relayed: AtomicU32,
    relays: AtomicU64,
    relay_failures: AtomicU64,
    secrets_pushed: AtomicU64,
    secrets_refused: AtomicU64,
    scrape_failures: AtomicU64,
    unread_entries: AtomicU64,
    /// Counts the Envoys that have ended.
    lives: watch::Sender<u64>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            running: AtomicBool::default(),
            ready: AtomicBool::default(),
            draining: AtomicBool::default(),
            starts: AtomicU64::default(),
            crashes: AtomicU64::default(),
            relayed: AtomicU32::default(),
            relays: AtomicU64::default(),
            relay_failures: AtomicU64::default(),
            secrets_pushed: AtomicU64::default(),
            secrets_refused: AtomicU64::default(),
            scrape_failures: AtomicU64::default(),
            unread_entries: AtomicU64::default(),
            lives: watch::Sender::default(),
        }
    }
}

impl Status {
    /// Envoy was started.
    pub fn envoy_started(&self) {
        self.starts.fetch_add(1, Ordering::Relaxed);
        self.running.store(true, Ordering::Relaxed);
    }

    /// Envoy has ended; `crashed`: nobody had asked it to.
    pub fn envoy_ended(&self, crashed: bool) {
        self.running.store(false, Ordering::Relaxed);
        self.ready.store(false, Ordering::Relaxed);
        if crashed {
            self.crashes.fetch_add(1, Ordering::Relaxed);
        }
        self.lives.send_modify(|ended| *ended += 1);
    }

    /// Tells when an Envoy has ended.
    #[must_use]
    pub fn lives(&self) -> watch::Receiver<u64> {
        self.lives.subscribe()
    }

    /// Whether there is an Envoy.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Envoy has said that it is ready; it stays so until it ends.
    pub fn envoy_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether the Envoy that runs has said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Nothing new is taken from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether nothing new is taken.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// A stream of Envoy was taken by the control plane.
    pub fn relay_began(&self) {
        self.relays.fetch_add(1, Ordering::Relaxed);
        self.relayed.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub fn relay_ended(&self) {
        self.relayed.fetch_sub(1, Ordering::Relaxed);
    }

    /// A stream of Envoy found no control plane.
    pub fn relay_failed(&self) {
        self.relay_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Envoy was sent a secret.
    pub fn secret_pushed(&self) {
        self.secrets_pushed.fetch_add(1, Ordering::Relaxed);
    }

    /// Envoy refused a secret.
    pub fn secret_refused(&self) {
        self.secrets_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Envoy's metrics could not be had for a scrape.
    pub fn scrape_failed(&self) {
        self.scrape_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Entries of the access log that nobody knows how to count.
    pub fn entries_unread(&self, entries: usize) {
        let entries = u64::try_from(entries).unwrap_or(u64::MAX);
        self.unread_entries.fetch_add(entries, Ordering::Relaxed);
    }

    /// Name, help, kind and value of each metric of the agent.
    #[must_use]
    pub fn metrics(&self) -> [(&'static str, &'static str, &'static str, u64); 12] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let relayed = self.relayed.load(Ordering::Relaxed);
        [
            (
                "lateen_agent_envoy_running",
                "Whether there is an Envoy.",
                "gauge",
                self.is_running().into(),
            ),
            (
                "lateen_agent_envoy_starts_total",
                "How often Envoy was started.",
                "counter",
                count(&self.starts),
            ),
            (
                "lateen_agent_envoy_crashes_total",
                "How often Envoy ended by itself.",
                "counter",
                count(&self.crashes),
            ),
            (
                "lateen_control_plane_connected",
                "Whether Envoy's stream reaches the control plane.",
                "gauge",
                u64::from(relayed > 0),
            ),
            (
                "lateen_control_plane_connections_total",
                "Streams of Envoy that the control plane took.",
                "counter",
                count(&self.relays),
            ),
            (
                "lateen_agent_relay_failures_total",
                "Streams of Envoy that found no control plane.",
                "counter",
                count(&self.relay_failures),
            ),
            (
                "lateen_agent_secrets_pushed_total",
                "Secrets that were sent to Envoy.",
                "counter",
                count(&self.secrets_pushed),
            ),
            (
                "lateen_agent_secrets_refused_total",
                "Secrets that Envoy refused.",
                "counter",
                count(&self.secrets_refused),
            ),
            (
                "lateen_agent_scrape_failures_total",
                "Scrapes for which Envoy's own metrics could not be had.",
                "counter",
                count(&self.scrape_failures),
            ),
            (
                "lateen_agent_access_log_unread_total",
                "Entries of Envoy's access log that were not counted.",
                "counter",
                count(&self.unread_entries),
            ),
            (
                "lateen_ready",
                "Whether the proxy can serve.",
                "gauge",
                u64::from(self.is_ready() && !self.is_draining()),
            ),
            (
                "lateen_uptime_seconds",
                "Since the start.",
                "gauge",
                self.started.elapsed().as_secs(),
            ),
        ]
    }
}
