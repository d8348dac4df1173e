//! Upgrades: after `101` both connections carry bytes of another protocol.

use bytes::Bytes;
use http::{HeaderValue, Response, header, response};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::answer::Answer;
use super::client::Lease;
use super::local::Refusal;
use super::ongoing::Ongoing;
use super::request::InProgress;
use super::respond;
use crate::telemetry::Reason;

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
    let downstream = std::rc::Rc::clone(&exchange.downstream);
    let ongoing = exchange.ongoing;
    let relay = tokio::task::spawn_local(async move {
        if let Some(ongoing) = relay(client, upstream, ongoing).await {
            ongoing.finish();
        }
        drop(lease);
    });
    downstream.relay_with(relay);
    Response::from_parts(head, Answer::fixed(Bytes::new()))
}

/// Relays until both sides have ended, and gives the exchange back; `None` when one of them was
/// gone before it began.
async fn relay(client: OnUpgrade, upstream: OnUpgrade, mut ongoing: Ongoing) -> Option<Ongoing> {
    let (mut client, mut upstream) = match tokio::join!(client, upstream) {
        (Ok(client), Ok(upstream)) => (io(client), io(upstream)),
        (client, upstream) => {
            tracing::debug!(?client, ?upstream, "upgrade did not come about");
            return None;
        }
    };
    match copy_bidirectional(&mut client, &mut upstream).await {
        Ok((received, sent)) => {
            ongoing.relayed_received = received;
            ongoing.bytes_sent = sent;
        }
        Err(error) => {
            tracing::debug!(%error, "upgraded connection ended");
            ongoing.fail(Reason::UpstreamClosedMidway);
        }
    }
    Some(ongoing)
}

fn io(upgraded: Upgraded) -> TokioIo<Upgraded> {
    TokioIo::new(upgraded)
}
