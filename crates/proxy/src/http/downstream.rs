//! A client's connection, as its exchanges see it.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use http::{HeaderValue, Request};
use lateen_engine::upstream::alpn;
use tokio::task::JoinHandle;

use super::Entry;
use super::headers::{forwarded_client_cert, sanitized_client_cert};
use super::ongoing::{Application, Ongoing};
use super::server::Activity;
use crate::connection::{ConnectionFacts, Direction};
use crate::telemetry::reason::Reason;
use crate::worker::{DrainPhase, WorkerContext};

/// A client's connection, as its exchanges see it.
#[derive(Debug)]
pub(super) struct Downstream {
    pub(super) ctx: Rc<WorkerContext>,
    pub(super) facts: Rc<ConnectionFacts>,
    pub(super) entry: Entry,
    /// The client is a native peer on a connection that carries requests of either version.
    pub(super) native: bool,
    /// The connection carries one exchange at a time (HTTP/1).
    pub(super) one_at_a_time: bool,
    /// Answers are the last ones: the proxy drains.
    pub(super) draining: Cell<bool>,
    /// Why exchanges end that are dropped from here on.
    pub(super) ending: Cell<Reason>,
    pub(super) activity: Activity,
    /// The relay of an upgrade.
    relay: RefCell<Option<JoinHandle<()>>>,
    client_cert: OnceCell<Option<HeaderValue>>,
    address: OnceCell<Option<HeaderValue>>,
    application: RefCell<Option<Rc<Application>>>,
}

impl Downstream {
    pub(super) fn new(
        ctx: Rc<WorkerContext>,
        facts: Rc<ConnectionFacts>,
        entry: Entry,
        http2: bool,
    ) -> Rc<Self> {
        let negotiated = facts.tls.as_ref().and_then(|tls| tls.alpn.as_deref());
        Rc::new(Self {
            native: negotiated == Some(alpn::NATIVE) && facts.mutual_tls(),
            ctx,
            facts,
            entry,
            one_at_a_time: !http2,
            draining: Cell::new(false),
            ending: Cell::new(Reason::DownstreamClosed),
            activity: Activity::default(),
            relay: RefCell::new(None),
            client_cert: OnceCell::new(),
            address: OnceCell::new(),
            application: RefCell::default(),
        })
    }

    /// The scheme in which the client speaks to this proxy.
    pub(super) fn scheme(&self) -> &'static str {
        if self.facts.tls.is_some() { "https" } else { "http" }
    }

    /// The element of `x-forwarded-client-cert` that tells of this connection's client; `None`
    /// without mutual TLS.
    pub(super) fn client_cert(&self) -> Option<&HeaderValue> {
        let made = self.client_cert.get_or_init(|| {
            let peer = self.facts.peer()?;
            let own = self.ctx.principal();
            match self.facts.direction {
                // Its own certificate is of a host and names no identity.
                Direction::Gateway => sanitized_client_cert("", peer),
                Direction::Inbound | Direction::Outbound => forwarded_client_cert(&own, peer),
            }
        });
        made.as_ref()
    }

    /// The client's address as a header value.
    pub(super) fn address(&self) -> Option<&HeaderValue> {
        let made = self.address.get_or_init(|| {
            HeaderValue::try_from(self.facts.downstream_remote.ip().to_string()).ok()
        });
        made.as_ref()
    }

    /// The port of the application that this connection leads to; `check` is given what was known
    /// at the last exchange.
    pub(super) fn application(
        &self,
        check: impl FnOnce(Option<&Rc<Application>>) -> Rc<Application>,
    ) -> Rc<Application> {
        let mut known = self.application.borrow_mut();
        let application = check(known.as_ref());
        *known = Some(Rc::clone(&application));
        application
    }

    /// Returns when the workload would not take this connection any more.
    async fn refused(&self) -> Reason {
        let Entry::Inbound { port } = self.entry else { return std::future::pending().await };
        let mutual = self.facts.tls.is_some();
        self.ctx
            .revoked(|plan| {
                let inbound = plan.inbound(port);
                let refusal = inbound.and_then(|inbound| inbound.may_go_on(mutual)).err()?;
                Some(refusal.reason.into())
            })
            .await
    }

    /// A request that no codec could read is logged like any other.
    pub(super) fn refuse_unread(self: &Rc<Self>, reason: Reason) {
        let (head, ()) = Request::new(()).into_parts();
        let mut unread = Ongoing::begin(self, &head);
        unread.fail(reason);
        unread.status = reason.facts().status.unwrap_or(0);
        unread.bytes_sent = reason.body(false).len() as u64;
        unread.finish();
    }

    /// Runs what drops an exchange, which then ends for this reason.
    pub(super) fn end_with<T>(&self, reason: Reason, drop_exchange: impl FnOnce() -> T) -> T {
        let before = self.ending.replace(reason);
        let result = drop_exchange();
        self.ending.set(before);
        result
    }

    /// The relay of an upgrade has begun; the connection is not over before it is.
    pub(super) fn relay_with(&self, relay: JoinHandle<()>) {
        *self.relay.borrow_mut() = Some(relay);
    }

    /// Waits for the relay of an upgrade, if there is one, as long as the drain leaves it time and
    /// the workload takes connections like this one.
    pub(super) async fn join_relay(&self) {
        let relay = self.relay.borrow_mut().take();
        let Some(mut relay) = relay else { return };
        let mut drain = self.ctx.drain.clone();
        let ended = tokio::select! {
            ended = &mut relay => ended,
            () = drain.reached(DrainPhase::Ending) => {
                self.ending.set(Reason::DrainTimedOut);
                relay.abort();
                relay.await
            }
            reason = self.refused() => {
                self.ending.set(reason);
                relay.abort();
                relay.await
            }
        };
        if let Err(error) = ended
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}
