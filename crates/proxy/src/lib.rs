//! The data plane: the process beside a workload (sidecar) or at the edge (gateway) that every
//! connection passes through.
//!
//! A proxy is a handful of threads. The *configuration thread* talks to the control plane, turns
//! what arrives into an immutable plan of the engine and swaps it in; it also serves the admin
//! endpoints. Each *worker* is one single-threaded runtime that owns the connections handed to it,
//! with their pools and timers, so that the path of a request takes no lock. No module here decides
//! where a request goes or whether it may: those are calls into `lateen-engine`.
//!
//! A connection's life, in the order of the modules that it passes through:
//!
//! 1. [`listen`] accepts it and hands it to the [`worker`] with the least to do;
//! 2. [`serve`] has the plan decide about it: [`detect`] looks at the first bytes where the plan
//!    says so, [`tls`] takes the mesh's mutual TLS or a gateway's TLS off;
//! 3. [`tcp`] relays it, or [`http`] serves its requests, each through [`upstream`] to the
//!    endpoint that the plan picked;
//! 4. [`telemetry`] counts and logs what became of it, with a stable reason for every answer that
//!    the proxy made itself.

pub mod admin;
pub mod cell;
pub mod certificates;
pub mod config;
pub mod connection;
pub mod detect;
pub mod dns;
pub mod handover;
pub mod http;
pub mod listen;
pub mod pod;
pub mod run;
pub mod serve;
pub mod settings;
pub mod tcp;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod worker;
