//! The mesh model lowered to Envoy v3 resources.
//!
//! Pure: messages in, messages out. Whoever serves them (the controller) feeds [`Lowering`] with the
//! model as one scope or one workload sees it and takes what changed from it.
//!
//! - [`kind`]: the kinds of resources, in the order in which Envoy wants them.
//! - [`resource`]: a resource as bytes with its version; [`pool`]: the same bytes are kept once.
//! - [`placement`]: for whom is lowered.
//! - [`names`]: Istio's names for clusters, routes, listeners, filter chains and secrets.
//! - [`lowering`]: the incremental core: which model resources make which Envoy resources.
//! - [`problem`]: what cannot be said in Envoy's language.
//! - `cluster`, `endpoints`, `route`, `outbound`, `tls`: the parts of a scope.
//! - `inbound`, `gateway`, `filter`, `secret`: the parts of a workload, and what all listeners share.

mod cluster;
pub mod dump;
mod endpoints;
pub mod kind;
pub mod lowering;
pub mod names;
pub mod placement;
pub mod pool;
pub mod problem;
pub mod resource;

mod filter;
mod gateway;
mod inbound;
mod message;
mod outbound;
mod route;
mod secret;
mod tls;
mod wire;

pub use kind::Kind;
pub use lowering::{Effects, Lowering};
pub use placement::{Capture, Part, Placement, Role};
pub use pool::Pool;
pub use problem::Problem;
pub use resource::Resource;
