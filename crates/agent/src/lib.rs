//! The agent beside a stock Envoy: what makes it a data plane of the mesh.
//!
//! One process, one thread. It learns from the control plane who its workload is, writes Envoy's
//! bootstrap, starts Envoy and keeps it running, and serves it on one Unix socket:
//!
//! | service | what for |
//! | --- | --- |
//! | aggregated discovery | relayed, byte by byte, to the control plane, with the workload's token |
//! | secret discovery | the workload's key and certificate, and the mesh's roots, out of memory |
//! | access log | what Istio's standard metrics are made from |
//!
//! - [`settings`]: everything that can be set.
//! - [`mod@run`]: starts and stops all of it.
//! - [`version`]: which Envoy is taken.
//! - [`facts`]: what the control plane says of the workload.
//! - [`node`]: what Envoy says of itself, from those facts.
//! - [`bootstrap`]: Envoy's static configuration.
//! - [`folder`]: where the bootstrap and the socket are.
//! - [`supervise`]: Envoy started, started again after a crash, drained, ended.
//! - [`guard`]: a program that ends with its parent.
//! - [`socket`]: the server on the Unix socket; [`relay`], [`secrets`] and [`access_log`] are its
//!   services.
//! - [`envoy_admin`]: questions to Envoy's admin page.
//! - [`status`]: how agent and Envoy stand; [`endpoints`]: the health and the metrics of both.

pub mod access_log;
pub mod bootstrap;
pub mod endpoints;
pub mod envoy_admin;
pub mod facts;
pub mod folder;
pub mod guard;
pub mod node;
pub mod relay;
pub mod run;
pub mod secrets;
pub mod settings;
pub mod socket;
pub mod status;
pub mod supervise;
pub mod version;

pub use run::{AgentError, run};
pub use settings::Settings;

/// Envoy's messages, generated from the `.proto` files below `proto/` (which document them).
#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod wire {
    pub mod secret {
        include!("generated/envoy.service.secret.v3.rs");
    }
    pub mod access_log {
        include!("generated/envoy.service.accesslog.v3.rs");
    }
}
