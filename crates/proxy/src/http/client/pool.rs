//! The connections to endpoints that one worker keeps.
//!
//! A *lane* holds the connections that are interchangeable: same workload and port, same TLS
//! parameters and expected names, same protocol inside. HTTP/1 connections wait in a lane between
//! exchanges, most recently used first; HTTP/2 connections are shared while they have room. A
//! connection that has ended is found out when it is taken, and another one is.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::Shared;
use lateen_engine::destination::PoolKey;
use lateen_engine::upstream::{Carried, UpstreamTls, alpn};
use rustc_hash::FxHashMap;

use super::Link;
use super::http1::Http1;
use super::http2::{Http2, Stream};
use crate::cell::EndpointCell;
use crate::connection::ClientIo;
use crate::http::addresses::Addresses;
use crate::upstream::{DialError, Target};
use crate::worker::WorkerContext;

/// How long a connection may wait for its next exchange.
///
/// Shorter than the idle timeout of the servers in common use, so that it is rarely they who
/// close first, and long enough that a client that polls once a minute finds its connection.
const IDLE: Duration = Duration::from_secs(70);
/// How many HTTP/1 connections of one lane may wait; more are closed as they come back.
const IDLE_PER_LANE: usize = 256;
/// How often lanes are looked through for connections that have waited long enough.
const SWEEP: Duration = Duration::from_secs(15);

/// What makes connections interchangeable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::http) struct LaneKey {
    /// Workload, port, TLS parameters.
    pub(in crate::http) pool: Arc<PoolKey>,
    /// What travels inside.
    pub(in crate::http) carried: Carried,
    /// The server name, where it is the request that says it.
    pub(in crate::http) authority: Option<Arc<str>>,
}

/// The connections to endpoints that one worker keeps. Lives in its
/// [`WorkerContext`]; never leaves its thread.
#[derive(Debug, Default)]
pub struct Pools {
    lanes: Rc<RefCell<FxHashMap<LaneKey, Rc<Lane>>>>,
    addresses: Addresses,
    sweeping: Rc<Cell<bool>>,
}

/// A connection taken for one exchange.
#[derive(Debug)]
pub(in crate::http) enum Lease {
    /// All of a connection. Dropping it closes it; [`Lease::release`] puts it back.
    Http1 {
        connection: Http1,
        /// It has carried an exchange before.
        reused: bool,
        lane: Weak<Lane>,
    },
    /// One stream of a connection; dropping it in the middle resets the stream.
    Http2 { connection: Rc<Http2>, stream: Stream },
}

impl Lease {
    /// What is known of the connection.
    pub(in crate::http) fn link(&self) -> &Rc<Link> {
        match self {
            Self::Http1 { connection, .. } => &connection.link,
            Self::Http2 { connection, .. } => &connection.link,
        }
    }

    /// Whether the exchange travels over HTTP/2.
    pub(in crate::http) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }

    /// The exchange is complete, both ways: the connection may carry the next.
    pub(in crate::http) fn release(self) {
        let Self::Http1 { connection, lane, .. } = self else { return };
        if let Some(lane) = lane.upgrade()
            && !connection.is_closed()
        {
            lane.put(connection);
        }
    }
}

/// Interchangeable connections.
#[derive(Debug, Default)]
pub(in crate::http) struct Lane {
    waiting: RefCell<Vec<Waiting>>,
    shared: RefCell<Vec<Rc<Http2>>>,
    dialling: RefCell<Option<SharedDial>>,
    /// Whether the last handshake ended in HTTP/2; unknown before the first.
    multiplexes: Cell<Option<bool>>,
}

#[derive(Debug)]
struct Waiting {
    connection: Http1,
    since: Instant,
}

type DialOutcome = Result<(), Rc<DialError>>;
type SharedDial = Shared<Pin<Box<dyn Future<Output = DialOutcome>>>>;

