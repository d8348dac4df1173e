//! The mesh on a real Kubernetes.
//!
//! - [`images`]: what its pods run.
//! - [`traces`]: what is on this machine of clusters.
//! - `tests/api.rs`, `tests/node.rs`: the clusters themselves, of both depths.

pub mod images;
pub mod traces;
