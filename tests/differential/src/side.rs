//! One side: a control plane, the proxies under test, backends and clients, in a network namespace
//! of their own.
//!
//! - `namespace`: how the bed starts a side.
//! - `protocol`: what both say to each other.
//! - `mesh`: the control plane and the proxies.
//! - `backend`, `client`: the ends of every exchange.
//! - `ending`: the lines of the access log, which come later than the answers.
//! - `rest`: when a mesh is in force.
//! - `access_log`, `resolver`, `tls`, `stream`, `http1`, `http2`, `process`: their parts.

mod access_log;
pub mod backend;
mod client;
mod ending;
mod http1;
mod http2;
mod mesh;
pub mod namespace;
mod process;
pub mod protocol;
mod resolver;
mod rest;
mod stream;
mod tls;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, sleep};

use crate::expectation;
use crate::observe::Exchanged;
use crate::scenario::Exchange;
use backend::Backends;
use backend::stage::Stage;
use client::{Client, Sent};
use ending::{Ending, Patience};
use mesh::Mesh;
use protocol::{Command, Engine, Prepared, Ran, Reply};
use tls::Keys;

/// How long the ends of a connection of bytes, or mirrored requests, may take to show at backends.
const SETTLE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

/// Answers commands on standard input until it ends.
///
/// # Errors
/// When the bed can no longer be heard or told.
pub async fn run(engine: Engine) -> anyhow::Result<()> {
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    let names = resolver::Names::default();
    names.clone().serve().await.context("the name server")?;
    let mut side = None;
    while let Some(line) = commands.next_line().await? {
        let reply = match serde_json::from_str(&line)? {
            Command::Start(prepared) => match Side::start(engine, &prepared, &names).await {
                Ok(started) => {
                    side = Some(started);
                    Reply::Started
                }
                Err(error) => Reply::Failed(format!("{error:#}")),
            },
            Command::Run(prepared) => {
                let side = side.as_mut().context("it was not started")?;
                side.run(&prepared).await.map_or_else(failed, Reply::Ran)
            }
            Command::Late => {
                let side = side.as_mut().context("it was not started")?;
                side.late().await.map_or_else(failed, Reply::Ran)
            }
            Command::Complaints => {
                let side = side.as_mut().context("it was not started")?;
                side.mesh.complaints().await.map_or_else(failed, Reply::Complaints)
            }
        };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer(&mut out, &reply)?;
        out.write_all(b"\n")?;
        out.flush()?;
    }
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is the other half of map_or_else")]
fn failed(error: anyhow::Error) -> Reply {
    Reply::Failed(format!("{error:#}"))
}

struct Side {
    mesh: Mesh,
    stage: Arc<Stage>,
    keys: Arc<Keys>,
    names: resolver::Names,
    ending: Ending,
}

impl Side {
    async fn start(
        engine: Engine,
        first: &Prepared,
        names: &resolver::Names,
    ) -> anyhow::Result<Self> {
        let mesh = Mesh::start(engine, first).await?;
        let keys = Arc::new(Keys::new(&mesh.state()));
        let ending = Ending::default();
        Ok(Self { mesh, stage: Arc::default(), keys, names: names.clone(), ending })
    }

    async fn run(&mut self, prepared: &Prepared) -> anyhow::Result<Ran> {
        let started = Instant::now();
        let scenario = &prepared.scenario;
        for (name, text) in &prepared.files {
            std::fs::write(std::path::Path::new(namespace::FILES).join(name), text)?;
        }
        self.keys.set(
            prepared.files.clone(),
            scenario.certificates.first(),
            &prepared.trust_domain,
        );
        self.names.set(&scenario.dns);
        self.stage.clear();
        let backends = Backends::open(&prepared.backends, scenario, &self.stage, &self.keys)?;
        self.mesh.switch(prepared).await?;
        namespace::cut(prepared.places.inbound.values())?;
        let switch = milliseconds(started);
        let started = Instant::now();
        let outcome = self.exchanges(prepared).await;
        backends.close().await;
        self.ending = outcome?;
        self.ending.switch = switch;
        self.ending.exchanging = milliseconds(started);
        Ok(self.ending.ran())
    }

    /// What was seen, with the lines of the access log that have come since.
    async fn late(&mut self) -> anyhow::Result<Ran> {
        self.ending.gather(&mut self.mesh, Patience::Late).await?;
        Ok(self.ending.ran())
    }

    async fn exchanges(&mut self, prepared: &Prepared) -> anyhow::Result<Ending> {
        let mut ending = Ending::new(prepared)?;
        for (index, exchange) in prepared.scenario.exchanges.iter().enumerate() {
            let prefix = format!("{}.{index}", prepared.generation);
            let mut sent = self
                .exchange(prepared, exchange, &prefix)
                .await
                .with_context(|| format!("exchange `{}`", exchange.name))?;
            ending.whole_lines(&mut self.mesh, exchange.place, &mut sent).await?;
            let failed = prepared.stripped && fails(exchange, &sent);
            ending.sent.push((exchange.place, sent));
            if failed {
                break;
            }
        }
        let patience = if prepared.stripped { Patience::Long } else { Patience::Brief };
        ending.gather(&mut self.mesh, patience).await?;
        Ok(ending)
    }

    async fn exchange(
        &mut self,
        prepared: &Prepared,
        exchange: &Exchange,
        prefix: &str,
    ) -> anyhow::Result<Vec<Vec<Sent>>> {
        self.stage.begin(&exchange.backends);
        let client = Client::new(exchange, prepared, &self.keys)?;
        let stage = Arc::clone(&self.stage);
        let mut all = client.run(prefix, &|tag| stage.tag(tag)).await;
        let limit = Instant::now() + SETTLE;
        while exchange.bytes.is_some() && self.stage.is_busy() && Instant::now() < limit {
            sleep(PAUSE).await;
        }
        for (index, times) in all.iter_mut().enumerate() {
            let wanted = exchange.requests.get(index).map_or(0, |request| {
                let expect = &request.expect;
                expect.mirrored.as_ref().map_or(0, Vec::len)
                    + usize::try_from(expect.attempts.unwrap_or(0)).unwrap_or(0)
            });
            for sent in times {
                while self.stage.count(&sent.tag) < wanted && Instant::now() < limit {
                    sleep(PAUSE).await;
                }
                sent.observed.seen = self.stage.take(&sent.tag);
            }
        }
        Ok(all)
    }
}

/// Whether an exchange is not as expected, as far as can be said without the access log.
fn fails(exchange: &Exchange, sent: &[Vec<Sent>]) -> bool {
    let seen = sent.iter().map(|times| times.iter().map(|sent| sent.observed.clone()).collect());
    let findings = expectation::of_exchange(exchange, Engine::Native, &Exchanged(seen.collect()));
    findings.iter().any(|finding| !finding.is_about_the_log())
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