impl Lane {
    fn put(&self, connection: Http1) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < IDLE_PER_LANE {
            waiting.push(Waiting { connection, since: Instant::now() });
        }
    }

    /// A connection that is there, and has room.
    async fn take(self: &Rc<Self>) -> Option<Lease> {
        if let Some(lease) = self.take_shared() {
            return Some(lease);
        }
        loop {
            let waiting = self.waiting.borrow_mut().pop()?;
            let mut connection = waiting.connection;
            if !connection.is_closed() && connection.ready().await {
                return Some(Lease::Http1 { connection, reused: true, lane: Rc::downgrade(self) });
            }
        }
    }

    fn take_shared(&self) -> Option<Lease> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        // Ended ones are forgotten here; their streams in flight hold them as long as they last.
        shared.retain(|connection| !connection.is_closed());
        let connection = Rc::clone(shared.iter().find(|connection| connection.has_room())?);
        let stream = connection.enter();
        Some(Lease::Http2 { connection, stream })
    }

    /// Forgets what has waited long enough. Whether nothing is left.
    fn sweep(&self, now: Instant) -> bool {
        let old = |since: Instant| now.saturating_duration_since(since) >= IDLE;
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|it| !it.connection.is_closed() && !old(it.since));
        waiting.shrink_to(8);
        let mut shared = self.shared.borrow_mut();
        shared.retain(|it| !it.is_closed() && !it.idle_since().is_some_and(old));
        waiting.is_empty() && shared.is_empty() && self.dialling.borrow().is_none()
    }
}

impl Pools {
    /// A connection for one exchange: one that is there, or a new one.
    ///
    /// # Errors
    /// When a new one is needed and cannot be had.
    pub(in crate::http) async fn acquire(
        ctx: &Rc<WorkerContext>,
        key: &LaneKey,
        cell: &Arc<EndpointCell>,
        target: impl FnOnce() -> Target,
    ) -> Result<Lease, Rc<DialError>> {
        let lane = ctx.pools.lane(key);
        if let Some(lease) = lane.take().await {
            return Ok(lease);
        }
        let target = target();
        loop {
            // What may turn out to be shared is dialled once for all who wait for it.
            let share = match key.carried {
                Carried::Http2 => true,
                Carried::Http1 => {
                    matches!(*key.pool.tls, UpstreamTls::Mesh(_))
                        && lane.multiplexes.get() != Some(false)
                }
                Carried::Upgrade | Carried::Tcp => false,
            };
            if !share {
                return dial_alone(ctx, &lane, cell, &target).await;
            }
            let dial = lane.dialling.borrow().clone();
            let dial = dial.unwrap_or_else(|| start_shared(ctx, &lane, cell, target.clone()));
            dial.await?;
            if let Some(lease) = lane.take().await {
                return Ok(lease);
            }
        }
    }

    /// What this worker knows about addresses that no destination lists.
    pub(in crate::http) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    fn lane(&self, key: &LaneKey) -> Rc<Lane> {
        if let Some(lane) = self.lanes.borrow().get(key) {
            return Rc::clone(lane);
        }
        let lane = Rc::new(Lane::default());
        self.lanes.borrow_mut().insert(key.clone(), Rc::clone(&lane));
        self.start_sweeping();
        lane
    }

    /// Looks through the lanes from time to time, as long as there are any.
    fn start_sweeping(&self) {
        if self.sweeping.replace(true) {
            return;
        }
        let lanes = Rc::downgrade(&self.lanes);
        let sweeping = Rc::clone(&self.sweeping);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(lanes) = lanes.upgrade() else { return };
                let now = Instant::now();
                // A lane that a request is about to use has a second reference.
                lanes.borrow_mut().retain(|_, lane| !lane.sweep(now) || Rc::strong_count(lane) > 1);
                if lanes.borrow().is_empty() {
                    sweeping.set(false);
                    return;
                }
            }
        });
    }
}

