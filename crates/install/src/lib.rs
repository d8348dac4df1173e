//! Installing Lateen into a cluster: the chart `deploy/helm/lateen` without Helm.
//!
//! - [`chart`]: the chart's files, as part of the program.
//! - [`Given`]: what a user sets, over the chart's defaults, held to its schema.
//! - [`render()`]: objects of values; [`Lookup`] answers what templates ask of a cluster.
//! - [`Cluster`]: objects got, listed, applied and deleted.
//! - [`install`]: a [`install::Plan`] is made, and carried out; what is somebody else's is left alone.
//! - [`Record`]: what an installation remembers of itself.
//! - [`wait`]: until what was installed serves.
//! - [`remove`]: taking it away.
//! - [`check`]: whether a cluster can be installed into, how an installation is, which pods lack a sidecar.
//! - [`mesh`]: the objects that a mesh is compiled from.
//! - [`pods`]: pods as people name them.
//! - [`forward`]: ports of pods, through the API server.

pub mod chart;
pub mod check;
mod cluster;
pub mod forward;
pub mod install;
pub mod kinds;
mod lookup;
pub mod mesh;
pub mod pods;
mod record;
pub mod remove;
mod render;
mod schema;
mod tree;
mod values;
pub mod wait;

pub use cluster::{Cluster, ClusterError, FIELD_MANAGER};
pub use lookup::{Lookup, Question};
pub use record::{Owned, Record};
pub use render::{Release, RenderError, Rendered, render, title};
pub use values::{Given, ValuesError};
