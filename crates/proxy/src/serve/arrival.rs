//! A connection that has arrived and is not decided yet.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use lateen_engine::Inspect;
use lateen_engine::authorize::Peer;
use lateen_identity::SpiffeId;
use rustls::ServerConfig;
use tokio::net::TcpStream;

use super::Refused;
use super::account::Account;
use crate::connection::{ConnectionFacts, Direction, Replay, ServerIo, TlsFacts};
use crate::detect::{Detected, Patience, sniff};
use crate::listen::{Accepted, Slot};
use crate::telemetry::Reason;
use crate::tls::{self, AcceptError};
use crate::worker::{DrainPhase, DrainWatch, WorkerContext};

/// How long a connection that was accepted just before a drain has for its first bytes.
const FIRST_BYTES: Duration = Duration::from_secs(1);

/// A connection that has arrived and is not decided yet.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) ctx: Rc<WorkerContext>,
    pub(super) stream: TcpStream,
    /// What was read of it.
    pub(super) bytes: Bytes,
    /// What that is.
    pub(super) detected: Detected,
    /// What the client dialled, in the words of the model.
    pub(super) destination: SocketAddr,
    direction: Direction,
    remote: SocketAddr,
    local: SocketAddr,
    opened: Instant,
    start: SystemTime,
}

/// The client left, or the proxy has to end, before there was anything to serve.
#[derive(Debug)]
pub(super) struct Gone;

impl Arrival {
    pub(super) fn new(ctx: &Rc<WorkerContext>, accepted: Accepted) -> io::Result<(Self, Slot)> {
        let stream = TcpStream::from_std(accepted.stream)?;
        stream.set_nodelay(true)?;
        let arrival = Self {
            ctx: Rc::clone(ctx),
            stream,
            bytes: Bytes::new(),
            detected: Detected::Nothing,
            destination: accepted.original_destination,
            direction: accepted.direction,
            remote: accepted.remote,
            local: accepted.local,
            opened: accepted.at,
            start: ctx.clock.wall(),
        };
        Ok((arrival, accepted.slot))
    }

    /// Looks at the first bytes as `inspect` asks; the first of them may take `patience`, the rest as
    /// long as a handshake. A connection that stays
    /// silent while the proxy drains is dropped.
    pub(super) async fn look(
        &mut self,
        inspect: Inspect,
        patience: Option<Duration>,
    ) -> Result<(), Gone> {
        if !inspect.needed() {
            return Ok(());
        }
        let timeouts = &self.ctx.settings.timeouts;
        let patience =
            Patience { first: patience.unwrap_or(timeouts.tcp_idle), rest: timeouts.handshake };
        let limit = self.ctx.settings.limits.detection_bytes;
        let mut drain = self.ctx.drain.clone();
        let sniffed = tokio::select! {
            biased;
            sniffed = sniff(&mut self.stream, inspect, patience, limit) => sniffed,
            () = silent_in_drain(&mut drain) => return Err(Gone),
        };
        // Whoever connects and leaves without a word, as health checks do, has nothing to report.
        let sniffed = sniffed.map_err(|_| Gone)?;
        self.bytes = sniffed.bytes;
        self.detected = sniffed.detected;
        Ok(())
    }

    /// The facts, once nothing more can be learnt.
    fn facts(&self, tls: Option<TlsFacts>) -> Rc<ConnectionFacts> {
        let sni = match &self.detected {
            Detected::Tls(hello) => hello.sni.clone(),
            _ => None,
        };
        Rc::new(ConnectionFacts {
            id: self.ctx.next_connection(),
            direction: self.direction,
            downstream_remote: self.remote,
            downstream_local: self.local,
            original_destination: self.destination,
            tls,
            sni,
            opened: self.opened,
        })
    }

    /// Goes on without TLS of ours.
    pub(super) fn plain(self) -> Settled {
        let facts = self.facts(None);
        let io = ServerIo::Plain(Replay::new(self.bytes, self.stream));
        Settled { account: Account::new(&self.ctx, &facts, self.start), ctx: self.ctx, io, facts }
    }

    /// Takes TLS off. The handshake has until a limit that counts from the accepted connection's
    /// first bytes.
    pub(super) async fn terminate(self, config: Arc<ServerConfig>) -> Option<Settled> {
        let refused_facts = self.facts(None);
        let deadline = tokio::time::Instant::now() + self.ctx.settings.timeouts.handshake;
        let replay = Replay::new(self.bytes.clone(), self.stream);
        let accepted = tls::accept(config, replay, deadline).await;
        let (stream, tls) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                self.ctx.telemetry.counters().handshake_failures.increment();
                let reason = match error {
                    AcceptError::Timeout => Reason::HandshakeTimedOut,
                    AcceptError::Io(_) | AcceptError::Tls(_) | AcceptError::Unreadable => {
                        Reason::DownstreamTlsFailed
                    }
                };
                let refused = Refused { detail: error.to_string(), ..Refused::because(reason) };
                Account::new(&self.ctx, &refused_facts, self.start).refuse(refused);
                return None;
            }
        };
        let facts = Rc::new(ConnectionFacts {
            tls: Some(tls),
            ..Rc::into_inner(refused_facts).expect("invariant: nobody else has the facts yet")
        });
        let io = ServerIo::Tls(stream);
        let account = Account::new(&self.ctx, &facts, self.start);
        Some(Settled { ctx: self.ctx, io, facts, account })
    }

    /// The account of the connection as it stands.
    pub(super) fn account(&self) -> Account {
        Account::new(&self.ctx, &self.facts(None), self.start)
    }

    /// Closes the connection and accounts for it.
    pub(super) fn refuse(self, refused: Refused) {
        self.account().refuse(refused);
    }
}

/// Returns when the proxy has been draining for longer than a client's first bytes take.
async fn silent_in_drain(drain: &mut DrainWatch) {
    drain.reached(DrainPhase::Draining).await;
    tokio::time::sleep(FIRST_BYTES).await;
}

/// A connection of which everything is known: what is left is to serve it.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) ctx: Rc<WorkerContext>,
    pub(super) io: ServerIo,
    pub(super) facts: Rc<ConnectionFacts>,
    pub(super) account: Account,
}

impl Settled {
    /// The caller, as policy sees it.
    pub(super) fn peer(&self) -> Peer<'_> {
        peer(&self.facts)
    }
}

/// The caller, as policy sees it.
pub(super) fn peer(facts: &ConnectionFacts) -> Peer<'_> {
    let source = facts.downstream_remote.ip();
    Peer {
        identity: facts.peer().and_then(|peer| peer.spiffe.as_ref()).map(SpiffeId::as_str),
        source,
        remote: source,
        destination: facts.original_destination,
        sni: facts.sni.as_deref(),
    }
}
