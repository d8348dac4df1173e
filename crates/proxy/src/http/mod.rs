//! The path of a request.
//!
//! A connection whose bytes are HTTP comes in through [`serve`]. A server codec turns its bytes
//! into *exchanges* (see [`exchange`]): a request head with a body that streams in, answered by a
//! response head with a body that streams out. The path of a request, from the first look at its
//! head to the last byte of the answer, is [`request`]; a client codec carries each attempt to the
//! endpoint that the plan picked, over a connection of this worker's [`Pools`].
//!
//! No module here decides where a request goes, whether it may, or whether it is tried again:
//! those are calls into `lateen-engine`. No module but the codecs knows which version of HTTP is
//! spoken on either side.

use std::rc::Rc;

use lateen_engine::HttpScope;

use crate::connection::{ConnectionFacts, ServerIo};
use crate::worker::WorkerContext;

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

/// Which version of HTTP a client speaks on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN.
    Http2,
    /// Nobody has looked yet: the connection's first bytes tell. For TLS whose negotiated protocol
    /// does not say (`istio`, or none).
    Detect,
}

/// Serves the requests of one connection until it ends.
///
/// Returns when both sides are done with it: closed by the client, by a drain, by a limit, or
/// after an upgrade when the relay has ended. Every request has been logged and counted by then.
pub async fn serve(
    ctx: Rc<WorkerContext>,
    io: ServerIo,
    facts: Rc<ConnectionFacts>,
    entry: Entry,
    codec: Codec,
) {
    let _ = (ctx, io, facts, entry, codec);
}

/// The connections to endpoints that one worker keeps.
#[derive(Debug, Default)]
pub struct Pools {}
