//! Upgrades: after `101` both connections carry bytes of another protocol.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header, response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::answer::Answer;
use super::client::Lease;
use super::local::Refusal;
use super::ongoing::Ongoing;
use super::request::InProgress;
use super::respond;
use crate::tcp::{Ended, Relay};
use crate::telemetry::Reason;

/// How long nothing may go either way: Istio sets no limit, and what follows an upgrade may well be
/// silent for a day. This only keeps a connection whose ends are both gone from staying for ever.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Passes the endpoint's `101` on, and relays what follows.
pub(super) fn begin(
    mut exchange: InProgress,
    lease: Lease,
    upstream: Option<OnUpgrade>,
    mut head: response::Parts,
) -> Response<Answer> {
    let (Some(client), Some(upstream)) = (exchange.upgrade.take(), upstream) else {
        // Nobody asked for it.
        return respond::refuse(exchange, &Refusal::new(Reason::UpstreamProtocolError));
    };
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let downstream = Rc::clone(&exchange.downstream);
    let ongoing = exchange.ongoing;
    let relay = tokio::task::spawn_local(async move {
        relay(client, upstream, ongoing).await;
        drop(lease);
    });
    downstream.relay_with(relay);
    Response::from_parts(head, Answer::fixed(Bytes::new()))
}

/// Relays until both sides have ended.
async fn relay(client: OnUpgrade, upstream: OnUpgrade, mut ongoing: Ongoing) {
    let (mut client, mut upstream) = match tokio::join!(client, upstream) {
        (Ok(client), Ok(upstream)) => (TokioIo::new(client), TokioIo::new(upstream)),
        (client, upstream) => {
            tracing::debug!(?client, ?upstream, "upgrade did not come about");
            ongoing.fail(Reason::DownstreamClosed);
            return ongoing.finish();
        }
    };
    let relay = Relay { counters: Rc::clone(&ongoing.relayed), idle: PATIENCE };
    match relay.run(&mut client, &mut upstream).await {
        Ended::Closed => {}
        Ended::Idle => ongoing.fail(Reason::IdleTimedOut),
        Ended::Downstream(error) => {
            tracing::debug!(%error, "client of an upgraded connection is gone");
            ongoing.fail(Reason::DownstreamClosed);
        }
        Ended::Upstream(error) => {
            tracing::debug!(%error, "endpoint of an upgraded connection is gone");
            ongoing.fail(Reason::UpstreamClosedMidway);
        }
    }
    ongoing.finish();
}
