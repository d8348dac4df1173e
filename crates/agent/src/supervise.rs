//! Envoy started, started again after a crash, drained, and ended.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lateen_xds::client::Backoff;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::envoy_admin::EnvoyAdmin;
use crate::guard;
use crate::settings::Settings;
use crate::status::Status;

/// The first and the longest wait before Envoy is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// An Envoy that has run for this long was well: what comes after it is a first failure.
const STABLE: Duration = Duration::from_secs(60);

/// After so many failures in a row the agent gives up, and whoever started it decides.
const FAILURES: u32 = 10;

/// How often it is looked whether a drain is over.
const DRAIN_STEP: Duration = Duration::from_millis(100);

/// How long Envoy may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(5);

/// Requests and connections that are in progress; the pages for administration do not count.
const IN_PROGRESS: &str = r"^(http\..*\.downstream_rq_active|tcp\..*\.downstream_cx_active)$";

/// Prefixes of what does not count.
const ADMINISTRATION: [&str; 2] = ["http.admin.", "http.stats."];

/// What the agent is asked to do with its Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Finish what is in progress and take nothing new; stay.
    Drain,
    /// The same, and then end.
    Quit,
}

/// How Envoy is started.
#[derive(Debug)]
pub struct Launch {
    guard: PathBuf,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
}

/// Envoy does not run, however often it is started.
#[derive(Debug, thiserror::Error)]
#[error("Envoy ended {FAILURES} times in a row, at last with {0}; its log above says why")]
pub struct GaveUp(String);

/// What a supervisor needs besides [`Launch`].
#[derive(Debug)]
pub struct Supervisor {
    /// Envoy's admin page.
    pub admin: EnvoyAdmin,
    /// Where it is told how Envoy stands.
    pub status: Arc<Status>,
    /// How long Envoy goes on serving what is new after the start of a drain, telling it not to come
    /// back: others hear of the drain later.
    pub linger: Duration,
    /// How long connections may take to end from then on.
    pub drain: Duration,
}

/// How a life of Envoy ended.
enum End {
    Asked,
    Crashed(String),
}

impl Launch {
    /// `guard` is our own binary, whose hidden command lets a program end with its parent.
    #[must_use]
    pub fn new(
        settings: &Settings,
        guard: PathBuf,
        bootstrap: &Path,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let mut arguments: Vec<OsString> = vec!["-c".into(), bootstrap.into()];
        let drain = settings.proxy.timeouts.drain.as_secs().max(1);
        let flush = settings.proxy.telemetry.flush.as_millis().max(1);
        for (name, value) in [
            ("--concurrency", settings.proxy.workers.max(1).to_string()),
            ("--drain-time-s", drain.to_string()),
            ("--drain-strategy", "immediate".to_owned()),
            ("--file-flush-interval-msec", flush.to_string()),
            ("--log-level", settings.envoy_log_level.clone()),
        ] {
            arguments.extend([name.into(), value.into()]);
        }
        arguments.push("--disable-hot-restart".into());
        Self { guard, program: settings.envoy.clone(), arguments, environment }
    }

    fn start(&self) -> io::Result<Child> {
        Command::new(&self.guard)
            .arg(guard::COMMAND)
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    }
}

impl Supervisor {
    /// Keeps Envoy running until it is ordered to quit. `random` gives numbers in 0.0..1.0.
    ///
    /// # Errors
    /// When Envoy ends over and over.
    pub async fn run(
        &self,
        launch: &Launch,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        random: impl FnMut() -> f64 + Send + 'static,
    ) -> Result<(), GaveUp> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1, random);
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let reason = match self.live(launch, orders).await {
                End::Asked => return Ok(()),
                End::Crashed(reason) => reason,
            };
            if self.status.is_draining() {
                tracing::warn!(%reason, "Envoy has ended during its drain");
                return Ok(());
            }
            if started.elapsed() >= STABLE {
                failures = 0;
                backoff.reset();
            }
            failures += 1;
            if failures >= FAILURES {
                return Err(GaveUp(reason));
            }
            let wait = backoff.next_delay();
            tracing::error!(%reason, ?wait, "Envoy has ended and is started again");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                order = orders.recv() => if order != Some(Order::Drain) { return Ok(()) },
            }
        }
    }

    /// One life of Envoy.
    async fn live(&self, launch: &Launch, orders: &mut mpsc::UnboundedReceiver<Order>) -> End {
        let mut child = match launch.start() {
            Ok(child) => child,
            Err(error) => return End::Crashed(format!("no process: {error}")),
        };
        self.status.envoy_started();
        tracing::info!(process = child.id(), "Envoy is started");
        let end = loop {
            tokio::select! {
                ended = child.wait() => break End::Crashed(describe(ended)),
                order = orders.recv() => {
                    let lingers = !self.status.is_draining();
                    self.begin_drain().await;
                    if order != Some(Order::Drain) {
                        if lingers {
                            tokio::time::sleep(self.linger).await;
                        }
                        self.finish(&mut child).await;
                        break End::Asked;
                    }
                }
            }
        };
        self.status.envoy_ended(matches!(end, End::Crashed(_)));
        end
    }

    async fn begin_drain(&self) {
        if self.status.is_draining() {
            return;
        }
        self.status.drain();
        tracing::info!("draining");
        if let Err(error) = self.admin.post("/drain_listeners?graceful&skip_exit").await {
            tracing::warn!(%error, "Envoy does not drain");
        }
    }

    /// Waits until nothing is in progress any more, and ends Envoy.
    async fn finish(&self, child: &mut Child) {
        let idle = async {
            loop {
                match self.in_progress().await {
                    Some(0) | None => return,
                    Some(_) => tokio::time::sleep(DRAIN_STEP).await,
                }
            }
        };
        tokio::select! {
            _ = child.wait() => return,
            drained = tokio::time::timeout(self.drain, idle) => {
                if drained.is_err() {
                    let limit = self.drain;
                    tracing::warn!(?limit, "the drain took too long, open connections are cut");
                }
            }
        }
        end(child).await;
        tracing::info!("drained");
    }

    /// How many requests and connections are in progress; `None` if Envoy does not say.
    async fn in_progress(&self) -> Option<u64> {
        let stats = match self.admin.stats(IN_PROGRESS).await {
            Ok(stats) => stats,
            Err(error) => {
                tracing::warn!(%error, "Envoy does not say what is in progress");
                return None;
            }
        };
        let counts = |name: &str| !ADMINISTRATION.iter().any(|prefix| name.starts_with(prefix));
        Some(stats.iter().filter(|(name, _)| counts(name)).map(|(_, value)| value).sum())
    }
}

/// SIGTERM, and SIGKILL when that is not heard.
async fn end(child: &mut Child) {
    let process = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(process) = process.and_then(rustix::process::Pid::from_raw)
        && let Err(error) = rustix::process::kill_process(process, rustix::process::Signal::TERM)
    {
        tracing::debug!(%error, "Envoy has ended before it was asked to");
    }
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        tracing::warn!("Envoy does not end and is killed");
        if let Err(error) = child.kill().await {
            tracing::error!(%error, "Envoy cannot be killed");
        }
    }
}

fn describe(ended: io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}
