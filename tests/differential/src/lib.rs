//! The differential bed: one mesh, one traffic, the native proxy and stock Envoy, compared.
//!
//! - [`generate`]: random meshes and requests, and what differs made small.
//! - [`strip`]: a mesh without one of its fields.
//! - [`scenario`]: what a scenario says, read and checked (`README.md` explains it).

pub mod generate;
pub mod scenario;
pub mod strip;
