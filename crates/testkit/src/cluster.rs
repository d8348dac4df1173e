//! A real Kubernetes, of this test alone.
//!
//! Two depths:
//! - [`Api`]: etcd and the API server as processes of this machine, in seconds: objects, watches,
//!   webhooks, RBAC, tokens. Each test may have its own. [`Api::controller_manager`] adds what makes
//!   default service accounts, root certificates and endpoint slices, and what collects garbage.
//! - [`Node`]: the same and one node on which pods really run.
//!
//! What is started ends with the value that stands for it, and at the latest with the process of the
//! test, however that ends: [`reaper`] sees to it.
//!
//! - [`programs`]: where the programs are (`tools/build` makes them).
//! - [`certificates`]: the cluster's authority and who it vouches for.
//! - [`images`]: what pods run, packed from this machine's programs.
//! - [`kubectl`]: asking the API server as a user would.
//! - [`reaper`]: the end of it all.

pub mod api;
pub mod certificates;
pub mod images;
pub mod kubectl;
pub mod node;
pub mod programs;
pub mod reaper;

pub use api::{Api, Place};
pub use kubectl::Kubectl;
pub use node::Node;
