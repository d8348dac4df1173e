//! One side: a control plane, the proxies under test, backends and clients, in a network namespace
//! of their own.
//!
//! - `namespace`: how the bed starts a side.
//! - `protocol`: what both say to each other.
//! - `mesh`: the control plane and the proxies.
//! - `backend`, `client`: the ends of every exchange.
//! - `access_log`, `resolver`, `tls`, `stream`, `http1`, `http2`, `process`: their parts.

mod access_log;
pub mod backend;
mod client;
mod http1;
mod http2;
mod mesh;
pub mod namespace;
mod process;
pub mod protocol;
mod resolver;
mod stream;
mod tls;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Instant, sleep};

use crate::expectation;
use crate::observe::{Exchanged, Observed};
use crate::scenario::Exchange;
use access_log::Entries;
use backend::Backends;
use backend::stage::Stage;
use client::{Client, Sent};
use mesh::Mesh;
use process::Tail;
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
}

impl Side {
    async fn start(
        engine: Engine,
        first: &Prepared,
        names: &resolver::Names,
    ) -> anyhow::Result<Self> {
        let mesh = Mesh::start(engine, first).await?;
        let keys = Arc::new(Keys::new(&mesh.state()));
        Ok(Self { mesh, stage: Arc::default(), keys, names: names.clone() })
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
        let switch = milliseconds(started);
        let mut ran = Ran { switch, ..Ran::default() };
        let started = Instant::now();
        let outcome = self.exchanges(prepared, &mut ran).await;
        backends.close().await;
        outcome?;
        ran.exchanging = milliseconds(started);
        Ok(ran)
    }

    async fn exchanges(&mut self, prepared: &Prepared, ran: &mut Ran) -> anyhow::Result<()> {
        let mut own_file = prepared.log_file.clone().map(Tail::new);
        if let Some(tail) = &mut own_file {
            tail.lines()?;
        }
        let mut all = Vec::new();
        for (index, exchange) in prepared.scenario.exchanges.iter().enumerate() {
            let prefix = format!("{}.{index}", prepared.generation);
            let mut sent = self
                .exchange(prepared, exchange, &prefix)
                .await
                .with_context(|| format!("exchange `{}`", exchange.name))?;
            if prepared.own_log_format {
                let tail = match &mut own_file {
                    Some(tail) => Some(tail),
                    None => self.mesh.access_log(exchange.place),
                };
                own_lines(tail, &mut sent).await?;
            }
            let failed = prepared.stripped && fails(exchange, &sent);
            all.push((exchange, sent));
            if failed {
                break;
            }
        }
        if !prepared.own_log_format {
            for place in [
                crate::scenario::Place::Outbound,
                crate::scenario::Place::Inbound,
                crate::scenario::Place::Gateway,
            ] {
                let tail = match &mut own_file {
                    Some(tail) => Some(tail),
                    None => self.mesh.access_log(place),
                };
                let Some(tail) = tail else { continue };
                let here = all.iter_mut().filter(|(exchange, _)| exchange.place == place);
                let sent = here.flat_map(|(_, sent)| sent.iter_mut().flatten());
                Entries::default().give(tail, sent).await?;
            }
        }
        for (_, sent) in all {
            let seen = sent.into_iter().map(|times| times.into_iter().map(|sent| sent.observed));
            ran.exchanges.push(Exchanged(seen.map(Iterator::collect).collect()));
        }
        Ok(())
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

async fn own_lines(tail: Option<&mut Tail>, sent: &mut [Vec<Sent>]) -> anyhow::Result<()> {
    let Some(tail) = tail else { return Ok(()) };
    let count = sent.iter().map(Vec::len).sum();
    let mut lines = access_log::next_lines(tail, count).await?.into_iter();
    let observed: Vec<&mut Observed> =
        sent.iter_mut().flatten().map(|sent| &mut sent.observed).collect();
    for observed in observed {
        observed.lines.extend(lines.next());
    }
    Ok(())
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
