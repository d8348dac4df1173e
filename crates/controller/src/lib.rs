//! The control plane: objects in, configuration and certificates out.
//!
//! One process, started by [`Controller::start`], that wires the parts together:
//!
//! ```text
//! directory → source ──batches──→ distribution thread ──cuts──→ streams ──→ proxies
//!                                  (compiler, views,            (xDS over TLS)
//!                                   lowerings for Envoys)
//!                                        │ accounts, trust domains
//!                                        ├──────→ tokens, accounts in the state folder
//!                                        └──────→ certificates (the same port)
//! ```
//!
//! - `distribution`: the one thread that owns the compiler and says who gets what. Everything
//!   that a client sees comes from one state of the compiler: a cut.
//! - `stream`, `node`: the streams' end of the xDS server, for proxies of ours and for Envoys.
//! - `authority`: the certificate authority in force, which may be exchanged.
//! - `authentication`: who calls, by token or by client certificate.
//! - `certificates`: Istio's certificate service.
//! - `listener`, `serving`: TCP and TLS, the server's own certificate.
//! - `kubernetes`: what it reads and writes in a cluster, beside the objects: keys, tokens, roots, leases.
//! - [`state`]: what the state folder tells proxies: each workload's account, and its token.
//! - `webhooks`: injection and validation, as the API server asks for them.
//! - `monitoring`, `metrics`, [`status`]: what can be seen from outside.
//!
//! The control plane keeps nothing of a client but what its stream needs. It receives and stores
//! no telemetry. A restart changes nothing for a client: versions are hashes of bytes, and a
//! client that comes back says what it has.

mod authentication;
mod authority;
mod certificates;
mod distribution;
mod kubernetes;
mod listener;
mod metrics;
mod monitoring;
mod node;
mod run;
mod serving;
pub mod settings;
pub mod state;
pub mod status;
mod stream;
mod webhooks;

use std::time::SystemTime;

pub use kubernetes::authority::SecretError;
pub use run::{Addresses, Controller, Running, StartError};
pub use settings::{Cluster, ConnectError, Place, Settings};

/// This build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A time as people and tools read it, UTC, to the second.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(
        |_| "unknown".to_owned(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}
