//! The differential bed: one mesh, one traffic, the native proxy and stock Envoy, compared.
//!
//! - [`scenario`]: what a scenario says, read and checked (`README.md` explains it).

pub mod scenario;
