//! The mesh on a real Kubernetes.
//!
//! - [`images`]: what its pods run.
//! - [`load`]: a steady rate of requests.
//! - [`mesh`]: Lateen on a cluster.
//! - [`page`]: documentation whose commands are run.
//! - [`shop`]: what runs in a mesh that is operated on.
//! - [`traces`]: what is on this machine of clusters.
//! - `tests/start.rs`: `docs/start.md`; `tests/operation.rs`, `tests/outages.rs`,
//!   `tests/upgrade.rs`: a mesh in operation.
//! - `tests/api.rs`, `tests/node.rs`: the clusters themselves, of both depths.

pub mod images;
pub mod load;
pub mod mesh;
pub mod page;
pub mod shop;
pub mod traces;
