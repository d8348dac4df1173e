//! The path of a request.
//!
//! A connection whose bytes are HTTP comes in through [`serve`]. A server codec turns its bytes
//! into *exchanges* (see `exchange`): a request head with a body that streams in, answered by a
//! response head with a body that streams out. The path of a request, from the first look at its
//! head to the last byte of the answer, is `request`; a client codec carries each attempt to the
//! endpoint that the plan picked, over a connection of this worker's [`Pools`].
//!
//! No module here decides where a request goes, whether it may, or whether it is tried again:
//! those are calls into `lateen-engine`. No module but the codecs knows which version of HTTP is
//! spoken on either side.

mod addresses;
mod answer;
mod application;
mod client;
mod date;
mod deliver;
mod downstream;
mod exchange;
mod headers;
mod local;
mod native;
mod ongoing;
mod pump;
mod request;
mod respond;
mod server;
mod timeout;
mod upgrade;
mod upload;

use std::rc::Rc;

use bytes::Bytes;
use lateen_engine::HttpScope;
pub use lateen_engine::inbound::Codec;

pub use client::Pools;
pub use upload::REPLAY_LIMIT;

use crate::connection::{ConnectionFacts, ServerIo};
use crate::worker::WorkerContext;
use downstream::Downstream;

/// What a connection is served as: which of the plan's tables its requests are read in.
///
/// It outlives the plan that it was decided on; each request is decided on the plan of its moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// From the workload: the virtual hosts of the mesh.
    Outbound(HttpScope),
    /// To the workload's application.
    Inbound {
        /// Port of the application, as the model counts it.
        port: u16,
    },
    /// At a gateway: the virtual hosts of a port or of one of its servers.
    Gateway(HttpScope),
}

/// Serves the requests of one connection until it ends.
///
/// Returns when both sides are done with it: closed by the client, by a drain, by a limit, or
/// after an upgrade when the relay has ended. Every request has been logged and counted by then.
pub async fn serve(
    ctx: Rc<WorkerContext>,
    mut io: ServerIo,
    facts: Rc<ConnectionFacts>,
    entry: Entry,
    codec: Codec,
) {
    let mut seen = Bytes::new();
    let http2 = match codec {
        Codec::Http1 => false,
        Codec::Http2 | Codec::Native => true,
        Codec::Detect => {
            let looking = server::looks_like_http2(&mut io);
            let limit = ctx.settings.timeouts.http_idle;
            match tokio::time::timeout(limit, looking).await {
                Ok(Ok((http2, bytes))) => {
                    seen = bytes;
                    http2
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "connection ended before a request");
                    return;
                }
                Err(_) => return,
            }
        }
    };
    let io = server::WatchedIo::new(io, seen, respond::server_name(facts.direction));
    let downstream = Downstream::new(ctx, facts, entry, http2);
    if http2 {
        server::serve_http2(downstream, io).await;
    } else {
        server::serve_http1(downstream, io).await;
    }
}