/// Dials, and counts it.
async fn dial(ctx: &WorkerContext, target: &Target) -> Result<ClientIo, Rc<DialError>> {
    let dialled = ctx.dialer.dial(target).await;
    let counters = ctx.telemetry.counters();
    match &dialled {
        Ok(_) => counters.dials.increment(),
        Err(_) => counters.dial_failures.increment(),
    }
    dialled.map_err(Rc::new)
}

/// Dials for one exchange only.
async fn dial_alone(
    ctx: &Rc<WorkerContext>,
    lane: &Rc<Lane>,
    cell: &Arc<EndpointCell>,
    target: &Target,
) -> Result<Lease, Rc<DialError>> {
    let io = dial(ctx, target).await?;
    match establish(ctx, io, target, cell).await? {
        Established::Http1(connection) => {
            Ok(Lease::Http1 { connection, reused: false, lane: Rc::downgrade(lane) })
        }
        Established::Http2(connection) => {
            lane.multiplexes.set(Some(true));
            let connection = Rc::new(connection);
            lane.shared.borrow_mut().push(Rc::clone(&connection));
            let stream = connection.enter();
            Ok(Lease::Http2 { connection, stream })
        }
    }
}

/// Dials for everybody who waits for this lane, in a task of its own: whoever began it may be gone
/// before it is done.
fn start_shared(
    ctx: &Rc<WorkerContext>,
    lane: &Rc<Lane>,
    cell: &Arc<EndpointCell>,
    target: Target,
) -> SharedDial {
    let (ctx, weak, cell) = (Rc::clone(ctx), Rc::downgrade(lane), Arc::clone(cell));
    let dial: Pin<Box<dyn Future<Output = DialOutcome>>> = Box::pin(async move {
        let established = match dial(&ctx, &target).await {
            Ok(io) => establish(&ctx, io, &target, &cell).await,
            Err(error) => Err(error),
        };
        let Some(lane) = weak.upgrade() else { return Ok(()) };
        *lane.dialling.borrow_mut() = None;
        match established? {
            Established::Http1(connection) => {
                lane.multiplexes.set(Some(false));
                lane.put(connection);
            }
            Established::Http2(connection) => {
                lane.multiplexes.set(Some(true));
                lane.shared.borrow_mut().push(Rc::new(connection));
            }
        }
        Ok(())
    });
    let dial = dial.shared();
    *lane.dialling.borrow_mut() = Some(dial.clone());
    tokio::task::spawn_local(dial.clone());
    dial
}

enum Established {
    Http1(Http1),
    Http2(Http2),
}

async fn establish(
    ctx: &WorkerContext,
    io: ClientIo,
    target: &Target,
    cell: &Arc<EndpointCell>,
) -> Result<Established, Rc<DialError>> {
    let limits = &ctx.settings.limits;
    let native = io.alpn() == Some(alpn::NATIVE);
    let (scheme, peer_principal) = match &*target.tls {
        UpstreamTls::Mesh(_) => ("http", proved_identity(&io)),
        UpstreamTls::Plain => ("http", None),
        UpstreamTls::Simple(_) | UpstreamTls::Mutual { .. } => ("https", None),
    };
    let local_principal = peer_principal.is_some().then(|| ctx.principal());
    let link = Rc::new(Link {
        remote: io.remote_address(),
        local: io.local_address(),
        peer_principal,
        local_principal,
        scheme,
        native,
        _connected: cell.connect(),
    });
    let established = if native || target.carried == Carried::Http2 {
        Http2::new(io, link, limits).await.map(Established::Http2)
    } else {
        Http1::new(io, link, limits).await.map(Established::Http1)
    };
    established.map_err(|error| Rc::new(DialError::Io(std::io::Error::other(error))))
}

/// The identity in the certificate that the endpoint showed; the handshake has verified it.
fn proved_identity(io: &ClientIo) -> Option<Box<str>> {
    let ClientIo::Tls(tls) = io else { return None };
    let chain = tls.get_ref().1.peer_certificates()?;
    lateen_identity::peer_identity(chain).map(|identity| identity.as_str().into())
}
